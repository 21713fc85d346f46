"""Provides dictionaries that outgrow memory: recently used values stay there, the others go to a file.

The file is an unnamed SQLite database in TMPDIR, so it disappears with the process, even after a crash.
"""

import pickle
import sqlite3
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

_CACHE_KIB = 8_192  # of the file in memory, for each dictionary
# An account with some lots fits into a page. With SQLite's default, 4 KiB, a replay took four times as long.
_PAGE_BYTES = 16_384

_ALL = "SELECT key, value FROM kept ORDER BY key"

K = TypeVar("K")
V = TypeVar("V")


class SpilledDict(MutableMapping[K, V], Generic[K, V]):
    """A dictionary with about `most` values in memory. With `weigh`, a value counts for its weight.

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
        # Estimate for the younger generation: a value adds its weight as it enters, and 1 for each later put.
        self._weight = 0
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
        """Put all values, twice as fast as one by one, because their hashes are known."""
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
        encoded = self._key
        memory = {encoded(key): value for each in (self._old, self._young) for key, value in each.items()}
        keys = iter(sorted(memory))
        own = next(keys, None)
        for key, text in self._file.execute(_ALL) if self._file else ():
            while own is not None and own < key:
                yield own, memory[own]
                own = next(keys, None)
            if own == key:  # the value in memory is newer
                yield key, memory[key]
                own = next(keys, None)
            else:
                yield key, self._decode(text)
        while own is not None:
            yield own, memory[own]
            own = next(keys, None)

    def _make_room(self) -> None:
        """Spill the older generation when the younger is full. A value in both is written again later."""
        if self._is_full():
            self._spill(self._old)
            self._old, self._young, self._weight = self._young, {}, 0

    def _is_full(self) -> bool:
        """Return whether the younger generation has grown to its share.

        Values grow in memory, so the generation is weighed again when the estimate says it is full. It counts
        as full a little early, because weighing it repeatedly is expensive.
        """
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
        name, encode, unchanged = self._key, self._encode, self._unchanged
        rows = [(name(key), encode(value)) for key, value in values.items() if key not in unchanged]
        rows.sort()  # so each page is written once
        self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)
        unchanged.difference_update(values)


def _temporary_file() -> sqlite3.Connection:
    file = sqlite3.connect("", isolation_level=None)
    settings = (
        f"page_size = {_PAGE_BYTES}",
        f"cache_size = -{_CACHE_KIB}",
        "journal_mode = OFF",
        "synchronous = OFF",
    )
    for setting in settings:
        file.execute(f"PRAGMA {setting}")
    file.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    file.execute("BEGIN")  # never committed, because no other connection reads the file
    return file
