"""Lots of an account that was unpacked from the file. They stay packed until a decision reads them.

Most commands bring points and look at no lot but the last, to put theirs behind it. An account may have
thousands, and unpacking one takes as long as a twentieth of a decision.
"""

import pickle
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple, overload
from uuid import UUID

from pointledger.domain.ledger.lots import Lot
from pointledger.ids import id_of

_MOST_BUNDLES = 16  # each time an account leaves memory adds one; then they become one again

_IDS = ("id", "entry_id", "origin_id")  # as numbers; the tenant and the account are those of the account
_OTHERS = tuple(field.name for field in fields(Lot) if field.name not in (*_IDS, "tenant_id", "account_id"))
_plain = attrgetter(*(f"{name}.int" for name in _IDS), *_OTHERS)


class Whose(NamedTuple):
    """The fields that all lots of an account share."""

    tenant_id: str
    account_id: UUID

    def lot(self, plain: tuple[Any, ...]) -> Lot:
        """Return the lot of these fields. The entry that brought a lot usually granted it."""
        lot, entry, origin, *others = plain
        entry_id = id_of(entry)
        origin_id = entry_id if origin == entry else id_of(origin)
        return Lot(id_of(lot), self.tenant_id, self.account_id, entry_id, origin_id, *others)


class Packed(NamedTuple):
    """Lots in their order: some bundles of them, how many they are, and the fields of the last."""

    bundles: list[bytes]
    size: int
    last: tuple[Any, ...] | None


class PackedLots(MutableSequence[Lot]):
    """A list of lots. Its length, its last and what is added at its end cost no unpacking."""

    __slots__ = ("_last", "_lots", "_packed", "_whose")

    def __init__(self, whose: Whose, packed: Packed) -> None:
        self._whose = whose
        self._packed: Packed | None = packed if packed.size else None
        self._last: Lot | None = None  # of those that are packed, once it was asked for
        self._lots: list[Lot] = []  # behind those that are packed

    @property
    def in_memory(self) -> int:
        """Return how many lots are not packed."""
        return len(self._lots)

    def packed(self) -> Packed:
        """Return all lots as packed bundles."""
        if self._packed is None or len(self._packed.bundles) >= _MOST_BUNDLES:
            return pack(self)
        if self._last is not None and _plain(self._last) != self._packed.last:
            return pack(self)  # who asked for it has changed it
        if not self._lots:
            return self._packed
        behind = pack(self._lots)
        bundles = self._packed.bundles + behind.bundles
        return Packed(bundles, self._packed.size + behind.size, behind.last)

    def _all(self) -> list[Lot]:
        """Unpack all lots, and return them."""
        if self._packed is not None:
            plain = [each for bundle in self._packed.bundles for each in pickle.loads(bundle)]  # noqa: S301  (as in `pack`)
            lots = list(map(self._whose.lot, plain))
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
            self._last = self._last or self._whose.lot(self._packed.last)
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


def pack(lots: Iterable[Lot]) -> Packed:
    """Return these lots as one bundle."""
    plain = list(map(_plain, lots))
    return Packed([pickle.dumps(plain)] if plain else [], len(plain), plain[-1] if plain else None)
