"""Enqueues commands in Django's transactions. Put `pointledger.frameworks.django` into `INSTALLED_APPS`.

points    `enqueue` and the client
conf      `settings.POINTLEDGER`
apps      Django's description of this app; it has no models
"""

from pointledger.frameworks.django.points import Points

__all__ = ["points"]

points = Points()
