"""Packed lots behave like a list of lots."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pointledger.domain.ledger.lots import Lot, put
from pointledger.observability.replay.packed_lots import LotOwner, PackedLots, pack_lots
from tests.domain.books import NOON, SHOP

_ACCOUNT = UUID(int=1)
_OWNER = LotOwner(SHOP, _ACCOUNT)
_EXPIRIES = st.one_of(st.none(), st.integers(0, 5))
STEPS = st.one_of(
    st.tuples(st.just("put"), _EXPIRIES),
    st.tuples(
        st.sampled_from(["pack", "read all", "last", "spend from the last", "spend from the first"]),
        st.none(),
    ),
)


def _lot(nth: int, expiry: int | None) -> Lot:
    entry = UUID(int=100 + nth)
    return Lot(
        id=UUID(int=1_000 + nth),
        tenant_id=SHOP,
        account_id=_ACCOUNT,
        entry_id=entry,
        origin_id=entry if nth % 2 else UUID(int=7),
        amount=100,
        remaining=100,
        earned_at=NOON,
        expires_at=None if expiry is None else NOON + timedelta(days=expiry),
        seq=nth,
        place=0,
        activates_at=NOON if nth % 3 else None,
    )


@given(st.lists(STEPS, max_size=60))
def test_packed_lots_behave_like_a_list_after_any_number_of_packings(
    steps: list[tuple[str, int | None]],
) -> None:
    packed: Any = PackedLots(_OWNER, pack_lots([]))
    plain: list[Lot] = []
    for nth, (step, expiry) in enumerate(steps):
        if step == "put":
            put(packed, _lot(nth, expiry))
            put(plain, _lot(nth, expiry))
        elif step == "pack":
            packed = PackedLots(_OWNER, packed.packed())
        elif step == "read all":
            assert list(packed) == plain
        elif plain:
            place = 0 if step == "spend from the first" else -1
            if step != "last":
                packed[place].remaining -= 1
                plain[place].remaining -= 1
            assert packed[place] == plain[place]
        assert (len(packed), bool(packed)) == (len(plain), bool(plain))
    assert list(PackedLots(_OWNER, packed.packed())) == plain
    assert list(packed) == plain


def test_appending_a_lot_unpacks_none() -> None:
    some = pack_lots([_lot(1, 1), _lot(2, 2)])
    lots: Any = PackedLots(_OWNER, some)
    put(lots, _lot(3, 3))
    assert lots.in_memory == 1
    assert lots.packed().bundles[0] is some.bundles[0]
