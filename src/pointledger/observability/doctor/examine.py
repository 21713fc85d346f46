"""Runs all checks. A server that is away is one finding; the other checks still run."""

from dataclasses import dataclass, replace
from typing import Any

from pointledger.errors import DatabaseAway, DatabaseFailed
from pointledger.messaging.doorbell import seconds_since_beat
from pointledger.messaging.redis_client import connect
from pointledger.observability.doctor import postgres, redis, versions, work
from pointledger.observability.doctor.findings import Finding, Severity, danger
from pointledger.observability.doctor.rules import dear_rules
from pointledger.observability.doctor.start import time_outs
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, read_only
from pointledger.storage.errors import DATABASE_ERRORS, is_transient, sqlstate

_INSUFFICIENT_PRIVILEGE = "42501"


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, in the order in which to read them."""

    findings: list[Finding]

    @property
    def dangers(self) -> int:
        """The number of dangerous findings."""
        return sum(finding.verdict is Severity.DANGER for finding in self.findings)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return sum(finding.verdict is Severity.WARNING for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the report of `pointledger doctor --json`."""
        return {
            "dangers": self.dangers,
            "warnings": self.warnings,
            "findings": [finding.as_json() for finding in self.findings],
        }


def examine(settings: Settings) -> Report:
    """Run all checks, read-only. Raises NotConfigured for a missing or malformed URL."""
    findings = [*versions.packages(), time_outs(settings), *redis.transports(settings)]
    findings += _examine_postgres(settings)
    for server in redis.servers(settings):
        findings += redis.examine(server)
    findings += redis.doorbells(settings)
    findings += redis.events_queues(settings)
    findings += redis.stray_commands(settings)
    return Report([_as_allowed(finding, settings) for finding in findings])


def _examine_postgres(settings: Settings) -> list[Finding]:
    database = engine_for(settings.database, pgbouncer=settings.pgbouncer, ping=False)
    found: list[Finding] = []
    try:
        with database.connect() as connection:
            found = [
                postgres.version(connection),
                postgres.durability(connection),
                postgres.sessions(connection),
                postgres.clock(connection),
            ]
        fits = postgres.fits(database, settings)
        if fits[0].verdict is not Severity.FINE:
            return found + fits
        with read_only(database) as connection:
            role = postgres.role(connection)
            found += [*fits, role]
            if role.verdict is Severity.DANGER:  # the role may lack the rights for the other checks
                return found
            found += work.examine(connection, settings, _beat_age(settings))
            return [*found, dear_rules(connection)]
    except (*DATABASE_ERRORS, DatabaseAway, DatabaseFailed) as error:
        if sqlstate(error) == _INSUFFICIENT_PRIVILEGE:
            return [*found, danger("postgres-role", "this login may not read the tables", postgres.GRANT)]
        if not is_transient(error):
            raise
        remedy = "Check that Postgres runs, and check POINTLEDGER_DATABASE_URL. Commands are not accepted."
        return [danger("postgres", "does not answer", remedy)]
    finally:
        database.dispose()


def _beat_age(settings: Settings) -> float | None:
    with connect(settings) as client:
        return seconds_since_beat(client, settings)


def _as_allowed(finding: Finding, settings: Settings) -> Finding:
    if finding.verdict is not Severity.DANGER or finding.check not in settings.allow_unsafe:
        return finding
    return replace(
        finding, verdict=Severity.WARNING, seen=f"{finding.seen} (allowed by POINTLEDGER_ALLOW_UNSAFE)"
    )
