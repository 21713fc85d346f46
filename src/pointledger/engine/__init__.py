"""What a worker does with a lane: drain it, batch by batch, under the locks of its users."""
