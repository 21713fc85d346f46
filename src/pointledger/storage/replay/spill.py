"""Dictionaries that may grow beyond memory: recently used values stay there, the others go to a file.

The file is an unnamed SQLite database in TMPDIR, so it disappears with the process, even after a crash.
"""

import pickle
import sqlite3
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

_PAGES_KIB = 8_192  # of the file in memory, for each dictionary
_PAGE_BYTES = (
    16_384  # an account with some lots fits: in pages of 4 KiB, SQLite's own, it took four times as long
)

_ALL = "SELECT key, value FROM kept ORDER BY key"

K = TypeVar("K")
V = TypeVar("V")


class Spilled(MutableMapping[K, V], Generic[K, V]):
    """Values of about `most` in memory, each counted as `weigh` says, or as one. `key` gives bytes that sort
    as the keys do; `encode` and `decode` are for values that go to the file often.

    `key` returns bytes that sort as the keys do. `encode` and `decode` convert values for the file; pass
    faster ones for values that are spilled often. Put a value again after changing it in place. No value can
    be deleted.
    """

    def __init__(
        self,
        most: int,
        key: Callable[[K], bytes],
        encode: Callable[[V], bytes] = pickle.dumps,
        decode: Callable[[bytes], V] = pickle.loads,
        weigh: Callable[[V], int] | None = None,
    ) -> None:
        self._most = max(most // 2, 1)  # in each of two generations
        self._key, self._encode, self._decode, self._weigh = key, encode, decode, weigh
        self._weight = 0  # of the younger generation, about: as values came into it, and one for each put
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._unchanged: set[K] = set()  # keys whose values equal those in the file
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
        if self._weigh:
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
        self.update({key: value})

    def update(self, values: Mapping[K, V]) -> None:  # type: ignore[override]  # the only form used
        """Put all of these, twice as fast as one by one, because their hashes are known."""
        if self._unchanged:
            self._unchanged.difference_update(values)
        young = self._young
        if weigh := self._weigh:
            self._weight += sum(1 if key in young else weigh(value) for key, value in values.items())
        young.update(values)
        self._make_room()

    def __delitem__(self, key: K) -> None:
        raise NotImplementedError("values cannot be deleted")

    def __iter__(self) -> Iterator[K]:
        raise NotImplementedError("the file has encoded keys only; use in_order()")

    def __len__(self) -> int:
        return sum(1 for _ in self.in_order())

    def in_order(self) -> Iterator[tuple[bytes, V]]:
        """Yield all values in the order of their keys, with keys as bytes. Put no value meanwhile."""
        name = self._key
        near = {name(key): value for each in (self._old, self._young) for key, value in each.items()}
        waiting = iter(sorted(near))
        own = next(waiting, None)
        for key, text in self._file.execute(_ALL) if self._file else ():
            while own is not None and own < key:
                yield own, near[own]
                own = next(waiting, None)
            if own == key:  # the value in memory is newer
                yield key, near[key]
                own = next(waiting, None)
            else:
                yield key, self._decode(text)
        while own is not None:
            yield own, near[own]
            own = next(waiting, None)

    def _make_room(self) -> None:
        """The older generation goes. What of it is in the younger, too, is written once more with that."""
        if self._is_full():
            self._spill(self._old)
            self._old, self._young, self._weight = self._young, {}, 0

    def _is_full(self) -> bool:
        """Whether the younger generation has grown to its share. Values grow while they are in it, so it is
        weighed anew when it may be there; and goes a little early rather than be weighed again and again."""
        if self._weigh is None:
            return len(self._young) >= self._most
        if self._weight < self._most:
            return False
        self._weight = sum(map(self._weigh, self._young.values()))
        return self._weight >= self._most * 7 // 8

    def _read(self, key: K) -> V | None:
        if self._file is None:
            return None
        row = self._file.execute("SELECT value FROM kept WHERE key = ?", (self._key(key),)).fetchone()
        return self._decode(row[0]) if row else None

    def _spill(self, values: dict[K, V]) -> None:
        """Write the values that have changed since they were last written."""
        if not values:
            return
        if self._file is None:
            self._file = _temporary_file()
        name, encode, same = self._key, self._encode, self._unchanged
        lines = [(name(key), encode(value)) for key, value in values.items() if not same or key not in same]
        lines.sort()  # so that a page is written once
        self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", lines)
        same.difference_update(values)


def _temporary_file() -> sqlite3.Connection:
    file = sqlite3.connect("", isolation_level=None)
    settings = (
        f"page_size = {_PAGE_BYTES}",
        f"cache_size = -{_PAGES_KIB}",
        "journal_mode = OFF",
        "synchronous = OFF",
    )
    for setting in settings:
        file.execute(f"PRAGMA {setting}")
    file.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    file.execute("BEGIN")  # never committed, because no other connection reads the file
    return file
