"""Holds the client of a process, made on first use."""

from collections.abc import Callable

from pointledger.client.client import PointsClient
from pointledger.client.queries import late
from pointledger.settings import Settings


class LazyClient:
    """A client that is made when it is first needed, so that a program starts without servers or settings.

    Threads share it, and so do processes that are forked later.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        late.load()  # at the program's start: no request waits for it, and forked processes share it
        self._settings = settings
        self._made: PointsClient | None = None

    def get(self) -> PointsClient:
        """Return the client. Raises NotConfigured and SettingsInvalid."""
        made = self._made
        if made is None:
            made = PointsClient(self._settings())
            made = self._made = self._made or made  # another thread may have made one first
        return made

    def close(self) -> None:
        """Close the client, if there is one. The next use makes another."""
        if (made := self._made) is not None:
            self._made = None
            made.close()
