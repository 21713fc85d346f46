"""With what nothing may start: a configuration that loses what was accepted, and says nothing."""

import sqlalchemy as sa

from pointledger.errors import UnsafeConfiguration
from pointledger.observability.doctor import postgres, redis
from pointledger.observability.doctor.findings import Finding, Verdict, danger, fine, warning
from pointledger.settings import Settings


def require_safe(database: sa.Engine, settings: Settings) -> None:
    """Raises UnsafeConfiguration, but for what POINTLEDGER_ALLOW_UNSAFE names. A Redis that is away is no
    reason: it may be back in a moment, and nothing of value is lost with it."""
    with database.connect() as connection:
        found = [postgres.durability(connection), time_outs(settings)]
    for server in redis.servers(settings):
        policy = redis.policy_of(server)
        if policy is not None:
            found.append(redis.eviction(server, policy))
    dangers = [
        finding
        for finding in found
        if finding.verdict is Verdict.DANGER and finding.check not in settings.allow_unsafe
    ]
    if dangers:
        told = "; ".join(f"{finding.check}: {finding.seen}. {finding.remedy}" for finding in dangers)
        raise UnsafeConfiguration(told)


def time_outs(settings: Settings) -> Finding:
    """A worker that is frozen with row locks must lose them, and before its Redis locks run out."""
    limits = {
        name: getattr(settings, name)
        for name in ("lock_timeout_ms", "statement_timeout_ms", "idle_timeout_ms")
    }
    unbounded = [name for name, limit in limits.items() if limit <= 0]
    if unbounded:
        return danger(
            "time-outs",
            f"{', '.join(unbounded)} is 0, which means never: a frozen worker would hold its users for ever",
            f"Set it below {settings.lock_ttl_ms}.",
        )
    longer = [name for name, limit in limits.items() if limit >= settings.lock_ttl_ms]
    if longer:
        return warning(
            "time-outs",
            f"{', '.join(longer)} is no less than lock_ttl_ms: others wait at rows instead of going on",
            f"Set it below {settings.lock_ttl_ms}.",
        )
    return fine("time-outs", f"all are below the locks' {settings.lock_ttl_ms} ms")
