"""Notices: tells others, once per tenant and local date, whose points expire soon. A run is a row like those
of the sweeps; what dies half-way goes on where it was, and a notice that is there already is not written
again."""

import sqlalchemy as sa

from pointledger.storage.events import reminders
from pointledger.storage.ledger import program
from pointledger.storage.queue import job_runs

TELL_EXPIRING = "tell-expiring"

_PAGE = 200  # users whose rows are locked at once


class Notify:
    """Writes notices to the outbox, page after page."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database

    def tell_expiring(self) -> bool:
        """Does a page of a run; whether there is more to do at once."""
        with self._database.begin() as connection:
            run = job_runs.take_run(connection, TELL_EXPIRING)
        if run is None:
            return False
        with self._database.begin() as connection:
            tenant = program.tenant(connection, run.tenant_id)
            users: list[str] = []
            told = 0
            if reminders.EXPIRING_SOON in tenant.wanted_events and tenant.expire_enabled:
                users, told = reminders.tell_expiring(
                    connection, tenant, run.local_date, run.reached_user, _PAGE
                )
            reached = job_runs.Due(run.as_of, users[-1]) if users else None
            job_runs.put_back(connection, run, reached, found=told, finished=len(users) < _PAGE)
        return True
