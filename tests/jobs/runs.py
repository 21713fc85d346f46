"""Records earlier runs of nightly jobs, and the moment of earlier commands."""

from datetime import UTC, date, datetime

from pointledger.storage.database import rows
from tests.ledger import Ledger

LONG_AGO = datetime(2017, 1, 1, 12, 0, tzinfo=UTC)


def last_run(ledger: Ledger, job: str, days_ago: int) -> date:
    """Record that the job last ran so many local days ago, and return today's local date."""
    with ledger.database.begin() as connection:
        found = rows(
            connection,
            """WITH today AS (SELECT (clock_timestamp() AT TIME ZONE 'America/New_York')::date AS day),
                    ran AS (INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until,
                                                  finished_at)
                            SELECT %(job)s, 'shop', day - %(days)s, now(), now(), now() FROM today)
               SELECT day FROM today""",
            job=job,
            days=days_ago,
        )
    today: date = found[0][0]
    return today
