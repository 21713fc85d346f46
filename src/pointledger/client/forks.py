"""What each process makes for itself, because it must not share it with the process that it was forked from.

A forked child has its parent's memory but none of its threads. The connections in that memory are the
parent's: two processes that use one connection read each other's answers. A lock that a thread of the parent
held stays locked. So a child uses nothing that its parent made, and it destroys nothing of it either.
"""

# The first connection would import it, and an import that is under way at the fork never ends in a child.
import encodings.idna  # noqa: F401
import os
import sys
from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from kombu.utils.objects import cached_property

Made = TypeVar("Made")


class PerProcess(Generic[Made]):
    """Something that every process makes for itself when it first needs it."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: dict[int, Made] = {}
        self._is_forked = False
        _all.add(self)

    def get(self) -> Made:
        """This process' own, made now if it has none."""
        process = os.getpid()  # also tells of a fork of which Python was not told, as in uWSGI
        if (made := self._made.get(process)) is not None:
            return made
        if self._is_forked or self._made:
            _renew_shared_locks()
        # Without a lock of ours: a thread may have held it when the process forked. Of two threads that come
        # here at once, both make one, and both get the same.
        return self._made.setdefault(process, self._make())

    def made(self) -> Made | None:
        """This process' own, if it has one."""
        return self._made.get(os.getpid())

    def _forked(self) -> None:
        """Leaves what the parent made. A process number may come again, so the number alone does not tell."""
        _left.append(self._made)
        self._made = {}
        self._is_forked = True


_all: WeakSet[PerProcess[Any]] = WeakSet()
_left: list[object] = []  # kept: drivers warn of connections that are forgotten before they are closed


def _after_fork_in_child() -> None:
    for one in list(_all):
        one._forked()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _renew_shared_locks() -> None:
    """A cached property of kombu's has one lock for all objects of its class. If another thread of the parent
    held it at the fork, the child would wait for it forever."""
    for shared in _cached_properties():
        shared.lock = RLock()


def _cached_properties() -> Iterator[cached_property]:
    """Those of all classes of kombu and Celery. By type(), for isinstance() asks an object for its class, and
    Celery's proxies make what they stand for when they are asked."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in ("kombu", "celery"):
            continue
        for cls in [one for one in vars(module).values() if issubclass(type(one), type)]:
            yield from (found for found in vars(cls).values() if issubclass(type(found), cached_property))
