"""Makes objects once per process, because a forked child must not share connections with its parent.

A child has its parent's memory but none of its threads. Two processes that use one connection read each
other's replies, and a lock that a thread of the parent held stays locked. So a child neither uses nor
destroys an object that its parent made.
"""

# The first connection would import it, and an import in progress at the fork never ends in the child.
import encodings.idna  # noqa: F401
import os
import sys
from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Made = TypeVar("Made")


class PerProcess(Generic[Made]):
    """An object that each process makes for itself on first use."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: dict[int, Made] = {}
        self._is_forked = False
        _all.add(self)

    def get(self) -> Made:
        """Return this process' object; make it if necessary."""
        process = os.getpid()  # also detects forks that bypass Python's hooks, as uWSGI's do
        if (made := self._made.get(process)) is not None:
            return made
        if self._is_forked or self._made:
            _renew_shared_locks()
        # Without a lock, because another thread could hold it at a fork. Two threads can both make an object
        # here, but both get the same one.
        return self._made.setdefault(process, self._make())

    def made(self) -> Made | None:
        """Return this process' object, or None if it has none."""
        return self._made.get(os.getpid())

    def _forked(self) -> None:
        """Drop the parent's objects. A process id can be reused, so the id alone does not detect a fork."""
        _left.append(self._made)
        self._made = {}
        self._is_forked = True


_all: WeakSet[PerProcess[Any]] = WeakSet()
_left: list[object] = []  # referenced, because drivers warn of connections that are freed while open


def _after_fork_in_child() -> None:
    for one in list(_all):
        one._forked()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _renew_shared_locks() -> None:
    """Renew the locks of kombu's cached properties, which are shared by all objects of a class.

    If another thread of the parent held one at the fork, the child would wait for it without end.
    """
    for shared in _cached_properties():
        shared.lock = RLock()


def _cached_properties() -> Iterator[Any]:
    """Yield the cached properties of all classes of kombu and Celery, as far as they are imported.

    It uses type(), because isinstance() reads `__class__`, which makes Celery's proxies create their objects.
    """
    if (home := sys.modules.get("kombu.utils.objects")) is None:
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in ("kombu", "celery"):
            continue
        for cls in [one for one in vars(module).values() if issubclass(type(one), type)]:
            yield from (
                found for found in vars(cls).values() if issubclass(type(found), home.cached_property)
            )
