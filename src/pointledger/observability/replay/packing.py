"""What lies on the shelves, packed: a third of the time, and of the room, that pickling it takes (measured).

The file is our own and nobody else sees it, so `marshal` is safe; and it lives no longer than this process.
"""

import marshal
from dataclasses import fields
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from pointledger.domain.decisions.replay import Past
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.holds import HeldLot, Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.limits import Usage, Window

_PARTS = ("lots", "pending", "holds", "as_loaded")  # of an account, packed apart or not at all
_ACCOUNT = tuple(field.name for field in fields(Account) if field.name not in _PARTS)
_LOT = tuple(field.name for field in fields(Lot))
_HOLD = tuple(field.name for field in fields(Hold) if field.name != "lots")

_account_fields, _lot_fields, _hold_fields = attrgetter(*_ACCOUNT), attrgetter(*_LOT), attrgetter(*_HOLD)


def pack_account(account: Account) -> bytes:
    """An account with its lots and open holds. The lots of a hold are the account's, or at their end."""
    lots = [*account.lots, *account.pending]
    places = {id(lot): place for place, lot in enumerate(lots)}
    holds = []
    for hold in account.holds.values():
        for held in hold.lots:
            if id(held.lot) not in places:
                places[id(held.lot)] = len(lots)
                lots.append(held.lot)
        parts = [(places[id(held.lot)], held.amount, held.frozen) for held in hold.lots]
        holds.append((_plain(_hold_fields(hold)), parts))
    packed = [_plain(_lot_fields(lot)) for lot in lots]
    counts = len(account.lots), len(account.pending)
    return marshal.dumps((_plain(_account_fields(account)), packed, counts, holds))


def unpack_account(text: bytes) -> Account:
    """The account of what `pack_account` gave."""
    own, packed, (active, pending), holds = marshal.loads(text)  # noqa: S302  (the module says why)
    account = Account(**dict(zip(_ACCOUNT, _rich(own), strict=True)))
    lots = [Lot(**dict(zip(_LOT, _rich(each), strict=True))) for each in packed]
    account.lots, account.pending = lots[:active], lots[active : active + pending]
    for each, parts in holds:
        hold = Hold(**dict(zip(_HOLD, _rich(each), strict=True)))
        hold.lots = [HeldLot(lots[place], amount, frozen) for place, amount, frozen in parts]
        account.holds[hold.id] = hold
    return account


def _plain(values: tuple[Any, ...]) -> list[Any]:
    """Ids as bytes and moments as text in a tuple, all else as it is."""
    return [
        value.bytes
        if value.__class__ is UUID
        else (value.isoformat(),)
        if value.__class__ is datetime
        else value
        for value in values
    ]


def _rich(values: list[Any]) -> list[Any]:
    return [
        UUID(bytes=value)
        if value.__class__ is bytes
        else datetime.fromisoformat(value[0])
        if value.__class__ is tuple
        else value
        for value in values
    ]


def window_key(key: Window) -> bytes:
    """Sorts as users, meters, periods and days do."""
    return "\x00".join((key.user_id, key.meter, key.period, key.starts_on.isoformat())).encode()


def window_of(tenant_id: str, key: bytes) -> Window:
    """The window that lies under this key."""
    user_id, meter, period, day = key.decode().split("\x00")
    return Window(tenant_id, user_id, meter, period, date.fromisoformat(day))


def pack_usage(usage: Usage) -> bytes:
    return marshal.dumps((usage.points, usage.times))


def unpack_usage(text: bytes) -> Usage:
    return Usage(*marshal.loads(text))  # noqa: S302


def pack_past(past: Past) -> bytes:
    shares = [(lot_id.bytes, taken, returned) for lot_id, taken, returned in past.shares]
    rule = (past.rule[0].bytes, past.rule[1]) if past.rule else None
    brought = past.brought.bytes if past.brought else None
    moment = past.occurred_at.isoformat()
    return marshal.dumps(
        (past.account_id.bytes, past.kind, past.amount, moment, rule, brought, shares, past.undone)
    )


def unpack_past(text: bytes) -> Past:
    account, kind, amount, moment, rule, brought, shares, undone = marshal.loads(text)  # noqa: S302
    return Past(
        UUID(bytes=account),
        kind,
        amount,
        datetime.fromisoformat(moment),
        (UUID(bytes=rule[0]), rule[1]) if rule else None,
        UUID(bytes=brought) if brought else None,
        tuple((UUID(bytes=lot_id), taken, returned) for lot_id, taken, returned in shares),
        undone,
    )
