"""Keeps beat running when the broker fails, and logs an outage once instead of every two seconds."""

from typing import Any

from celery.beat import Scheduler as CelerysScheduler

from pointledger.logs import Log, Outage

from .celery import heartbeat

_RETRY_SECONDS = 2.0  # between attempts to connect, as between two rings of the waiting lanes

_log = Log("pointledger.schedules")


class Scheduler(CelerysScheduler):
    """Celery's scheduler in memory. A task that cannot be sent is sent at its next time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outage = Outage(_log, "send", "broker_is_away", "broker_is_back")

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due. Beat calls this every second."""
        heartbeat.beat()
        return super().tick(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the entry's task. Celery's own method logs each failure with two stack traces."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # one entry must not stop the others
            self._outage.noticed(error)
        else:
            self._outage.over()

    def _ensure_connected(self) -> Any:
        """Connect, and retry without limit and with short pauses; Celery's grow to half a minute."""

        def noticed(error: BaseException, _seconds: float) -> None:
            heartbeat.beat()
            self._outage.noticed(error)

        return self.connection.ensure_connection(
            noticed, interval_start=_RETRY_SECONDS, interval_step=0, interval_max=_RETRY_SECONDS
        )
