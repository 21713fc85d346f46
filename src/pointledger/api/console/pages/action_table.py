"""What can be done to members, and to their entries and holds: one table.

Each line makes a form, its dry run and its confirmation (`actions`, `member_actions`). A field has the name
that the command gives it.
"""

from collections.abc import Mapping
from typing import Any

from pointledger.api.console.actions import Action, Field
from pointledger.api.console.pages import goodwill
from pointledger.api.console.visit import Visit
from pointledger.domain.commands import (
    Adjust,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    EraseUser,
    ExtendExpiry,
    Freeze,
    Refund,
    SetExpiryExemption,
    SetStatus,
    Unfreeze,
    WalletAdjust,
)
from pointledger.domain.decisions.reversals import EARNED, REFUNDABLE


def _is_the_member(visit: Visit, values: Mapping[str, Any]) -> dict[str, str]:
    if values["user_id"] == visit.path("user_id"):
        return {}
    return {"user_id": "User id: this is not the id of the member whose page you came from."}


ACTIONS = (
    Action(
        "goodwill",
        "Give goodwill",
        "Gives points as an apology or a thank-you. They expire by the tenant's own policy.",
        "member.goodwill",
        Refund,
        (Field("amount", "Points", "points"),),
        check=goodwill.check,
        around=goodwill.counted,
    ),
    Action(
        "adjust",
        "Adjust",
        "Corrects the balance: gives points above 0, takes them below 0.",
        "member.change",
        Adjust,
        (Field("amount", "Points", "signed", "Like 250, or -250 to take points."),),
    ),
    Action(
        "freeze",
        "Freeze points",
        "Sets points aside. They cannot be spent until they are released.",
        "member.change",
        Freeze,
        (
            Field("amount", "Points", "points"),
            Field("expires_at", "Until", "moment", "In the tenant's time. Until released, if empty.", False),
        ),
        extra={"sender": "administrator"},
        is_grave=True,
    ),
    Action(
        "release",
        "Release points",
        "Makes frozen points available again.",
        "member.change",
        Unfreeze,
        (
            Field("hold_id", "Hold", "id", "The oldest holds first, if empty.", False),
            Field("amount", "Points", "points", "All of the hold, if empty.", False),
        ),
        extra={"sender": "administrator"},
    ),
    Action(
        "capture",
        "Spend frozen points",
        "Spends the points of a hold, or a part of them, and releases the rest.",
        "member.change",
        ConfirmDeduction,
        (
            Field("hold_id", "Hold", "id"),
            Field("amount", "Points", "points", "All that is held, if empty.", False),
        ),
        is_grave=True,
        by_itself=False,
    ),
    Action(
        "refund",
        "Refund",
        "Gives back points that an entry spent, to the lots that paid.",
        "member.change",
        Refund,
        (Field("related_id", "Entry", "id"), Field("amount", "Points", "points")),
        by_itself=False,
    ),
    Action(
        "clawback",
        "Claw back",
        "Takes back points that an entry earned, for example because a purchase was returned.",
        "member.change",
        Clawback,
        (
            Field("related_id", "Entry", "id"),
            Field("amount", "Points", "points", "All that is left of the entry, if empty.", False),
            Field(
                "policy",
                "How far",
                "choice",
                choices=(
                    ("within_balance", "What is available or pending"),
                    ("only_pending", "Only what is still pending"),
                    ("arrears", "All of it: the rest becomes debt"),
                ),
            ),
        ),
        is_grave=True,
        by_itself=False,
    ),
    Action(
        "cancel-pending",
        "Cancel pending points",
        "Takes back the points of an entry that are still pending.",
        "member.change",
        CancelPending,
        (Field("related_id", "Entry", "id"),),
        is_grave=True,
        by_itself=False,
    ),
    Action(
        "extend",
        "Extend expiry",
        "Moves the expiry of points to later.",
        "member.change",
        ExtendExpiry,
        (
            Field("expiring_before", "Points that expire before", "moment", "In the tenant's time."),
            Field("days", "Longer by", "days", "Calendar days, counted from each lot's own expiry."),
        ),
    ),
    Action(
        "extend-lot",
        "Extend the lot's expiry",
        "Moves the expiry of the points of one entry to later.",
        "member.change",
        ExtendExpiry,
        (
            Field("lots", "Lot, or the entry that brought it", "ids"),
            Field("days", "Longer by", "days", "Calendar days, counted from each lot's own expiry."),
        ),
        by_itself=False,
    ),
    Action(
        "exempt",
        "Exempt from expiry",
        "Keeps points of the account from expiring, or lets them expire again after the tenant's notice.",
        "member.change",
        SetExpiryExemption,
        (
            Field(
                "exempt",
                "Points of this account",
                "flag",
                choices=(("yes", "do not expire"), ("no", "expire again, after the notice")),
            ),
        ),
    ),
    Action(
        "status",
        "Change status",
        "Suspends or reactivates the account, or closes it for good.",
        "member.change",
        SetStatus,
        (
            Field(
                "status",
                "Status",
                "choice",
                choices=(
                    ("suspended", "suspended: neither earns nor spends"),
                    ("active", "active"),
                    ("closed", "closed for good: its points are forfeited"),
                ),
            ),
        ),
        is_grave=True,
    ),
    Action(
        "wallet",
        "Adjust the wallet",
        "Puts money into the wallet, or takes it out. The first deposit opens it, in the tenant's currency.",
        "member.change",
        WalletAdjust,
        (
            Field(
                "type",
                "What",
                "choice",
                choices=(("deposit", "put money in"), ("withdraw", "take money out")),
            ),
            Field("amount", "Amount", "money", "In the wallet's currency, like 12.50."),
        ),
        is_grave=True,
    ),
    Action(
        "erase",
        "Erase",
        "Erases the member for good. A pseudonym takes the place of the user id, texts are deleted, points "
        "are forfeited. Nothing undoes it.",
        "member.erase",
        EraseUser,
        (Field("user_id", "User id", "user", "Type the id of the member once more."),),
        check=_is_the_member,
        is_grave=True,
        keeps_member=False,
    ),
)
BY_NAME = {action.name: action for action in ACTIONS}


def allowed(visit: Visit) -> list[Action]:
    """Return the actions to which the member's page leads, for this person."""
    return [action for action in ACTIONS if action.by_itself and visit.may(action.permission)]


def of_entry(visit: Visit, entry: Mapping[str, Any], *, has_lots: bool) -> list[tuple[Action, str]]:
    """Return what can be done to an entry, each with the address of its form."""
    kind = (entry["type"], entry["subtype"])
    fields: dict[str, dict[str, Any]] = {}
    if kind in REFUNDABLE:
        fields["refund"] = {"related_id": entry["id"], "amount": entry["amount"]}
    if kind in EARNED:
        fields["clawback"] = {"related_id": entry["id"]}
        if entry["delta_pending"] > 0:
            fields["cancel-pending"] = {"related_id": entry["id"]}
    if has_lots:
        fields["extend-lot"] = {"lots": entry["id"]}
    return [
        (action, visit.url("members", entry["user_id"], "actions", action.name, **fields[action.name]))
        for action in ACTIONS
        if action.name in fields and visit.may(action.permission)
    ]
