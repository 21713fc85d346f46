"""One examination: what can be asked is asked, whatever else is away."""

from dataclasses import dataclass, replace
from typing import Any

from pointledger.errors import DatabaseAway, DatabaseFailed
from pointledger.messaging.doorbell import beat_heard_seconds
from pointledger.messaging.redis_client import connect
from pointledger.observability.doctor import postgres, redis, versions, work
from pointledger.observability.doctor.findings import Finding, Verdict, danger
from pointledger.observability.doctor.start import time_outs
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, looking
from pointledger.storage.errors import DATABASE_ERRORS, is_transient, sqlstate

_NOT_ALLOWED = "42501"


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order in which one would look."""

    findings: list[Finding]

    @property
    def dangers(self) -> int:
        """How many of them are dangerous."""
        return sum(finding.verdict is Verdict.DANGER for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many somebody should look at."""
        return sum(finding.verdict is Verdict.WARNING for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "dangers": self.dangers,
            "warnings": self.warnings,
            "findings": [finding.as_json() for finding in self.findings],
        }


def examine(settings: Settings) -> Report:
    """Looks at everything; changes nothing. Raises NotConfigured for a URL that is missing or malformed."""
    findings = [*versions.packages(), time_outs(settings), *redis.transports(settings)]
    findings += _ask_postgres(settings)
    for server in redis.servers(settings):
        findings += redis.examine(server)
    findings += redis.doorbells(settings)
    findings += redis.stray_commands(settings)
    return Report([_as_allowed(finding, settings) for finding in findings])


def _ask_postgres(settings: Settings) -> list[Finding]:
    database = engine_for(settings.database, pgbouncer=settings.pgbouncer, ping=False)
    found: list[Finding] = []
    try:
        with database.connect() as connection:
            found = [
                postgres.version(connection),
                postgres.durability(connection),
                postgres.clock(connection),
            ]
        fits = postgres.fits(database, settings)
        if fits[0].verdict is not Verdict.FINE:
            return found + fits
        with looking(database) as connection:
            role = postgres.role(connection)
            found += [*fits, role]
            if role.verdict is Verdict.DANGER:  # it may not even look
                return found
            return found + work.examine(connection, settings, _beat_heard(settings))
    except (*DATABASE_ERRORS, DatabaseAway, DatabaseFailed) as error:
        if sqlstate(error) == _NOT_ALLOWED:
            return [*found, danger("postgres-role", "this login may not read the tables", postgres.GRANT)]
        if not is_transient(error):
            raise
        remedy = (
            "Check that Postgres runs and what POINTLEDGER_DATABASE_URL names. Nothing is accepted meanwhile."
        )
        return [danger("postgres", "does not answer", remedy)]
    finally:
        database.dispose()


def _beat_heard(settings: Settings) -> float | None:
    with connect(settings) as client:
        return beat_heard_seconds(client, settings)


def _as_allowed(finding: Finding, settings: Settings) -> Finding:
    if finding.verdict is not Verdict.DANGER or finding.check not in settings.allow_unsafe:
        return finding
    return replace(
        finding, verdict=Verdict.WARNING, seen=f"{finding.seen} (allowed by POINTLEDGER_ALLOW_UNSAFE)"
    )
