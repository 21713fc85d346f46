"""Logs structured events through `logging`, under the name `pointledger`.

The library shows no logs unless the program configures them.
"""

import logging
from typing import Any

from pointledger import tracing

LIBRARY = "pointledger"

FIELDS = "pointledger"  # the attribute of a record with the event and its fields, in order

_STACK_LEVEL = 3  # frames between a record and the line that logs

# Without a handler, `logging` itself would print the library's warnings to stderr.
logging.getLogger(LIBRARY).addHandler(logging.NullHandler())


class Log:
    """Logs events with their fields, as a readable message and as attributes of the record.

    `exc_info` is not a field but an exception, whose traceback is logged.
    """

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
        values = {**fields, "event": event, **tracing.ids()}
        template = " ".join(["%(event)s", *(f"{name}=%({name})s" for name in fields)])
        extra = {**values, FIELDS: values}
        self._logger.log(level, template, values, exc_info=error, extra=extra, stacklevel=_STACK_LEVEL)


class Outage:
    """Logs once when a server becomes unavailable and once when it is back."""

    def __init__(
        self, log: Log, action: str, away: str = "redis_is_away", back: str = "redis_is_back"
    ) -> None:
        self._log = log
        self._action = action
        self._away = away
        self._back = back
        self._is_on = False
        self._bug: type[BaseException] | None = None

    def noticed(self, error: BaseException, *, bug: BaseException | None = None, detail: str = "") -> None:
        """Log the begin of the outage.

        `bug` is logged as an error with its traceback, also if it comes during an outage. `detail` is text of
        the error that names no person.
        """
        if self._is_on and (bug is None or type(bug) is self._bug):
            return
        self._is_on, self._bug = True, None if bug is None else type(bug)
        fields = {"detail": detail} if detail else {}
        log = self._log.warning if bug is None else self._log.error
        log(self._away, action=self._action, error=type(error).__name__, **fields, exc_info=bug)

    def over(self) -> None:
        """Log the end of the outage."""
        if self._is_on:
            self._is_on = False
            self._log.warning(self._back, action=self._action)
