"""Refuses to start with a configuration that silently loses accepted commands."""

import sqlalchemy as sa

from pointledger.errors import UnsafeConfiguration
from pointledger.observability.doctor import postgres, redis
from pointledger.observability.doctor.findings import Finding, Severity, danger, fine, warning
from pointledger.settings import Settings


def require_safe(database: sa.Engine, settings: Settings) -> None:
    """Raise UnsafeConfiguration for each danger that POINTLEDGER_ALLOW_UNSAFE does not name.

    A process may start while Redis is away, because that loses no accepted command.
    """
    with database.connect() as connection:
        found = [postgres.durability(connection), time_outs(settings)]
    for server in redis.servers(settings):
        policy = redis.policy_of(server)
        if policy is not None:
            found.append(redis.eviction(server, policy))
    dangers = [
        finding
        for finding in found
        if finding.verdict is Severity.DANGER and finding.check not in settings.allow_unsafe
    ]
    if dangers:
        raise UnsafeConfiguration(
            "; ".join(f"{finding.check}: {finding.seen}. {finding.remedy}" for finding in dangers)
        )


def time_outs(settings: Settings) -> Finding:
    """Check the timeouts: a stalled worker must lose its row locks before its Redis locks expire."""
    limits = {
        name: getattr(settings, name)
        for name in ("lock_timeout_ms", "statement_timeout_ms", "idle_timeout_ms")
    }
    unbounded = [name for name, limit in limits.items() if limit <= 0]
    if unbounded:
        return danger(
            "time-outs",
            f"off: {', '.join(unbounded)}. A stalled worker would block its users forever",
            f"Set each below {settings.lock_ttl_ms}.",
        )
    longer = [name for name, limit in limits.items() if limit >= settings.lock_ttl_ms]
    if longer:
        return warning(
            "time-outs",
            f"not below lock_ttl_ms: {', '.join(longer)}. Other workers may wait for row locks",
            f"Set each below {settings.lock_ttl_ms}.",
        )
    return fine("time-outs", f"all are below lock_ttl_ms, {settings.lock_ttl_ms} ms")
