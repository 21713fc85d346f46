"""Corruptions of outcomes, limits, events, erasures, wallets, the audit log and the guards."""

from tests.observability.verify.corruption import Corruption
from tests.observability.verify.history_rows import (
    BASKET,
    BEN,
    EARLIER,
    EDNA,
    EDNAS,
    EXPIRY,
    FIRST_EVENT,
    FORTY,
    LEFT,
    MIAS,
    SECOND_EVENT,
)

BESIDE_POINTS = [
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
        f"INSERT INTO aliases (id, journal_id) SELECT id, {EXPIRY} FROM journal WHERE id = {BASKET}",
    ),
    Corruption("C1 I9b", "UPDATE aliases SET journal_id = gen_random_uuid()"),
    Corruption(
        "I10a",
        f"""UPDATE outcomes SET state = 'refused', reason = 'MAX_BALANCE', data = NULL
            WHERE id = {BASKET}""",
    ),
    Corruption("I10a I18a", f"DELETE FROM outcomes WHERE id = {BASKET}"),
    Corruption(
        "I10a I10c",
        f"UPDATE entries SET command_id = gen_random_uuid() WHERE command_id = {BASKET}",
    ),
    Corruption(
        "I10b",
        f"""UPDATE outcomes SET data = data::jsonb || '{{"lots_expired": 0, "points_expired": 0}}'
            WHERE id = {EXPIRY}""",
    ),
    Corruption(
        "I10b I10d",
        f"UPDATE outcomes SET data = data::jsonb || '{{\"transactions\": []}}' WHERE id = {BASKET}",
    ),
    Corruption(
        "I10c",
        f"""UPDATE outcomes SET data = jsonb_set(data::jsonb, '{{transactions, 0, seq}}', '99')
            WHERE id = {BASKET}""",
    ),
    Corruption(
        "I10d",
        f"""UPDATE outcomes SET data = data::jsonb || '{{"points_earned": 31}}' WHERE id = {BASKET}""",
    ),
    Corruption(
        "I10e",
        f"""UPDATE outcomes SET data = data::jsonb || '{{"points_expired": 1}}' WHERE id = {EXPIRY}""",
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
        "I13",
        """UPDATE outcomes SET data = jsonb_set(data::jsonb, '{account, balance}', '7')
           WHERE data ->> 'settled' = '0'""",
    ),
    Corruption(
        "I13",
        """UPDATE outcomes SET data = data::jsonb || '{"requested": 6}' WHERE data ->> 'requested' = '7'""",
    ),
    Corruption("I18a", "DELETE FROM pending"),
    Corruption("I18a", "DELETE FROM failures"),
    Corruption(
        "I18b",
        f"INSERT INTO pending (lane, seq, id) SELECT lane, seq, id FROM journal WHERE id = {EXPIRY}",
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
    Corruption("I11b", "UPDATE usage SET points = points + 12 WHERE user_id = 'rita' AND period = 'day'"),
    Corruption("I16a", "UPDATE outbox SET event_id = gen_random_uuid() WHERE event_id IS NOT NULL"),
    Corruption("I16a", "UPDATE outbox SET account_id = gen_random_uuid() WHERE event_id IS NOT NULL"),
    Corruption("I16a", f"UPDATE outbox SET entry_ids = entry_ids || {FORTY} WHERE {FIRST_EVENT}"),
    Corruption("I16b", f"UPDATE outbox SET entry_ids = entry_ids || entry_ids[3] WHERE {FIRST_EVENT}"),
    Corruption(
        "I16b", f"UPDATE outbox SET entry_ids = ARRAY[entry_ids[2], entry_ids[1]] WHERE {SECOND_EVENT}"
    ),
    Corruption("I16b", f"UPDATE outbox SET slot = (slot + 1) % 64 WHERE {FIRST_EVENT}"),
    Corruption("I16b", f"UPDATE outbox SET seq = seq + 100 WHERE {FIRST_EVENT}"),
    Corruption(
        "I16b",
        """INSERT INTO outbox (slot, tenant_id, recorded_at, entry_ids)
           SELECT slot, tenant_id, recorded_at, entry_ids FROM outbox WHERE entry_ids IS NOT NULL""",
    ),
    Corruption("I16c", f"{EARLIER}; DELETE FROM outbox WHERE {SECOND_EVENT}"),
    Corruption("I16c", f"{EARLIER}; UPDATE outbox SET entry_ids = entry_ids[:2] WHERE {FIRST_EVENT}"),
    Corruption(
        "I24e",
        """UPDATE outcomes SET data = data::jsonb || '{"lots_moved": 9}' WHERE data ->> 'lots_moved' = '1'""",
    ),
    Corruption(
        "I24f",
        f"""UPDATE outcomes SET data = data::jsonb
                || jsonb_build_object('expires_not_before', now() + interval '9 years')
                || jsonb_build_object('account', jsonb_build_object('id', {BEN}, 'version', 0))
            WHERE data ->> 'expiry_exempt' = 'false'""",
    ),
    Corruption("E1", f"UPDATE accounts SET status = 'closed' WHERE user_id = {EDNA}"),
    Corruption("E2", f"UPDATE journal SET idempotency_key = 'edna@home' WHERE id = {EDNAS}"),
    Corruption("E2", f"""UPDATE journal SET extensions = '{{"traceparent": "00"}}' WHERE id = {EDNAS}"""),
    Corruption(
        "E2",
        f"""UPDATE journal SET payload = payload::jsonb || '{{"metadata": {{}}}}' WHERE id = {EDNAS}""",
    ),
    Corruption(
        "E2",  # the plain id beside the pseudonym
        f"""UPDATE outcomes SET data = jsonb_set(data::jsonb, '{{account,user_id}}', '"edna"')
            WHERE id = {EDNAS}""",
    ),
    Corruption("I17a", f"UPDATE journal SET user_id = 'edna' WHERE id = {EDNAS}"),
    Corruption("E3 I17a", "UPDATE erasures SET finished_at = now()"),
    Corruption(
        "I19a",
        f"""UPDATE wallets SET total_deposited = total_deposited + 1, total_withdrawn = total_withdrawn + 1
            WHERE id = {MIAS}""",
    ),
    Corruption("I19a", f"UPDATE wallets SET version = version + 1 WHERE id = {MIAS}"),
    Corruption("I6d I19a", f"UPDATE wallets SET balance = -1 WHERE id = {MIAS}"),
    Corruption("I6d", f"UPDATE wallets SET frozen_balance = balance + 1 WHERE id = {MIAS}"),
    Corruption(
        "I19b", f"UPDATE wallet_entries SET balance_after = 7 WHERE wallet_id = {MIAS} AND seq = 2"
    ),
    Corruption("I19c", f"UPDATE wallets SET currency = 'BHD' WHERE id = {MIAS}"),
    Corruption("I19c", "UPDATE wallet_lines SET amount = amount + 1 WHERE side = 'outside'"),
    Corruption("I19c", "UPDATE wallet_lines SET amount = 2 * amount WHERE currency = 'CNY'"),
    Corruption("I19c", "DELETE FROM wallet_lines WHERE side = 'points'"),
    Corruption(
        "I19d", "UPDATE wallets SET user_id = 'eve' WHERE user_id = 'nils'"
    ),
    Corruption(
        "I10f I19a I19b I19f",
        f"DELETE FROM wallet_entries WHERE wallet_id = {MIAS} AND seq = 2",
    ),
    Corruption(
        "I10f I19d",
        f"UPDATE wallet_entries SET command_id = gen_random_uuid() WHERE wallet_id = {MIAS} AND seq = 1",
    ),
    Corruption("I19e", f"UPDATE wallet_entries SET related_id = {LEFT} WHERE type = 'exchange'"),
    Corruption("I19e", f"UPDATE wallet_entries SET related_id = {LEFT} WHERE type = 'withdraw'"),
    Corruption(
        "I19f",
        """INSERT INTO wallet_lines (tenant_id, entry_id, side, currency, amount)
           VALUES ('bank', gen_random_uuid(), 'outside', 'KWD', 5)""",
    ),
    Corruption(
        "I25b",
        "INSERT INTO day_marks (tenant_id, reached, entries) SELECT 'shop', id, 1 FROM entries LIMIT 1",
    ),
    Corruption(
        "I25a I25b",
        """INSERT INTO day_totals (tenant_id, recorded_on, occurred_on, type, subtype, is_taken, rule_id,
                                   points, day_starts_at, entries, delta, delta_frozen, delta_pending,
                                   delta_debt)
           SELECT tenant_id, '2017-01-01', '2017-01-01', 'earn', 'rule', false, id, 5, '2017-01-01', 1, 5, 0,
                  0, 0 FROM entries LIMIT 1;
           INSERT INTO day_marks (tenant_id, reached, entries)
           SELECT tenant_id, id, 9 FROM entries LIMIT 1""",
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
