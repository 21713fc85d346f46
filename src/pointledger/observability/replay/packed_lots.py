"""Keeps the lots of an unpacked account packed until a decision reads them.

Most commands grant points: they read only the last lot, to append theirs. An account can have thousands of
lots, and unpacking one lot takes a twentieth of the time of a decision.
"""

import pickle
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple, overload
from uuid import UUID

from pointledger.domain.ledger.lots import Lot
from pointledger.ids import id_of

_MOST_BUNDLES = 16  # an account adds one each time it leaves memory; then they are merged into one

_IDS = ("id", "entry_id", "origin_id")  # packed as numbers; the owner has the other two ids
_OTHERS = tuple(field.name for field in fields(Lot) if field.name not in (*_IDS, "tenant_id", "account_id"))
_plain = attrgetter(*(f"{name}.int" for name in _IDS), *_OTHERS)


class LotOwner(NamedTuple):
    """The fields that all lots of an account share."""

    tenant_id: str
    account_id: UUID

    def lot(self, plain: tuple[Any, ...]) -> Lot:
        """Return the lot of these fields. Its entry is usually its origin."""
        lot, entry, origin, *others = plain
        entry_id = id_of(entry)
        origin_id = entry_id if origin == entry else id_of(origin)
        return Lot(id_of(lot), self.tenant_id, self.account_id, entry_id, origin_id, *others)


class LotBundles(NamedTuple):
    """Packed lots in order: bundles of them, their number, and the fields of the last."""

    bundles: list[bytes]
    size: int
    last: tuple[Any, ...] | None


class PackedLots(MutableSequence[Lot]):
    """A list of lots. Its length, its last lot and appending need no unpacking."""

    __slots__ = ("_last", "_lots", "_owner", "_packed")

    def __init__(self, owner: LotOwner, packed: LotBundles) -> None:
        self._owner = owner
        self._packed: LotBundles | None = packed if packed.size else None
        self._last: Lot | None = None  # the last packed lot, once a caller has read it
        self._lots: list[Lot] = []  # after the packed ones

    @property
    def in_memory(self) -> int:
        """Return how many lots are not packed."""
        return len(self._lots)

    def packed(self) -> LotBundles:
        """Return all lots as packed bundles."""
        if self._packed is None or len(self._packed.bundles) >= _MOST_BUNDLES:
            return pack_lots(self)
        if self._last is not None and _plain(self._last) != self._packed.last:
            return pack_lots(self)  # the caller that read the last lot has changed it
        if not self._lots:
            return self._packed
        appended = pack_lots(self._lots)
        bundles = self._packed.bundles + appended.bundles
        return LotBundles(bundles, self._packed.size + appended.size, appended.last)

    def _all(self) -> list[Lot]:
        """Unpack all lots, and return them."""
        if self._packed is not None:
            plain = [each for bundle in self._packed.bundles for each in pickle.loads(bundle)]  # noqa: S301  (`pack.py` says why)
            lots = list(map(self._owner.lot, plain))
            if self._last is not None:
                lots[-1] = self._last
            self._lots[:0] = lots
            self._packed = None
        return self._lots

    def __len__(self) -> int:
        return len(self._lots) + (self._packed.size if self._packed else 0)

    def __iter__(self) -> Iterator[Lot]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Lot: ...
    @overload
    def __getitem__(self, index: slice) -> list[Lot]: ...
    def __getitem__(self, index: int | slice) -> Lot | list[Lot]:
        if index == -1 and not self._lots and self._packed and self._packed.last:
            self._last = self._last or self._owner.lot(self._packed.last)
            return self._last
        return self._lots[-1] if index == -1 and self._lots else self._all()[index]

    @overload
    def __setitem__(self, index: int, value: Lot) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Lot]) -> None: ...
    def __setitem__(self, index: Any, value: Any) -> None:
        self._all()[index] = value

    def __delitem__(self, index: int | slice) -> None:
        del self._all()[index]

    def insert(self, index: int, value: Lot) -> None:
        self._all().insert(index, value)

    def append(self, value: Lot) -> None:
        self._lots.append(value)


def pack_lots(lots: Iterable[Lot]) -> LotBundles:
    """Return these lots as one bundle."""
    plain = list(map(_plain, lots))
    return LotBundles([pickle.dumps(plain)] if plain else [], len(plain), plain[-1] if plain else None)
