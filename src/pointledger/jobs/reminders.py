"""Sends expiry reminders: events about users whose points expire soon, once per tenant and local date.

A run has a row, like those of the other jobs. A run that is interrupted resumes where it stopped, and a
reminder is written once.
"""

import sqlalchemy as sa

from pointledger.storage.events import reminders
from pointledger.storage.ledger import program
from pointledger.storage.queue import job_runs

SEND_EXPIRY_REMINDERS = "send-expiry-reminders"

_LOCKED = 200  # users per transaction, which locks their rows


class ExpiryReminders:
    """Writes expiry reminders to the outbox, page by page."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database

    def send_expiring(self) -> bool:
        """Process a page of a run, and return False if there is no run."""
        with self._database.begin() as connection:
            run = job_runs.take_run(connection, SEND_EXPIRY_REMINDERS)
        if run is None:
            return False
        with self._database.begin() as connection:
            tenant = program.tenant(connection, run.tenant_id)
            page = reminders.RemindedPage(run.reached_user, 0, is_last=True)
            if reminders.EXPIRING_SOON in tenant.wanted_events and tenant.expire_enabled:
                page = reminders.write_expiring(connection, tenant, run.local_date, run.reached_user, _LOCKED)
            reached = job_runs.DueAccount(run.as_of, page.reached)
            job_runs.put_back(connection, run, reached, found=page.written, finished=page.is_last)
        return True
