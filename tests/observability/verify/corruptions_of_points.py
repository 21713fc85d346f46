"""Corruptions of accounts, entries, lots, holds and expiry dates."""

from tests.observability.verify.corruption import Corruption
from tests.observability.verify.history_rows import (
    ANNA,
    ARRIVED,
    BEN,
    FORTY,
    HELD,
    LEFT,
    REFUND,
    REPLACEMENT,
    SETTLED,
    WHOLE,
)

OF_POINTS = [
    Corruption("I1a I14", f"UPDATE accounts SET total_refunded = 5 WHERE id = {ANNA}"),
    Corruption(
        "I1b",  # two entries that cancel each other out
        f"""UPDATE entries SET delta_frozen = CASE seq WHEN 1 THEN 5 ELSE -5 END,
                               frozen_after = CASE seq WHEN 1 THEN 5 ELSE 0 END
            WHERE account_id = {ANNA} AND seq <= 2""",
    ),
    Corruption(
        "I2 I3a",
        f"""UPDATE entries SET delta_pending = 5, delta_debt = 5 WHERE account_id = {ANNA} AND seq = 2""",
    ),
    Corruption("I3a", f"UPDATE entries SET frozen_after = 5 WHERE account_id = {ANNA} AND seq = 2"),
    Corruption(
        "I3a",
        f"""UPDATE entries SET created_at = created_at - interval '1 day'
            WHERE account_id = {ANNA} AND seq = 2""",
    ),
    Corruption(
        "I2 I3a I4d I10c I11b I14 I17b",  # an entry is missing
        f"DELETE FROM entries WHERE account_id = {ANNA} AND seq = 2",
    ),
    Corruption("I3b", f"UPDATE accounts SET version = version + 1 WHERE id = {ANNA}"),
    Corruption("I3c", f"UPDATE accounts SET as_of = as_of - interval '1 day' WHERE id = {ANNA}"),
    Corruption("I4a", f"UPDATE lots SET remaining = remaining - 1, frozen = 1 WHERE id = {WHOLE}"),
    Corruption("I4a I4b", f"UPDATE lots SET remaining = remaining - 1 WHERE id = {WHOLE}"),
    Corruption("I4b", f"UPDATE lot_moves SET lot_id = {WHOLE} WHERE entry_id = {SETTLED}"),
    Corruption(
        "I4c",
        f"""UPDATE lot_moves SET entry_id = (SELECT id FROM entries WHERE account_id = {ANNA} AND seq = 1)
            WHERE entry_id = {SETTLED}""",
    ),
    Corruption("I4d I17b", f"UPDATE lots SET entry_id = {LEFT}, origin_id = {LEFT} WHERE id = {WHOLE}"),
    Corruption("I4e", f"UPDATE accounts SET next_expiry_at = NULL WHERE id = {BEN}"),
    Corruption("I4e", f"UPDATE accounts SET next_expiry_at = next_expiry_at + '1 day' WHERE id = {BEN}"),
    Corruption(
        "I4f",
        f"""INSERT INTO lots (tenant_id, id, account_id, entry_id, origin_id, amount, remaining, state,
                              earned_at)
            SELECT tenant_id, gen_random_uuid(), account_id, entry_id, origin_id, 1, 0, 'consumed', earned_at
            FROM lots WHERE id = {WHOLE}""",
    ),
    Corruption("I5a I17d", f"UPDATE holds SET account_id = {BEN} WHERE id = {HELD}"),
    Corruption(
        "I5a I5b I5c",  # the hold released more than it records
        f"UPDATE holds SET released = released - 1 WHERE id = {HELD}",
    ),
    Corruption("I5c", f"UPDATE hold_lots SET amount = amount + 1 WHERE hold_id = {HELD}"),
    Corruption("I5b", f"UPDATE entries SET related_id = {HELD} WHERE subtype = 'timeout'"),
    Corruption("I5b", "UPDATE entries SET related_id = NULL WHERE subtype = 'capture'"),
    Corruption("I5d", f"UPDATE hold_lots SET lot_id = {REPLACEMENT} WHERE hold_id = {HELD}"),
    Corruption("I5d I17d", f"UPDATE hold_lots SET lot_id = {WHOLE} WHERE hold_id = {HELD}"),
    Corruption("I4a I4d I4f I7b", f"UPDATE lots SET amount = 6, remaining = 6 WHERE id = {REPLACEMENT}"),
    Corruption("I7b I24a", f"UPDATE lots SET expires_at = NULL WHERE id = {REPLACEMENT}"),
    Corruption("I6c", "UPDATE holds SET state = 'released' WHERE state = 'captured'"),
    Corruption("I17d", "UPDATE holds SET seq = seq + 1"),
    Corruption(
        "I2 I3b I4a I6a", f"UPDATE accounts SET pending_balance = -5, debt = -5 WHERE id = {ANNA}"
    ),
    Corruption("I6b", "UPDATE lots SET state = 'pending' WHERE state = 'consumed'"),
    Corruption("I7a", f"UPDATE entries SET related_id = {SETTLED} WHERE id = {LEFT}"),
    Corruption("I7a", f"UPDATE entries SET related_id = NULL WHERE id = {LEFT}"),
    Corruption("I7b", f"UPDATE lots SET earned_at = now() WHERE entry_id = {ARRIVED}"),
    Corruption("I7b", f"UPDATE lots SET origin_id = {ARRIVED} WHERE entry_id = {ARRIVED}"),
    Corruption(
        "I12a I24a",
        """UPDATE lots SET expires_at = earned_at
           WHERE id IN (SELECT lot_id FROM lot_moves WHERE tenant_id = 'cafe' AND kind = 'spend')""",
    ),
    Corruption(
        "I12b I24a",
        """UPDATE lots SET expires_at = now() + interval '1 year'
           WHERE id IN (SELECT lot_id FROM lot_moves m JOIN entries e ON e.id = m.entry_id
                        WHERE e.subtype = 'scheduled' AND m.tenant_id = 'cafe')""",
    ),
    Corruption(
        "I14",
        f"""UPDATE accounts SET total_earned = total_earned - 1,
                                total_transferred_in = total_transferred_in + 1
            WHERE id = {ANNA}""",
    ),
    Corruption(
        "I17a",
        """UPDATE accounts SET user_id = 'eve' WHERE user_id = 'cleo';
           UPDATE usage SET user_id = 'eve' WHERE user_id = 'cleo'""",
    ),
    Corruption(
        "I2 I3b I4d I11b I14 I17a I17b",
        """UPDATE entries SET account_id = 'ffffffff-ffff-4fff-bfff-ffffffffffff'
           WHERE account_id = (SELECT id FROM accounts WHERE user_id = 'cleo')""",
    ),
    Corruption("I4a I17b", f"UPDATE lots SET account_id = {BEN} WHERE id = {WHOLE}"),
    Corruption(
        "I4b I17c",
        f"""UPDATE lot_moves SET lot_id = (SELECT min(id::text)::uuid FROM lots WHERE account_id = {BEN}
                                           AND entry_id <> {ARRIVED})
            WHERE entry_id = {SETTLED}""",
    ),
    Corruption("I4b", "UPDATE lots SET expired = expired + 1 WHERE state = 'expired'"),
    Corruption("I23", "UPDATE accounts SET next_activation_at = NULL WHERE user_id = 'petra'"),
    Corruption("I4a", "UPDATE lots SET state = 'active' WHERE state = 'pending'"),
    Corruption("I21a I21c", f"UPDATE entries SET related_id = {FORTY} WHERE id = {REFUND}"),
    Corruption("I21b I21c", f"UPDATE entries SET related_id = {LEFT} WHERE id = {REFUND}"),
    Corruption("I21b", f"UPDATE entries SET related_id = NULL WHERE id = {REFUND}"),
    Corruption("I4b I4c", f"UPDATE lot_moves SET kind = 'spend' WHERE entry_id = {REFUND}"),
    Corruption("I4c I4d I21c", "UPDATE lot_moves SET amount = amount + 1 WHERE kind = 'renew'"),
    Corruption("I24a", f"UPDATE lots SET expires_at = now() + interval '9 years' WHERE id = {WHOLE}"),
    Corruption("I24b", f"UPDATE lots SET expiry_changes = 1 WHERE id = {WHOLE}"),
    Corruption("I24b", "UPDATE lots SET expiry_changes = 2 WHERE expiry_changes = 1"),
    Corruption("I24c", "UPDATE expiry_changes SET becomes = becomes + interval '1 day'"),
    Corruption("I7b I24a", "UPDATE expiry_changes SET was = was - interval '1 day' WHERE cause = 'extend'"),
    Corruption("I24c", "UPDATE expiry_changes SET account_id = gen_random_uuid() WHERE cause = 'policy'"),
    Corruption("I24d", "UPDATE expiry_changes SET cause = 'policy' WHERE cause = 'extend'"),
    Corruption(
        "I24d I24e", "UPDATE expiry_changes SET command_id = gen_random_uuid() WHERE cause = 'policy'"
    ),
    Corruption("I7b I24a I24b I24e", "DELETE FROM expiry_changes WHERE cause = 'policy'"),
]  # fmt: skip
