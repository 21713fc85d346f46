"""Corruptions of the history's ledger that bypass all guards, and the invariants that they violate."""

from typing import NamedTuple

from pointledger.storage.database import driver
from tests.ledger import Ledger

_ANNA = "(SELECT id FROM accounts WHERE (tenant_id, user_id) = ('shop', 'anna'))"
_BEN = "(SELECT id FROM accounts WHERE (tenant_id, user_id) = ('shop', 'ben'))"
_SETTLED = f"(SELECT id FROM entries WHERE account_id = {_ANNA} AND subtype = 'manual' AND type = 'expire')"
_LEFT = "(SELECT id FROM entries WHERE subtype = 'transfer_out' AND amount = 120)"
_ARRIVED = "(SELECT id FROM entries WHERE subtype = 'transfer_in' AND amount = 120)"
_FIRST_EVENT = "cardinality(entry_ids) = 3"
_SECOND_EVENT = "cardinality(entry_ids) = 2"
_EARLIER = "UPDATE tenant_versions SET saved_at = saved_at - interval '1 hour'"
_WHOLE = f"(SELECT id FROM lots WHERE account_id = {_ANNA} AND remaining = amount)"
_FRED = "(SELECT id FROM accounts WHERE (tenant_id, user_id) = ('shop', 'fred'))"
_REPLACEMENT = f"""(SELECT l.id FROM lots l JOIN entries e ON e.id = l.entry_id
               WHERE e.type = 'unfreeze' AND e.account_id = {_FRED})"""
_HELD = f"(SELECT id FROM holds WHERE state = 'open' AND released > 0 AND account_id = {_FRED})"
_EXPIRY = "(SELECT min(id::text)::uuid FROM outcomes WHERE data ->> 'lots_expired' <> '0')"
_BASKET = "(SELECT min(id::text)::uuid FROM outcomes WHERE data ->> 'points_earned' = '30')"
_FORTY = "(SELECT id FROM entries WHERE type = 'spend' AND amount = 40)"
_REFUND = "(SELECT id FROM entries WHERE subtype = 'linked' AND amount = 10)"
_EDNA = "(SELECT pseudonym FROM erasures WHERE finished_at IS NOT NULL)"
_EDNAS = f"""(SELECT j.id FROM journal j JOIN outcomes o USING (id)
              WHERE user_id = {_EDNA} AND kind = 'adjust' AND o.state = 'applied')"""
_MIAS = "(SELECT id FROM wallets WHERE user_id = 'mia')"


class Corruption(NamedTuple):
    """SQL, and the ids of the invariants that it violates."""

    found_by: str
    sql: str


