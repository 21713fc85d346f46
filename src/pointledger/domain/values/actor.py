"""Names the author of a change, what it is, and the reason. Defines which names are the ledger's own."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

SERVICE_PREFIX = "svc:"
DEFAULT_SERVICE = "service"  # the actor of a command whose sender does not name itself
CLI_PREFIX = "cli:"  # before the user's name that the operating system knows
PERSON_PREFIX = "person:"  # before the subject of a person who uses the console
JOB, POLICY = "job", "policy"  # the actors of periodic jobs, and of a changed expiry policy
OPERATOR = "operator"  # the actor of a change by a program that does not name itself

# Only the ledger itself writes these names. `sweep` was the name of a job in older versions.
_OWN_NAMES = frozenset({JOB, POLICY, OPERATOR, "sweep"})
_OWN_PREFIXES = (CLI_PREFIX, PERSON_PREFIX, "erased:")

SenderKind = Annotated[
    Literal["administrator", "service", "user"] | None,
    Field(
        description="What the sender is, where the name in `actor` does not tell. The audit log records what "
        "an administrator sends. If not given, the name decides.",
    ),
]


class Actor(NamedTuple):
    """The author of a change to a program or a pending command, and the reason."""

    name: str = OPERATOR
    """The name of the person or program."""
    reason: str | None = None
    """Why it is done. The audit log shows it."""


def is_own_name(name: str) -> bool:
    """Return whether the ledger writes this name itself, so that no sender may use it."""
    return name in _OWN_NAMES or name.startswith(_OWN_PREFIXES)


def is_machine_name(name: str) -> bool:
    """Return whether this is the name of a service, which no person may have, or of the ledger itself."""
    return is_own_name(name) or name == DEFAULT_SERVICE or name.startswith(SERVICE_PREFIX)


def check_actor(name: Any) -> None:
    """Raise ValueError if a sender names the ledger itself as the actor."""
    if isinstance(name, str) and is_own_name(name):
        raise ValueError(f"actor: the ledger itself uses {name[:100]}; give the name of the sender")
