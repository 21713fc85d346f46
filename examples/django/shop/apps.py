"""Describes the shop to Django."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The app `shop`."""

    name = "examples.django.shop"
    label = "shop"
