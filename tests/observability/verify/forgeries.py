"""Forgeries: later changes after which the numbers still agree with each other."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pointledger import ApplyRule, Earn, ExtendExpiry, Freeze, Spend, WalletAdjust
from tests.ledger import Ledger

_UNA = "(SELECT id FROM accounts WHERE user_id = 'una')"
_OLE = "(SELECT id FROM accounts WHERE user_id = 'ole')"
_SPEND = "(SELECT id FROM entries WHERE type = 'spend')"


def create_short_history(ledger: Ledger) -> None:
    """Create the history that the forgeries change."""
    ledger.tenant(min_spend_points=5, max_spend_per_day=100)
    ledger.rule(
        name="visits",
        event_type="visit",
        base={"kind": "per_unit", "field": "rooms", "per": 1, "points": 5},
        daily_limit=20,
        expiry_days=60,
    )
    una: dict[str, Any] = {"tenant_id": "shop", "user_id": "una"}
    ledger.apply(
        ApplyRule(**una, event_type="visit", metadata={"rooms": 2}),
        ApplyRule(tenant_id="shop", user_id="ole", event_type="visit", metadata={"rooms": 1}),
    )
    ledger.apply(Earn(**una, amount=50))
    ledger.apply(
        Spend(**una, amount=7),
        Spend(**una, amount=4),  # refused: below the minimum
        Spend(**una, amount=90),  # refused: above the balance
        ApplyRule(**una, event_type="nobody.listens"),
        Freeze(**una, amount=10, expires_at=datetime.now(UTC) + timedelta(days=9)),
        ExtendExpiry(**una, expiring_before=datetime.now(UTC), never=True, reason="nothing is due"),
        WalletAdjust(**una, type="deposit", amount="5", reason="sorry"),
    )
    ledger.apply(
        ExtendExpiry(
            **una, expiring_before=datetime.now(UTC) + timedelta(days=99), days=1, reason="a day more"
        )
    )


class Forgery(NamedTuple):
    """The forged thing, the replay checks that find it or its consequences, and the SQL.

    `violates`: the invariants of `verify` that also find it, in most cases none.
    """

    of: str
    found_by: str
    violates: str
    sql: str


FORGERIES = [
    Forgery(
        "a rule's body",
        "R2 R3 R5 R6 R7 R8 R11",
        "",
        """UPDATE rule_versions SET body = jsonb_set(body::jsonb, '{award,base,points}', '6')::json""",
    ),
    Forgery(
        "a rule's age",
        "R2 R3 R4 R5 R6 R7 R8 R10 R11",
        "",
        "UPDATE rule_versions SET in_force_from = now() + interval '1 day'",
    ),
    Forgery(
        "an event",
        "R2 R3 R5 R7 R8",
        "",
        """UPDATE journal SET payload = jsonb_set(payload::jsonb, '{metadata,rooms}', '2')::json
           WHERE kind = 'apply-rule' AND user_id = 'ole'""",
    ),
    Forgery(
        "a command",
        "R1",
        "",
        "UPDATE journal SET payload = '{}' WHERE payload ->> 'amount' = '90'",
    ),
    Forgery(
        "an amount, in every table",
        "R2 R3 R5 R7 R8",
        "",
        f"""UPDATE entries SET amount = 6, delta = 6, balance_after = 6 WHERE account_id = {_OLE};
            UPDATE lots SET amount = 6, remaining = 6 WHERE account_id = {_OLE};
            UPDATE accounts SET balance = 6, total_earned = 6 WHERE user_id = 'ole';
            UPDATE usage SET points = 6 WHERE user_id = 'ole';
            UPDATE outcomes SET data = regexp_replace(data::text, ':5([,}}])', ':6\\1', 'g')::json
            WHERE id = (SELECT command_id FROM entries WHERE account_id = {_OLE})""",
    ),
    Forgery(
        "an expiry",
        "R3 R5",
        "",
        f"""UPDATE lots SET expires_at = expires_at + interval '1 year' WHERE account_id = {_OLE};
            UPDATE entries SET expires_at = expires_at + interval '1 year' WHERE account_id = {_OLE};
            UPDATE accounts SET next_expiry_at = next_expiry_at + interval '1 year' WHERE user_id = 'ole'""",
    ),
    Forgery(
        "a refusal's reason",
        "R2",
        "",
        """UPDATE outcomes SET reason = 'LIMIT_REACHED', message = '0 points are left to spend that day'
           WHERE reason = 'INSUFFICIENT_BALANCE'""",
    ),
    Forgery(
        "a refusal that became a success",
        "R2",
        "",
        """UPDATE outcomes SET state = 'applied', reason = NULL, message = NULL,
                  data = '{"points_earned": 0, "grants": [], "transactions": []}'
           WHERE reason = 'NO_MATCHING_RULE'""",
    ),
    Forgery(
        "a configuration",
        "R2 R3 R4 R5 R6 R7 R8 R9 R10 R11",
        "",
        """UPDATE tenant_versions SET config = jsonb_set(config::jsonb, '{min_spend_points}', '1')::json""",
    ),
    Forgery(
        "the order",
        "R2 R3 R4 R5 R6 R7 R10 R11",
        "",
        """UPDATE outcomes SET batch = 1 - batch
           WHERE id = (SELECT command_id FROM entries WHERE subtype = 'manual')""",
    ),
    Forgery(
        "a moment", "R3", "", f"UPDATE entries SET occurred_at = occurred_at + '1 us' WHERE id = {_SPEND}"
    ),
    Forgery("a move", "R4", "I4b I4c", f"UPDATE lot_moves SET amount = amount + 1 WHERE entry_id = {_SPEND}"),
    Forgery("a hold", "R6", "", "UPDATE holds SET expires_at = expires_at + interval '1 year'"),
    Forgery("an account's clock", "R7", "", f"UPDATE accounts SET as_of = as_of + '1 s' WHERE id = {_UNA}"),
    Forgery(
        "an account's exemption",
        "R7",
        "",
        f"UPDATE accounts SET expiry_exempt = true WHERE id = {_UNA}",
    ),
    Forgery("usage", "R8", "I11b", "UPDATE usage SET points = points - 1 WHERE meter = 'spend'"),
    Forgery("a wallet", "R9", "", "UPDATE wallet_entries SET occurred_at = occurred_at - interval '1 day'"),
    Forgery("a moved expiry", "R10", "", "UPDATE expiry_changes SET recorded_at = recorded_at + '1 s'"),
    Forgery("an audit record", "R11", "", "UPDATE audit_log SET before = '{}' WHERE kind = 'extend-expiry'"),
]
