"""Lists the faults of a shop for each kind of command, in order of precedence."""

from collections.abc import Callable

from pointledger.domain.commands.outcomes import Decision, Reason
from tests.domain import shops
from tests.domain.books import Shop

Fault = tuple[Reason, Callable[[Shop], None]]

# For each kind of command: the faults of a shop, in order of precedence. Anna and Ben have 10 points each,
# Anna holds 5 more, and a rule that refuses grants 50.
CHAINS: dict[str, tuple[Callable[[Shop], Decision], list[Fault]]] = {
    "spend, no account": (
        shops.spend,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(spend_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, shops.status("anna", "suspended")),
            (Reason.BELOW_MINIMUM, shops.configured(min_spend_points=51)),
            (Reason.LIMIT_REACHED, shops.configured(max_spend_per_day=49)),
            (Reason.INSUFFICIENT_BALANCE, shops.nothing),
        ],
    ),
    "spend, closed": (
        shops.spend,
        [
            (Reason.FEATURE_DISABLED, shops.configured(spend_enabled=False)),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.BELOW_MINIMUM, shops.configured(min_spend_points=51)),
            (Reason.INSUFFICIENT_BALANCE, shops.nothing),
        ],
    ),
    "transfer": (
        shops.transfer,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(transfer_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, shops.status("anna", "suspended")),
            (Reason.RECIPIENT_NOT_FOUND, shops.no_account("ben")),
            (Reason.RECIPIENT_INACTIVE, shops.status("ben", "closed")),
            (Reason.MAX_BALANCE, shops.configured(max_balance=20)),
            (Reason.INSUFFICIENT_BALANCE, shops.nothing),
            (Reason.INSUFFICIENT_BALANCE, shops.full("ben")),
        ],
    ),
    "transfer, closed": (
        shops.transfer,
        [
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.RECIPIENT_INACTIVE, shops.status("ben", "suspended")),
            (Reason.INSUFFICIENT_BALANCE, shops.nothing),
        ],
    ),
    "transfer to oneself": (
        shops.transfer_to_oneself,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(transfer_enabled=False)),
            (Reason.SELF_TRANSFER, shops.no_account("anna")),
            (Reason.SELF_TRANSFER, shops.status("anna", "suspended")),
            (Reason.SELF_TRANSFER, shops.configured(max_balance=20)),
        ],
    ),
    "earn": (
        shops.earn,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(earn_enabled=False)),
            (Reason.ACCOUNT_SUSPENDED, shops.status("anna", "suspended")),
            (Reason.LIMIT_REACHED, shops.configured(max_earn_per_day=49)),
            (Reason.MAX_BALANCE, shops.configured(max_balance=20)),
            (Reason.FIGURE_TOO_LARGE, shops.full("anna")),
        ],
    ),
    "apply-rule": (
        shops.event,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(earn_enabled=False)),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.NO_MATCHING_RULE, shops.no_rules),
            (Reason.LIMIT_REACHED, shops.nothing),
        ],
    ),
    "freeze": (
        shops.freeze,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(spend_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, shops.status("anna", "suspended")),
            (Reason.INSUFFICIENT_BALANCE, shops.nothing),
        ],
    ),
    "unfreeze": (
        shops.unfreeze,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.INSUFFICIENT_FROZEN, shops.nothing),
        ],
    ),
    "unfreeze a hold": (
        shops.unfreeze_a_hold,
        [
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.RELATED_NOT_FOUND, shops.no_holds),
            (Reason.RELATED_NOT_REVERSIBLE, shops.released),
            (Reason.INSUFFICIENT_FROZEN, shops.nothing),
        ],
    ),
    "confirm-deduction": (
        shops.capture,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.FEATURE_DISABLED, shops.configured(spend_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, shops.status("anna", "suspended")),
            (Reason.RELATED_NOT_FOUND, shops.no_holds),
            (Reason.RELATED_NOT_REVERSIBLE, shops.released),
            (Reason.INSUFFICIENT_FROZEN, shops.nothing),
        ],
    ),
    "release-holds-due": (
        shops.release_due,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
        ],
    ),
    "adjust, positive": (
        shops.give,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.MAX_BALANCE, shops.configured(max_balance=20)),
            (Reason.FIGURE_TOO_LARGE, shops.full("anna")),
        ],
    ),
    "adjust, negative": (
        shops.take,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.INSUFFICIENT_BALANCE, shops.nothing),
        ],
    ),
    "set-status": (
        shops.close,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.OPEN_HOLDS, shops.nothing),
        ],
    ),
    "expire": (
        shops.expire,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
        ],
    ),
    "refund": (
        shops.refund,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.RELATED_NOT_REVERSIBLE, shops.nothing),
        ],
    ),
    "clawback": (
        shops.clawback,
        [
            (Reason.TENANT_UNKNOWN, shops.no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, shops.no_account("anna")),
            (Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")),
            (Reason.RELATED_NOT_FOUND, shops.nothing),
        ],
    ),
    "refund of nothing": (
        shops.refund_of_nothing,
        [(Reason.ACCOUNT_CLOSED, shops.status("anna", "closed")), (Reason.RELATED_NOT_FOUND, shops.nothing)],
    ),
}
