"""The demonstration behind `./dev run`: the whole system on one machine, fed with real baskets.

Not in the wheel: it starts the two Celery apps that lie beside the library in a checkout.
"""