CORRUPTIONS = [
    Corruption("I1a I14", f"UPDATE accounts SET total_refunded = 5 WHERE id = {_ANNA}"),
    Corruption(
        "I1b",  # two entries that cancel each other out
        f"""UPDATE entries SET delta_frozen = CASE seq WHEN 1 THEN 5 ELSE -5 END,
                               frozen_after = CASE seq WHEN 1 THEN 5 ELSE 0 END
            WHERE account_id = {_ANNA} AND seq <= 2""",
    ),
    Corruption(
        "I2 I3a",
        f"""UPDATE entries SET delta_pending = 5, delta_debt = 5 WHERE account_id = {_ANNA} AND seq = 2""",
    ),
    Corruption("I3a", f"UPDATE entries SET frozen_after = 5 WHERE account_id = {_ANNA} AND seq = 2"),
    Corruption(
        "I3a",
        f"""UPDATE entries SET created_at = created_at - interval '1 day'
            WHERE account_id = {_ANNA} AND seq = 2""",
    ),
    Corruption(
        "I2 I3a I4d I10c I11b I14 I17b",  # an entry is missing
        f"DELETE FROM entries WHERE account_id = {_ANNA} AND seq = 2",
    ),
    Corruption("I3b", f"UPDATE accounts SET version = version + 1 WHERE id = {_ANNA}"),
    Corruption("I3c", f"UPDATE accounts SET as_of = as_of - interval '1 day' WHERE id = {_ANNA}"),
    Corruption("I4a", f"UPDATE lots SET remaining = remaining - 1, frozen = 1 WHERE id = {_WHOLE}"),
    Corruption("I4a I4b", f"UPDATE lots SET remaining = remaining - 1 WHERE id = {_WHOLE}"),
    Corruption("I4b", f"UPDATE lot_moves SET lot_id = {_WHOLE} WHERE entry_id = {_SETTLED}"),
    Corruption(
        "I4c",
        f"""UPDATE lot_moves SET entry_id = (SELECT id FROM entries WHERE account_id = {_ANNA} AND seq = 1)
            WHERE entry_id = {_SETTLED}""",
    ),
    Corruption("I4d I17b", f"UPDATE lots SET entry_id = {_LEFT}, origin_id = {_LEFT} WHERE id = {_WHOLE}"),
    Corruption("I4e", f"UPDATE accounts SET next_expiry_at = NULL WHERE id = {_BEN}"),
    Corruption("I4e", f"UPDATE accounts SET next_expiry_at = next_expiry_at + '1 day' WHERE id = {_BEN}"),
    Corruption(
        "I4f",
        f"""INSERT INTO lots (tenant_id, id, account_id, entry_id, origin_id, amount, remaining, state,
                              earned_at)
            SELECT tenant_id, gen_random_uuid(), account_id, entry_id, origin_id, 1, 0, 'consumed', earned_at
            FROM lots WHERE id = {_WHOLE}""",
    ),
    Corruption("I5a I17d", f"UPDATE holds SET account_id = {_BEN} WHERE id = {_HELD}"),
    Corruption(
        "I5a I5b I5c",  # the hold released more than it records
        f"UPDATE holds SET released = released - 1 WHERE id = {_HELD}",
    ),
    Corruption("I5c", f"UPDATE hold_lots SET amount = amount + 1 WHERE hold_id = {_HELD}"),
    Corruption("I5b", f"UPDATE entries SET related_id = {_HELD} WHERE subtype = 'timeout'"),
    Corruption("I5b", "UPDATE entries SET related_id = NULL WHERE subtype = 'capture'"),
    Corruption("I5d", f"UPDATE hold_lots SET lot_id = {_REPLACEMENT} WHERE hold_id = {_HELD}"),
    Corruption("I5d I17d", f"UPDATE hold_lots SET lot_id = {_WHOLE} WHERE hold_id = {_HELD}"),
    Corruption("I4a I4d I4f I7b", f"UPDATE lots SET amount = 6, remaining = 6 WHERE id = {_REPLACEMENT}"),
    Corruption("I7b I24a", f"UPDATE lots SET expires_at = NULL WHERE id = {_REPLACEMENT}"),
    Corruption("I6c", "UPDATE holds SET state = 'released' WHERE state = 'captured'"),
    Corruption("I17d", "UPDATE holds SET seq = seq + 1"),
    Corruption(
        "I2 I3b I4a I6a", f"UPDATE accounts SET pending_balance = -5, debt = -5 WHERE id = {_ANNA}"
    ),
    Corruption("I6b", "UPDATE lots SET state = 'pending' WHERE state = 'consumed'"),
    Corruption("I7a", f"UPDATE entries SET related_id = {_SETTLED} WHERE id = {_LEFT}"),
    Corruption("I7a", f"UPDATE entries SET related_id = NULL WHERE id = {_LEFT}"),
    Corruption("I7b", f"UPDATE lots SET earned_at = now() WHERE entry_id = {_ARRIVED}"),
    Corruption("I7b", f"UPDATE lots SET origin_id = {_ARRIVED} WHERE entry_id = {_ARRIVED}"),
    Corruption(
        "I8",
        """DROP INDEX journal_one_per_key;
           INSERT INTO journal SELECT gen_random_uuid(), nextval('journal_seq'), lane, version, accepted_at,
                  occurred_at, fingerprint, tenant_id, user_id, actor, kind, idempotency_key, payload
           FROM journal WHERE idempotency_key = 'welcome';
           INSERT INTO pending (lane, seq, id) SELECT lane, seq, id FROM journal ORDER BY seq DESC LIMIT 1""",
    ),
    Corruption(
        "I9a",
        """INSERT INTO outcomes (id, tenant_id, state, applied_at, data)
           VALUES (gen_random_uuid(), 'shop', 'applied', now(), '{}')""",
    ),
    Corruption("I9a", "UPDATE outcomes SET tenant_id = 'cafe' WHERE reason = 'NO_MATCHING_RULE'"),
    Corruption(
        "I9b",
        f"INSERT INTO aliases (id, journal_id) SELECT id, {_EXPIRY} FROM journal WHERE id = {_BASKET}",
    ),
    Corruption("C1 I9b", "UPDATE aliases SET journal_id = gen_random_uuid()"),
    Corruption(
        "I10a",
        f"""UPDATE outcomes SET state = 'refused', reason = 'MAX_BALANCE', data = NULL
            WHERE id = {_BASKET}""",
    ),
    Corruption("I10a I18a", f"DELETE FROM outcomes WHERE id = {_BASKET}"),
    Corruption(
        "I10a I10c",
        f"UPDATE entries SET command_id = gen_random_uuid() WHERE command_id = {_BASKET}",
    ),
    Corruption(
        "I10b",
        f"""UPDATE outcomes SET data = data::jsonb || '{{"lots_expired": 0, "points_expired": 0}}'
            WHERE id = {_EXPIRY}""",
    ),
    Corruption(
        "I10b I10d",
        f"UPDATE outcomes SET data = data::jsonb || '{{\"transactions\": []}}' WHERE id = {_BASKET}",
    ),
    Corruption(
        "I10c",
        f"""UPDATE outcomes SET data = jsonb_set(data::jsonb, '{{transactions, 0, seq}}', '99')
            WHERE id = {_BASKET}""",
    ),
    Corruption(
        "I10d",
        f"""UPDATE outcomes SET data = data::jsonb || '{{"points_earned": 31}}' WHERE id = {_BASKET}""",
    ),
    Corruption(
        "I10e",
        f"""UPDATE outcomes SET data = data::jsonb || '{{"points_expired": 1}}' WHERE id = {_EXPIRY}""",
    ),
    Corruption(
        "I11a I11c",
        "UPDATE rule_versions SET body = jsonb_set(body::jsonb, '{limits, 0, max}', '1')",
    ),
    Corruption(
        "I11a",
        """UPDATE tenant_versions SET config = config::jsonb || '{"max_earn_per_day": 20}'
           WHERE tenant_id = 'shop'""",
    ),
    Corruption("I11b", "UPDATE usage SET points = points - 1 WHERE meter = 'earn'"),
    Corruption("I11b", "DELETE FROM usage WHERE period = 'lifetime'"),
    Corruption("I11b", "DELETE FROM usage WHERE period = 'week'"),
    Corruption("I11b", "UPDATE usage SET times = times - 1 WHERE period = 'month'"),
    Corruption("I11a I11b", "UPDATE usage SET points = points + 1 WHERE period = 'week'"),
    Corruption("I11b", "UPDATE usage SET starts_on = starts_on - 1 WHERE meter = 'spend'"),
    Corruption(
        "I11c",
        """UPDATE rule_versions SET body = jsonb_set(body::jsonb, '{limits, 1, max}', '59')
           WHERE name = 'campaign'""",
    ),
    Corruption("I11c I11d", "UPDATE shared_usage SET points = points + 9 WHERE meter = 'budget'"),
    Corruption("I11d", "UPDATE shared_usage SET times = times - 1 WHERE period = 'month'"),
    Corruption("I11d", "UPDATE shared_usage SET starts_on = starts_on - 1 WHERE period = 'day'"),
    Corruption("I11d", "DELETE FROM shared_usage WHERE period = 'lifetime'"),
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
        "I13",
        """UPDATE outcomes SET data = jsonb_set(data::jsonb, '{account, balance}', '7')
           WHERE data ->> 'settled' = '0'""",
    ),
    Corruption(
        "I13",
        """UPDATE outcomes SET data = data::jsonb || '{"requested": 6}' WHERE data ->> 'requested' = '7'""",
    ),
    Corruption(
        "I14",
        f"""UPDATE accounts SET total_earned = total_earned - 1,
                                total_transferred_in = total_transferred_in + 1
            WHERE id = {_ANNA}""",
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
    Corruption("I4a I17b", f"UPDATE lots SET account_id = {_BEN} WHERE id = {_WHOLE}"),
    Corruption(
        "I4b I17c",
        f"""UPDATE lot_moves SET lot_id = (SELECT min(id::text)::uuid FROM lots WHERE account_id = {_BEN}
                                           AND entry_id <> {_ARRIVED})
            WHERE entry_id = {_SETTLED}""",
    ),
    Corruption("I18a", "DELETE FROM pending"),
    Corruption("I18a", "DELETE FROM failures"),
    Corruption(
        "I18b",
        f"INSERT INTO pending (lane, seq, id) SELECT lane, seq, id FROM journal WHERE id = {_EXPIRY}",
    ),
    Corruption("I18a I18b", "UPDATE pending SET lane = (lane + 1) % 64"),
    Corruption(
        "I18c",
        """INSERT INTO outcomes (id, tenant_id, state, reason, applied_at)
           SELECT id, tenant_id, 'refused', 'MAX_BALANCE', now() FROM failures""",
    ),
    Corruption(
        "I20",
        """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, finished_at)
           VALUES ('expire-points', 'shop', '2026-01-01', now(), now(), now() - interval '1 hour')""",
    ),
    Corruption(
        "I20",
        """ALTER TABLE job_runs DROP CONSTRAINT job_runs_pkey;
           INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until)
           SELECT 'expire-points', 'shop', '2026-01-01', now(), now() FROM generate_series(1, 2)""",
    ),
    Corruption("I4b", "UPDATE lots SET expired = expired + 1 WHERE state = 'expired'"),
    Corruption("I11b", "UPDATE usage SET points = points + 12 WHERE user_id = 'rita' AND period = 'day'"),
    Corruption("I23", "UPDATE accounts SET next_activation_at = NULL WHERE user_id = 'petra'"),
    Corruption("I4a", "UPDATE lots SET state = 'active' WHERE state = 'pending'"),
    Corruption("I21a I21c", f"UPDATE entries SET related_id = {_FORTY} WHERE id = {_REFUND}"),
    Corruption("I21b I21c", f"UPDATE entries SET related_id = {_LEFT} WHERE id = {_REFUND}"),
    Corruption("I21b", f"UPDATE entries SET related_id = NULL WHERE id = {_REFUND}"),
    Corruption("I4b I4c", f"UPDATE lot_moves SET kind = 'spend' WHERE entry_id = {_REFUND}"),
    Corruption("I4c I4d I21c", "UPDATE lot_moves SET amount = amount + 1 WHERE kind = 'renew'"),
    Corruption("I16a", "UPDATE outbox SET event_id = gen_random_uuid() WHERE event_id IS NOT NULL"),
    Corruption("I16a", "UPDATE outbox SET account_id = gen_random_uuid() WHERE event_id IS NOT NULL"),
    Corruption("I16a", f"UPDATE outbox SET entry_ids = entry_ids || {_FORTY} WHERE {_FIRST_EVENT}"),
    Corruption("I16b", f"UPDATE outbox SET entry_ids = entry_ids || entry_ids[3] WHERE {_FIRST_EVENT}"),
    Corruption(
        "I16b", f"UPDATE outbox SET entry_ids = ARRAY[entry_ids[2], entry_ids[1]] WHERE {_SECOND_EVENT}"
    ),
    Corruption("I16b", f"UPDATE outbox SET slot = (slot + 1) % 64 WHERE {_FIRST_EVENT}"),
    Corruption("I16b", f"UPDATE outbox SET seq = seq + 100 WHERE {_FIRST_EVENT}"),
    Corruption(
        "I16b",
        """INSERT INTO outbox (slot, tenant_id, recorded_at, entry_ids)
           SELECT slot, tenant_id, recorded_at, entry_ids FROM outbox WHERE entry_ids IS NOT NULL""",
    ),
    Corruption("I16c", f"{_EARLIER}; DELETE FROM outbox WHERE {_SECOND_EVENT}"),
    Corruption("I16c", f"{_EARLIER}; UPDATE outbox SET entry_ids = entry_ids[:2] WHERE {_FIRST_EVENT}"),
    Corruption("I24a", f"UPDATE lots SET expires_at = now() + interval '9 years' WHERE id = {_WHOLE}"),
    Corruption("I24b", f"UPDATE lots SET expiry_changes = 1 WHERE id = {_WHOLE}"),
    Corruption("I24b", "UPDATE lots SET expiry_changes = 2 WHERE expiry_changes = 1"),
    Corruption("I24c", "UPDATE expiry_changes SET becomes = becomes + interval '1 day'"),
    Corruption("I7b I24a", "UPDATE expiry_changes SET was = was - interval '1 day' WHERE cause = 'extend'"),
    Corruption("I24c", "UPDATE expiry_changes SET account_id = gen_random_uuid() WHERE cause = 'policy'"),
    Corruption("I24d", "UPDATE expiry_changes SET cause = 'policy' WHERE cause = 'extend'"),
    Corruption(
        "I24d I24e", "UPDATE expiry_changes SET command_id = gen_random_uuid() WHERE cause = 'policy'"
    ),
    Corruption("I7b I24a I24b I24e", "DELETE FROM expiry_changes WHERE cause = 'policy'"),
    Corruption(
        "I24e",
        """UPDATE outcomes SET data = data::jsonb || '{"lots_moved": 9}' WHERE data ->> 'lots_moved' = '1'""",
    ),
    Corruption(
        "I24f",
        f"""UPDATE outcomes SET data = data::jsonb
                || jsonb_build_object('expires_not_before', now() + interval '9 years')
                || jsonb_build_object('account', jsonb_build_object('id', {_BEN}, 'version', 0))
            WHERE data ->> 'expiry_exempt' = 'false'""",
    ),
    Corruption("E1", f"UPDATE accounts SET status = 'closed' WHERE user_id = {_EDNA}"),
    Corruption("E2", f"UPDATE journal SET idempotency_key = 'edna@home' WHERE id = {_EDNAS}"),
    Corruption("E2", f"""UPDATE journal SET extensions = '{{"traceparent": "00"}}' WHERE id = {_EDNAS}"""),
    Corruption(
        "E2",
        f"""UPDATE journal SET payload = payload::jsonb || '{{"metadata": {{}}}}' WHERE id = {_EDNAS}""",
    ),
    Corruption(
        "E2",  # the plain id beside the pseudonym
        f"""UPDATE outcomes SET data = jsonb_set(data::jsonb, '{{account,user_id}}', '"edna"')
            WHERE id = {_EDNAS}""",
    ),
    Corruption("I17a", f"UPDATE journal SET user_id = 'edna' WHERE id = {_EDNAS}"),
    Corruption("E3 I17a", "UPDATE erasures SET finished_at = now()"),
    Corruption(
        "I19a",
        f"""UPDATE wallets SET total_deposited = total_deposited + 1, total_withdrawn = total_withdrawn + 1
            WHERE id = {_MIAS}""",
    ),
    Corruption("I19a", f"UPDATE wallets SET version = version + 1 WHERE id = {_MIAS}"),
    Corruption("I6d I19a", f"UPDATE wallets SET balance = -1 WHERE id = {_MIAS}"),
    Corruption("I6d", f"UPDATE wallets SET frozen_balance = balance + 1 WHERE id = {_MIAS}"),
    Corruption(
        "I19b", f"UPDATE wallet_entries SET balance_after = 7 WHERE wallet_id = {_MIAS} AND seq = 2"
    ),
    Corruption("I19c", f"UPDATE wallets SET currency = 'BHD' WHERE id = {_MIAS}"),
    Corruption("I19c", "UPDATE wallet_lines SET amount = amount + 1 WHERE side = 'outside'"),
    Corruption("I19c", "UPDATE wallet_lines SET amount = 2 * amount WHERE currency = 'CNY'"),
    Corruption("I19c", "DELETE FROM wallet_lines WHERE side = 'points'"),
    Corruption(
        "I19d", "UPDATE wallets SET user_id = 'eve' WHERE user_id = 'nils'"
    ),
    Corruption(
        "I10f I19a I19b I19f",
        f"DELETE FROM wallet_entries WHERE wallet_id = {_MIAS} AND seq = 2",
    ),
    Corruption(
        "I10f I19d",
        f"UPDATE wallet_entries SET command_id = gen_random_uuid() WHERE wallet_id = {_MIAS} AND seq = 1",
    ),
    Corruption("I19e", f"UPDATE wallet_entries SET related_id = {_LEFT} WHERE type = 'exchange'"),
    Corruption("I19e", f"UPDATE wallet_entries SET related_id = {_LEFT} WHERE type = 'withdraw'"),
    Corruption(
        "I19f",
        """INSERT INTO wallet_lines (tenant_id, entry_id, side, currency, amount)
           VALUES ('bank', gen_random_uuid(), 'outside', 'KWD', 5)""",
    ),
    Corruption("M1", "ALTER TABLE entries ENABLE TRIGGER entries_rows_stay"),
    Corruption("M1", "ALTER TABLE closed_windows DISABLE TRIGGER closed_windows_stays"),
    Corruption("M2", "GRANT UPDATE ON entries TO pointledger_app"),
    Corruption("M2", "GRANT UPDATE (reason) ON audit_log TO pointledger_app"),
    Corruption("M2", "GRANT TRUNCATE ON outcomes TO pointledger_app"),
    Corruption("I15a", "DELETE FROM audit_log WHERE kind = 'wallet-adjust'"),
    Corruption(
        "I15a",
        """UPDATE audit_log SET actor = 'nobody', request_hash = decode(repeat('00', 16), 'hex')
           WHERE kind = 'set-status'""",
    ),
    Corruption("I15a", "UPDATE audit_log SET kind = 'adjust' WHERE kind = 'expire'"),
    Corruption(
        "I15a I15b",
        "UPDATE audit_log SET state = 'applied', refusal = NULL WHERE kind = 'adjust' AND state = 'refused'",
    ),
    Corruption("I15b", "UPDATE audit_log SET command_id = gen_random_uuid() WHERE kind = 'freeze'"),
    Corruption("C1", "UPDATE callbacks SET command_id = gen_random_uuid() WHERE kind = 'link'"),
    Corruption("C1", "DELETE FROM dead_letters WHERE entry_point = 'celery'"),
    Corruption("C2", "UPDATE callbacks SET due_at = NULL, try_at = NULL"),
    Corruption("M1", "DROP TRIGGER outcomes_rows_stay ON outcomes"),
]  # fmt: skip

_UNGUARD = """
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT DISTINCT tgrelid::regclass AS relation FROM pg_trigger WHERE NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', found.relation);
    END LOOP;
    FOR found IN SELECT conrelid::regclass AS relation, conname FROM pg_constraint
                 WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.relation, found.conname);
    END LOOP;
END $$"""

_GUARD = """
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT tgrelid::regclass AS relation, tgname FROM pg_trigger WHERE NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', found.relation, found.tgname);
    END LOOP;
END $$"""


def corrupt(ledger: Ledger, sql: str) -> None:
    """Run SQL with all guards disabled. SQL about triggers runs after they are enabled again."""
    about_triggers = "TRIGGER" in sql
    with ledger.owner.begin() as connection:
        for statement in (_UNGUARD, _GUARD, sql) if about_triggers else (_UNGUARD, sql, _GUARD):
            driver(connection).execute(statement.encode())
