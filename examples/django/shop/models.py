"""The shop's tables."""

from django.db import models


class Order(models.Model):
    """An order that is paid, and the command for its points."""

    id = models.TextField(primary_key=True)
    user_id = models.TextField()
    amount_minor = models.IntegerField()
    task_id = models.TextField()
