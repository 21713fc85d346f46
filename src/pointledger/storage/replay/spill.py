"""Dictionaries that may grow beyond memory: what was used last stays there, the rest goes to a file.

The file is SQLite's, without a name: it is gone with the process, however that ends. It is where TMPDIR says.
"""

import pickle
import sqlite3
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

_PAGES_KIB = 4_096  # of the file in memory, for each dictionary

_ALL = "SELECT key, value FROM kept ORDER BY key"

K = TypeVar("K")
V = TypeVar("V")


class Spilled(MutableMapping[K, V], Generic[K, V]):
    """Values of about `most` in memory, each counted as `weigh` says. `key` gives bytes that sort as the keys
    do; `encode` and `decode` are for values that go to the file often.

    A value that is changed in place must be put again. Nothing is ever deleted.
    """

    def __init__(
        self,
        most: int,
        key: Callable[[K], bytes],
        encode: Callable[[V], bytes] = pickle.dumps,
        decode: Callable[[bytes], V] = pickle.loads,
        weigh: Callable[[V], int] = lambda _: 1,
    ) -> None:
        self._most = max(most // 2, 1)  # in each of two generations
        self._key, self._encode, self._decode, self._weigh = key, encode, decode, weigh
        self._weight = 0  # of the younger generation, as its values came into it
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._unchanged: set[K] = set()  # of those that were read from the file
        self._file: sqlite3.Connection | None = None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, key: K, default: Any = None) -> Any:
        if (value := self._young.get(key)) is not None:
            return value
        if (value := self._old.get(key)) is None:
            if (value := self._read(key)) is None:
                return default
            self._unchanged.add(key)
        self._weight += self._weigh(value)
        self._young[key] = value
        self._make_room()
        return value

    def __getitem__(self, key: K) -> V:
        value: V | None = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self._unchanged.discard(key)
        if key not in self._young:
            self._weight += self._weigh(value)
        self._young[key] = value
        self._make_room()

    def update(self, values: Mapping[K, V]) -> None:  # type: ignore[override]  # of all its forms we use this one
        """Puts all of these. Twice as fast as one by one: their hashes are known."""
        if self._unchanged:
            self._unchanged.difference_update(values)
        weigh = self._weigh
        self._weight += sum(weigh(values[key]) for key in values.keys() - self._young.keys())
        self._young.update(values)
        self._make_room()

    def __delitem__(self, key: K) -> None:
        raise NotImplementedError("what was put stays")

    def __iter__(self) -> Iterator[K]:
        raise NotImplementedError("the file has values in order, and not their keys")

    def __len__(self) -> int:
        return sum(1 for _ in self.in_order())

    def in_order(self) -> Iterator[tuple[bytes, V]]:
        """All values in the order of their keys, which come as bytes. Nothing may be put meanwhile."""
        name = self._key
        near = {name(key): value for each in (self._old, self._young) for key, value in each.items()}
        waiting = iter(sorted(near))
        own = next(waiting, None)
        for key, text in self._file.execute(_ALL) if self._file else ():
            while own is not None and own < key:
                yield own, near[own]
                own = next(waiting, None)
            if own == key:  # it has been used since it was written
                yield key, near[key]
                own = next(waiting, None)
            else:
                yield key, self._decode(text)
        while own is not None:
            yield own, near[own]
            own = next(waiting, None)

    def _make_room(self) -> None:
        """The older generation goes. What of it is in the younger, too, is written once more with that."""
        if self._weight >= self._most:
            self._spill(self._old)
            self._old, self._young, self._weight = self._young, {}, 0

    def _read(self, key: K) -> V | None:
        if self._file is None:
            return None
        row = self._file.execute("SELECT value FROM kept WHERE key = ?", (self._key(key),)).fetchone()
        return self._decode(row[0]) if row else None

    def _spill(self, values: dict[K, V]) -> None:
        """Writes those that have changed since they were last written."""
        if not values:
            return
        if self._file is None:
            self._file = _temporary_file()
        name, encode, same = self._key, self._encode, self._unchanged
        lines = [(name(key), encode(value)) for key, value in values.items() if not same or key not in same]
        self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", lines)
        same.difference_update(values)


def _temporary_file() -> sqlite3.Connection:
    file = sqlite3.connect("", isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_PAGES_KIB}"):
        file.execute(f"PRAGMA {pragma}")
    file.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    file.execute("BEGIN")  # and no end: the file is nobody's
    return file
