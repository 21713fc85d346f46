"""Modules that a client needs only once it is made: those with SQL, the decisions of trials, and settings.

`late.program.tenant(...)` imports `storage.ledger.program` at its first call. So an import of `PointsClient`
loads neither SQLAlchemy nor psycopg, which take longer than all the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointledger import settings
    from pointledger.client.queries import dry_run, trials
    from pointledger.domain.decisions import decide
    from pointledger.storage import awaiting, database, errors, revision
    from pointledger.storage.ledger import book, program, shared_usage
    from pointledger.storage.queries import (
        accounts,
        audit_log,
        current,
        expiring,
        explain,
        holds,
        outcomes,
        pages,
        points_by_expiry,
        statistics,
        wallets,
    )
    from pointledger.storage.queue import job_runs, pauses

__all__ = [
    "accounts",
    "audit_log",
    "awaiting",
    "book",
    "current",
    "database",
    "decide",
    "dry_run",
    "errors",
    "expiring",
    "explain",
    "holds",
    "job_runs",
    "outcomes",
    "pages",
    "pauses",
    "points_by_expiry",
    "program",
    "revision",
    "settings",
    "shared_usage",
    "statistics",
    "trials",
    "wallets",
]

_QUERIES = "pointledger.storage.queries"  # has all of them but these
_ELSEWHERE = {
    "pointledger": ("settings",),
    "pointledger.client.queries": ("dry_run", "trials"),
    "pointledger.domain.decisions": ("decide",),
    "pointledger.storage": ("awaiting", "database", "errors", "revision"),
    "pointledger.storage.ledger": ("book", "program", "shared_usage"),
    "pointledger.storage.queue": ("job_runs", "pauses"),
}
_PACKAGE_OF = dict.fromkeys(__all__, _QUERIES)
_PACKAGE_OF |= {name: package for package, names in _ELSEWHERE.items() for name in names}


if not TYPE_CHECKING:  # a type checker would let any name pass

    def __getattr__(name: str) -> Any:
        """Import a module that is used for the first time."""
        if name not in _PACKAGE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _imported(name)


def load() -> None:
    """Import all of them. That happens when a client or its queries are made, because an import in progress
    at a fork never ends in the child."""
    for name in __all__:
        _imported(name)


def _imported(name: str) -> Any:
    globals()[name] = found = import_module(f"{_PACKAGE_OF[name]}.{name}")
    return found
