"""Structured log events.

The library logs through `logging`, under the name `pointledger`. Nothing is shown unless the program
configures it.
"""

import logging
from typing import Any

LIBRARY = "pointledger"


_TOLD = "pointledger"  # of a record: the event and its fields, in their order


_CALLER = 3  # frames between a record and the line that logs


class Log:
    """Logs events with their fields. A record's message is readable, its fields are attributes. `exc_info`
    is no field but an exception, whose traceback is logged."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: Any) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        error = fields.pop("exc_info", None)
        told = {**fields, "event": event}
        template = " ".join(["%(event)s", *(f"{name}=%({name})s" for name in fields)])
        extra = {**told, _TOLD: told}
        self._logger.log(level, template, told, exc_info=error, extra=extra, stacklevel=_CALLER)


class Outage:
    """Logs once when a server goes away and once when it is back, however often either is noticed."""

    def __init__(
        self, log: Log, action: str, away: str = "redis_is_away", back: str = "redis_is_back"
    ) -> None:
        self._log = log
        self._action = action
        self._away = away
        self._back = back
        self._is_on = False

    def noticed(self, error: BaseException) -> None:
        if not self._is_on:
            self._is_on = True
            self._log.warning(self._away, action=self._action, error=type(error).__name__)

    def over(self) -> None:
        if self._is_on:
            self._is_on = False
            self._log.warning(self._back, action=self._action)
