"""Checks Postgres: durability, sessions, migrations, the role's rights, version and clock."""

import time
from datetime import UTC, datetime

import sqlalchemy as sa

from pointledger.errors import LedgerError
from pointledger.observability.doctor import versions
from pointledger.observability.doctor.findings import Finding, danger, fine, warning
from pointledger.settings import Settings
from pointledger.storage.ledger.erasures import require_key
from pointledger.storage.queries import health
from pointledger.storage.queue import job_runs
from pointledger.storage.revision import require_current
from pointledger.storage.sessions import is_own_session

GRANT = (
    "Set POINTLEDGER_OWNER_URL to the tables' owner and POINTLEDGER_DATABASE_URL to another login, then run: "
    "pointledger migrate."
)
RESET = "Remove the settings: ALTER ROLE ... RESET ALL; ALTER DATABASE ... RESET ALL; options= in the URL."
_MOST_SKEW_SECONDS = 2.0  # a larger skew is visible: tokens are not valid yet, ages are negative


def durability(connection: sa.Connection) -> Finding:
    """Check that commits survive a crash. If they do not, each crash loses dozens of them (measured)."""
    found = health.durability(connection)
    settings = {name: getattr(found, name) for name in ("fsync", "full_page_writes", "synchronous_commit")}
    off = [name for name, value in settings.items() if value == "off"]
    if off:
        return danger(
            "postgres-durability",
            f"off: {', '.join(off)}; a crash loses accepted commands",
            "Switch them on in postgresql.conf, and remove overrides: "
            "ALTER ROLE ... RESET ALL; ALTER DATABASE ... RESET ALL.",
        )
    return fine("postgres-durability", ", ".join(f"{name}={value}" for name, value in settings.items()))


def sessions(connection: sa.Connection) -> Finding:
    """Check what sessions start with. The ledger sets what it can, but a pooler shares sessions."""
    check, found = "postgres-sessions", health.session_defaults(connection)
    if found.encoding not in ("UTF8", "SQL_ASCII"):
        seen = f"the database's encoding is {found.encoding}, which lacks characters"
        return warning(
            check, seen, "Restore the ledger into a database that is created with ENCODING 'UTF8'."
        )
    if found.limits_ms:
        limits = ", ".join(f"{name}={ms} ms" for name, ms in found.limits_ms.items())
        seen = f"the login, the database or the URL sets {limits}, so long queries can fail"
        return warning(check, seen, RESET)
    is_own = is_own_session(connection)
    if found.settings and not is_own:
        settings = ", ".join(f"{name}={value}" for name, value in found.settings.items())
        return warning(check, f"a pooler is in front, so the ledger cannot change {settings}", RESET)
    if not is_own:
        return fine(check, "a pooler is in front: nothing is prepared, and each transaction sets its limits")
    return fine(check, "the login's settings suit the ledger")


def fits(database: sa.Engine, settings: Settings) -> list[Finding]:
    """Check tables, lanes and erasure key. If they do not fit, no other check of the tables can run."""
    try:
        require_current(database, settings.lanes)
        with database.connect() as connection:
            require_key(connection, settings.pseudonyms)
    except LedgerError as error:
        return [danger("migrations", type(error).__name__, str(error))]
    return [fine("migrations", f"the tables match this version, with {settings.lanes} lanes")]


def role(connection: sa.Connection) -> Finding:
    """Check the login's rights, because an attacker in a worker has them too."""
    found = health.role(connection)
    if not found.may_work:
        return danger("postgres-role", f"{found.name} may not use the tables", GRANT)
    if found.is_superuser or found.is_owner:
        role = "a superuser" if found.is_superuser else "the tables' owner"
        seen = f"{found.name} is {role} and could change append-only tables"
        return warning("postgres-role", seen, GRANT)
    if found.changes:
        seen = f"{found.name} may change {', '.join(found.changes)}"
        return danger("postgres-role", seen, "Reset its rights. Run: pointledger migrate.")
    return fine("postgres-role", f"{found.name} owns nothing and cannot change append-only tables")


def version(connection: sa.Connection) -> Finding:
    """Check the server's version."""
    return versions.postgres(health.durability(connection).version)


def clock(connection: sa.Connection) -> Finding:
    """Compare Postgres' clock, which the ledger uses, with this machine's."""
    began, now = time.time(), job_runs.now(connection)
    middle = datetime.fromtimestamp((began + time.time()) / 2, UTC)
    return skew("postgres-clock", (now - middle).total_seconds())


def skew(check: str, seconds: float) -> Finding:
    """Judge a clock that is `seconds` ahead of this machine's."""
    seen = f"{seconds:+.1f} s from this machine"
    if abs(seconds) > _MOST_SKEW_SECONDS:
        return warning(check, seen, "Synchronize the clocks of all machines with NTP.")
    return fine(check, seen)
