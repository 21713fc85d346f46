"""Gives the tasks of a Celery app a client."""

from typing import Any

from celery import Celery, signals

from pointledger.client.client import PointsClient
from pointledger.frameworks.lazy_client import LazyClient
from pointledger.settings import Settings, from_environment


class Points:
    """The ledger, for the tasks of your app: `points = Points(app)`.

    Settings are `pointledger_settings` in the app's configuration, a `Settings`; else the environment's.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._client = LazyClient(self._settings)
        # A child of the prefork pool, and the worker itself: each closes the connections of its own.
        for stopped in (signals.worker_process_shutdown, signals.worker_shutdown):
            stopped.connect(self._close, weak=False)

    @property
    def client(self) -> PointsClient:
        """The client of this process, made on first use. Raises NotConfigured and SettingsInvalid."""
        return self._client.get()

    def _settings(self) -> Settings:
        return self._app.conf.get("pointledger_settings") or from_environment()

    def _close(self, **_: Any) -> None:
        self._client.close()
