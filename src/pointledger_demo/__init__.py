"""The demonstration behind `./dev run`: runs the whole system on one machine and replays real baskets.

It is not in the wheel, because it starts the two Celery apps that only a checkout has.
"""
