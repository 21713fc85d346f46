"""The workers: what takes commands from queues and hands them to the engine."""
