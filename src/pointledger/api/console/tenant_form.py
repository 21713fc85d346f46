"""The form of a tenant's configuration. The ledger writes `former_zones` itself, so the form keeps them."""

from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from pointledger.api.console.forms import EVERYTHING, Form, FormField, Group, about
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.domain.program.tenant import Tenant

# The ledger sets these: which tenant it is, and the zones that it had.
OWN = ("tenant_id", "former_zones")
GROUPS = {
    "Points and money": (
        "points_type", "currency", "exchange_rate", "max_balance", "min_spend_points", "max_earn_per_day",
        "max_spend_per_day",
    ),
    "Calendar": ("timezone", "backdating_days"),
    "Expiry": (
        "expiry_mode", "default_expiry_days", "default_expiry_months", "expiry_round", "expiry_date",
        "expire_enabled", "expiry_notice_days", "expires_not_before", "expire_accounts_per_run",
        "refund_grace_days", "hold_grace_days",
    ),
    "What is allowed": ("earn_enabled", "spend_enabled", "exchange_enabled", "transfer_enabled"),
    "Operation": ("dead_policy", "events"),
}  # fmt: skip
_LABELS = {
    "timezone": "Time zone",
    "exchange_rate": "Points per currency unit",
    "max_balance": "Most on an account",
    "min_spend_points": "Least that a spend takes",
    "max_earn_per_day": "Most earned on a day",
    "max_spend_per_day": "Most spent on a day",
    "backdating_days": "Days back that are believed",
    "expiry_mode": "Points expire",
    "default_expiry_days": "After days",
    "default_expiry_months": "After months",
    "expiry_round": "Until the end of",
    "expiry_date": "After a yearly date",
    "expire_enabled": "Expiry is on",
    "expires_not_before": "Nothing expires before",
    "expire_accounts_per_run": "Accounts per nightly run",
    "refund_grace_days": "Grace days of refunds",
    "hold_grace_days": "Grace days of holds",
    "earn_enabled": "Earning",
    "spend_enabled": "Spending",
    "exchange_enabled": "Exchange for money",
    "transfer_enabled": "Transfers",
    "dead_policy": "After a dead command",
    "events": "Events sent",
}


def label_of(name: str) -> str:
    """Return a field's name in words."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _field(name: str, info: FieldInfo) -> FormField:
    label, help = label_of(name), about(Tenant, name)
    kinds = _kinds(info.annotation)
    if name == "events":
        everything = (EVERYTHING, "all, also those of later versions")
        return FormField(name, label, "set", help, (everything, *((each, each) for each in EVENT_TYPES)))
    if choices := [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]:
        words = tuple((value, value.replace("_", " ")) for value in choices)
        return FormField(name, label, "choice", help, words)
    if bool in kinds:
        return FormField(name, label, "flag", help)
    return FormField(name, label, "whole" if int in kinds else "text", help)


def _kinds(annotation: Any) -> set[Any]:
    """Return the types that a field may have, without None and what they are annotated with."""
    if get_origin(annotation) is Literal or not get_args(annotation):
        return {annotation} - {NoneType}
    inner = get_args(annotation)
    found = inner[:1] if hasattr(annotation, "__metadata__") else inner
    return set().union(*map(_kinds, found))


TENANT_FORM = Form(
    tuple(
        Group(title, tuple(_field(name, Tenant.model_fields[name]) for name in names))
        for title, names in GROUPS.items()
    )
)
assert {each.path for each in TENANT_FORM.fields()} | set(OWN) == set(Tenant.model_fields), (
    "the form has every field of the configuration"
)
