"""The HTTP status of every refusal, by reason, and of every failure, by exception class."""

from pointledger import errors
from pointledger.domain.commands.outcomes import CANCELLED, IDEMPOTENCY_KEY_REUSED, INVALID_COMMAND, Reason

OF_REASON: dict[str, int] = {
    Reason.TENANT_UNKNOWN: 404,
    Reason.FEATURE_DISABLED: 403,
    Reason.SELF_TRANSFER: 400,
    Reason.ACCOUNT_NOT_FOUND: 404,
    Reason.ACCOUNT_EXISTS: 409,
    Reason.ACCOUNT_SUSPENDED: 409,
    Reason.ACCOUNT_CLOSED: 409,
    Reason.ACCOUNT_ERASED: 409,
    Reason.OPEN_HOLDS: 409,
    Reason.RECIPIENT_NOT_FOUND: 404,
    Reason.RECIPIENT_INACTIVE: 409,
    Reason.RELATED_NOT_FOUND: 404,
    Reason.RELATED_NOT_REVERSIBLE: 409,
    Reason.NO_MATCHING_RULE: 404,
    Reason.BELOW_MINIMUM: 409,
    Reason.LIMIT_REACHED: 409,
    Reason.MAX_BALANCE: 409,
    Reason.INSUFFICIENT_BALANCE: 409,
    Reason.INSUFFICIENT_FROZEN: 409,
    Reason.FIGURE_TOO_LARGE: 409,
    Reason.WALLET_NOT_FOUND: 404,
    Reason.WALLET_INACTIVE: 409,
    Reason.CURRENCY_MISMATCH: 422,
    Reason.AMOUNT_INVALID: 422,
    CANCELLED: 409,
    INVALID_COMMAND: 400,
    IDEMPOTENCY_KEY_REUSED: 422,
}

UNAVAILABLE = 503  # a failure on the server's side; a retry can succeed

# Status, message and reason. A failure that is not in the table is UNAVAILABLE.
OF_FAILURE: dict[type[errors.LedgerError], tuple[int, str, str | None]] = {
    errors.InvalidCommand: (400, "the request is invalid", None),
    errors.InvalidTenant: (400, "the configuration is invalid", None),
    errors.InvalidRule: (400, "the rule is invalid", None),
    errors.TenantMissing: (404, "no such tenant", Reason.TENANT_UNKNOWN),
    errors.AccountMissing: (404, "no such account", Reason.ACCOUNT_NOT_FOUND),
    errors.EntryMissing: (404, "no such transaction", None),
    errors.HoldMissing: (404, "no such hold", None),
    errors.WalletMissing: (404, "no such wallet", Reason.WALLET_NOT_FOUND),
    errors.BatchMissing: (404, "no such task", None),
    errors.NotCashEquivalent: (409, "points of this type have no cash value", None),
    errors.IdempotencyKeyReused: (
        422,
        "the idempotency key was used before with other content",
        IDEMPOTENCY_KEY_REUSED,
    ),
}
