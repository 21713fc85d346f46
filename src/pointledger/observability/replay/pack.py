"""Packs accounts, windows and past entries as plain tuples, in a third of the time and space of pickles.

Only this process can read the file, so unpacking it is safe. The file disappears with the process.
"""

import marshal
import pickle
from dataclasses import fields
from datetime import date, datetime
from operator import attrgetter
from typing import Any

from pointledger.domain.decisions.replay import PastEntry
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.holds import HeldLot, Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.limits import Usage, Window
from pointledger.ids import id_of
from pointledger.observability.replay.packed_lots import LotBundles, LotOwner, PackedLots, pack_lots

_NOT_PLAIN = ("lots", "pending", "holds", "as_loaded")  # packed separately, or not packed
_ACCOUNT = tuple(field.name for field in fields(Account) if field.name not in _NOT_PLAIN)
_HOLD = tuple(field.name for field in fields(Hold) if field.name != "lots")

_account_fields, _hold_fields = attrgetter(*_ACCOUNT), attrgetter(*_HOLD)


def pack_account(account: Account) -> bytes:
    """Pack an account with its lots and open holds. A held lot is the account's, or has ended."""
    others = list(account.pending)  # numbered after the active lots
    holds = _plain_holds(account, others) if account.holds else []
    lots: Any = account.lots
    active = lots.packed() if isinstance(lots, PackedLots) else pack_lots(lots)
    parts = tuple(active), tuple(pack_lots(others)), len(account.pending)
    return pickle.dumps((_account_fields(account), *parts, holds))


def _plain_holds(account: Account, others: list[Lot]) -> list[Any]:
    """Pack the holds. A lot becomes its place in the active lots and `others`; ended lots join `others`."""
    places = {id(lot): place for place, lot in enumerate((*account.lots, *others))}
    holds = []
    for hold in account.holds.values():
        for held in hold.lots:
            if id(held.lot) not in places:
                places[id(held.lot)] = len(places)
                others.append(held.lot)
        parts = [(places[id(held.lot)], held.amount, held.frozen) for held in hold.lots]
        holds.append((_hold_fields(hold), parts))
    return holds


def unpack_account(text: bytes) -> Account:
    """Unpack an account. Its active lots stay packed until they are read."""
    own, active, others, pending, holds = pickle.loads(text)  # noqa: S301  (the module says why)
    account = Account(**dict(zip(_ACCOUNT, own, strict=True)))
    owner = LotOwner(account.tenant_id, account.id)
    lots: Any = PackedLots(owner, LotBundles(*active))
    unpacked_others = list(PackedLots(owner, LotBundles(*others)))
    account.lots, account.pending = lots, unpacked_others[:pending]
    known = [*lots, *unpacked_others] if holds else []
    for each, parts in holds:
        hold = Hold(**dict(zip(_HOLD, each, strict=True)))
        hold.lots = [HeldLot(known[place], amount, frozen) for place, amount, frozen in parts]
        account.holds[hold.id] = hold
    return account


def window_key(key: Window) -> bytes:
    """Return bytes that sort like users, meters, periods and days."""
    return "\x00".join((key.user_id, key.meter, key.period, key.starts_on.isoformat())).encode()


def window_of(tenant_id: str, key: bytes) -> Window:
    """Return the window of this key."""
    user_id, meter, period, day = key.decode().split("\x00")
    return Window(tenant_id, user_id, meter, period, date.fromisoformat(day))


def pack_usage(usage: Usage) -> bytes:
    return marshal.dumps((usage.points, usage.times))


def unpack_usage(text: bytes) -> Usage:
    return Usage(*marshal.loads(text))  # noqa: S302


def pack_past_entry(past: PastEntry) -> bytes:
    account_id, kind, amount, moment, rule, brought, shares, undone = past
    return marshal.dumps(
        (
            account_id.int,
            kind,
            amount,
            moment.isoformat(),
            (rule[0].int, rule[1]) if rule else None,
            brought.int if brought else None,
            [(lot_id.int, taken, returned) for lot_id, taken, returned in shares] if shares else (),
            undone,
        )
    )


def unpack_past_entry(text: bytes) -> PastEntry:
    account, kind, amount, moment, rule, brought, shares, undone = marshal.loads(text)  # noqa: S302
    return PastEntry(
        id_of(account),
        kind,
        amount,
        datetime.fromisoformat(moment),
        (id_of(rule[0]), rule[1]) if rule else None,
        id_of(brought) if brought is not None else None,
        tuple((id_of(lot_id), taken, returned) for lot_id, taken, returned in shares),
        undone,
    )
