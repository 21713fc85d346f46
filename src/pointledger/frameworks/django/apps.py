"""Describes the app to Django."""

from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed

from pointledger.frameworks.django import points


class PointledgerConfig(AppConfig):
    """The app `pointledger`: it has a command and no models, because the ledger's tables are not Django's."""

    name = "pointledger.frameworks.django"
    label = "pointledger"

    def ready(self) -> None:
        """Follow a test that overrides the settings."""
        setting_changed.connect(_follow, dispatch_uid="pointledger")


def _follow(*, setting: str, **_: Any) -> None:
    if setting == "POINTLEDGER":
        points.close()
