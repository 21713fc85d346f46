"""What is asked of Postgres: does it keep what it commits, does it fit this program, who are we to it."""

import time
from datetime import UTC, datetime

import sqlalchemy as sa

from pointledger.errors import LedgerError
from pointledger.observability.doctor import versions
from pointledger.observability.doctor.findings import Finding, danger, fine, warning
from pointledger.settings import Settings
from pointledger.storage.ledger.erasures import require_key
from pointledger.storage.migrate import require_current
from pointledger.storage.queries import health
from pointledger.storage.queue import job_runs

GRANT = (
    "Give POINTLEDGER_DATABASE_URL a login of its own and POINTLEDGER_OWNER_URL the owner's, then run: "
    "pointledger migrate."
)
_MOST_SKEW_SECONDS = 2.0  # more shows in what people see: tokens that are not valid yet, ages below zero


def durability(connection: sa.Connection) -> Finding:
    """A commit that Postgres may forget is no acceptance: dozens of acknowledged commands were lost in each
    crash (measured)."""
    found = health.durability(connection)
    settings = {name: getattr(found, name) for name in ("fsync", "full_page_writes", "synchronous_commit")}
    off = [name for name, value in settings.items() if value == "off"]
    if off:
        return danger(
            "postgres-durability",
            f"off: {', '.join(off)}; a crash loses commands that were accepted",
            "Switch them on in postgresql.conf, and for this role and database: "
            "ALTER ROLE ... RESET ALL; ALTER DATABASE ... RESET ALL.",
        )
    return fine("postgres-durability", ", ".join(f"{name}={value}" for name, value in settings.items()))


def fits(database: sa.Engine, settings: Settings) -> list[Finding]:
    """Tables, lanes and erasure key. One finding that is no fine one: nothing else can be asked then."""
    try:
        require_current(database, settings.lanes)
        with database.connect() as connection:
            require_key(connection, settings.pseudonyms)
    except LedgerError as error:
        return [danger("migrations", type(error).__name__, str(error))]
    return [fine("migrations", f"the tables are this version's, with {settings.lanes} lanes")]


def role(connection: sa.Connection) -> Finding:
    """Whoever breaks into a worker has its rights."""
    found = health.role(connection)
    if not found.may_work:
        return danger("postgres-role", f"{found.name} may not work on the tables", GRANT)
    if found.is_superuser or found.is_owner:
        who = "a superuser" if found.is_superuser else "the tables' owner"
        seen = f"{found.name} is {who} and could change what is append-only"
        return warning("postgres-role", seen, GRANT)
    if found.changes:
        seen = f"{found.name} may change {', '.join(found.changes)}"
        return danger("postgres-role", seen, "Run: pointledger migrate. It grants anew what may be granted.")
    return fine("postgres-role", f"{found.name} owns nothing and cannot change what is append-only")


def version(connection: sa.Connection) -> Finding:
    """Of the server."""
    return versions.postgres(health.durability(connection).version)


def clock(connection: sa.Connection) -> Finding:
    """Of this machine against Postgres', which alone decides."""
    began, told = time.time(), job_runs.now(connection)
    middle = datetime.fromtimestamp((began + time.time()) / 2, UTC)
    return skew("postgres-clock", (told - middle).total_seconds())


def skew(check: str, seconds: float) -> Finding:
    """What to say of a clock that is so far ahead of this machine's."""
    seen = f"{seconds:+.1f} s from this machine"
    if abs(seconds) > _MOST_SKEW_SECONDS:
        return warning(check, seen, "Let NTP set the clocks of all machines.")
    return fine(check, seen)
