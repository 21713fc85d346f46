"""Shares what many people look at: those who watch the same page in one process cost as much as one."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

_MOST = 500  # values that are kept; each is a page's worth, some 50 KB at most

Value = TypeVar("Value")


@dataclass(slots=True)
class _Slot:
    """A value, and until when it is fresh."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    fresh_until: float | None = None  # by the monotonic clock
    value: Any = None


class Shared:
    """Values that one process has read lately. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, seconds: float, read: Callable[[], Value]) -> Value:
        """Return the value of `key`, read anew if it is so many seconds old. Others wait for the one who
        reads. What `read` raises, it raises, and keeps nothing.

        The key must name the tenant: no one sees the value of another.
        """
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            if len(self._slots) > _MOST:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.fresh_until is None or self._clock() >= slot.fresh_until:
                slot.value = read()
                slot.fresh_until = self._clock() + seconds
            return slot.value  # type: ignore[no-any-return]  # of this key, so of this type

    def forget(self, key: Hashable) -> None:
        """Read this value anew next time, because it has just been changed."""
        with self._lock:
            self._slots.pop(key, None)
