"""What the model knows of holds."""

from datetime import datetime

from pointledger.domain import commands as c
from pointledger.domain.outcomes import Reason
from tests.machine.ground import Ground, No, Told
from tests.machine.purses import Entry, Hold, Purse, take


class Holds(Ground):
    """Points set aside: captured or released, once."""

    def freeze(self, command: c.Freeze, at: datetime) -> Told:
        self._must_be_on("spend_enabled")
        purse = self._purse(command.user_id, "suspended", "closed")
        self._touch(purse, at)
        self._must_have(purse, command.amount)
        with self._entry(purse, "hold", command.amount, at) as entry:
            entry.hold = Hold(take(purse.available, command.amount), purse.clock, command.expires_at)
            for lot, share in entry.hold.shares:
                lot.frozen += share
        purse.holds.append(entry.hold)
        return {}, [entry]

    def unfreeze(self, command: c.Unfreeze, at: datetime, related: Entry | None) -> Told:
        purse = self._purse(command.user_id, "closed")
        self._touch(purse, at)
        holds = [hold for hold in purse.holds if hold.is_open]
        if command.hold_id:
            holds = [self._open_hold(purse, related)]
        held = sum(hold.held for hold in holds)
        amount = rest = command.amount or held
        if amount > held:
            raise No(Reason.INSUFFICIENT_FROZEN)
        shown = []
        for hold in holds:
            if share := min(hold.held, rest):
                shown.append(self._release(purse, hold, share, "release", purse.clock, at))
                rest -= share
        self._expire_due(purse)
        return {"points_released": amount}, shown

    def capture(self, command: c.ConfirmDeduction, at: datetime, related: Entry | None) -> Told:
        self._must_be_on("spend_enabled")
        purse = self._purse(command.user_id, "suspended", "closed")
        self._touch(purse, at)
        hold = self._open_hold(purse, related)
        amount = rest = command.amount or hold.held
        if amount > hold.held:
            raise No(Reason.INSUFFICIENT_FROZEN)
        with self._entry(purse, "capture", amount, at) as entry:
            for share in sorted(hold.shares, key=lambda share: share[0].order):
                part = min(share[1], rest)
                rest -= part
                share[1] -= part
                share[0].frozen -= part
                entry.shares.append([share[0], part])
        hold.is_open = False
        shown, rest = [entry], hold.held
        if rest:
            shown.append(self._release(purse, hold, rest, "release", purse.clock, at))
            self._expire_due(purse)
        return {"points_captured": amount, "points_released": rest}, shown

    def _open_hold(self, purse: Purse, related: Entry | None) -> Hold:
        if related is None or related.hold not in purse.holds:
            raise No(Reason.RELATED_NOT_FOUND)
        if not related.hold.is_open:
            raise No(Reason.RELATED_NOT_REVERSIBLE)
        return related.hold
