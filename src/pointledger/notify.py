"""Notices: tells others, once per tenant and local date, whose points expire soon. A run is a row like those
of the sweeps; what dies half-way goes on where it was, and a notice that is there already is not written
again."""

import sqlalchemy as sa

from pointledger.storage import jobs, notices, programmes

TELL_EXPIRING = "tell-expiring"

_PAGE = 200  # users whose rows are locked at once


class Notify:
    """Writes notices to the outbox, page after page."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database

    def tell_expiring(self) -> bool:
        """Does a page of a run; whether there is more to do at once."""
        with self._database.begin() as connection:
            run = jobs.take_run(connection, TELL_EXPIRING)
        if run is None:
            return False
        with self._database.begin() as connection:
            tenant = programmes.tenant(connection, run.tenant_id)
            users: list[str] = []
            told = 0
            if notices.EXPIRING_SOON in tenant.wanted_events and tenant.expire_enabled:
                users, told = notices.tell_expiring(
                    connection, tenant, run.local_date, run.reached_user, _PAGE
                )
            reached = jobs.Due(run.as_of, users[-1]) if users else None
            jobs.put_back(connection, run, reached, found=told, finished=len(users) < _PAGE)
        return True
