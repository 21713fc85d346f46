"""Says which role may see which page and do which action: one table.

What a role may not do is absent from its pages, and the server refuses it. The console does not start with a
route that has no line here.
"""

from collections.abc import Iterable
from typing import NamedTuple

SUPPORT, MARKETING, FINANCE, OPERATOR, ADMIN = "support", "marketing", "finance", "operator", "admin"
ROLES = (SUPPORT, MARKETING, FINANCE, OPERATOR, ADMIN)

PERMISSIONS: dict[str, frozenset[str]] = {
    "home": frozenset(ROLES),
    # Sums of the tenant, and no one's own points.
    "today": frozenset({MARKETING, FINANCE, OPERATOR, ADMIN}),
    "today.audit": frozenset({FINANCE, OPERATOR, ADMIN}),
    # About servers and processes, which operators run.
    "today.doctor": frozenset({OPERATOR, ADMIN}),
    # Members are people, so marketing, which works on rules, does not see them.
    "member": frozenset({SUPPORT, FINANCE, OPERATOR, ADMIN}),
    "member.statement": frozenset({SUPPORT, FINANCE, ADMIN}),
    "member.export": frozenset({FINANCE, ADMIN}),
    "member.goodwill": frozenset({SUPPORT, ADMIN}),
    "member.change": frozenset({ADMIN}),
    # Nothing undoes it, so no other right includes it.
    "member.erase": frozenset({ADMIN}),
    "command": frozenset({SUPPORT, FINANCE, OPERATOR, ADMIN}),
    "queue": frozenset({OPERATOR, ADMIN}),
    # To retry and cancel commands, to pause and resume.
    "queue.change": frozenset({OPERATOR, ADMIN}),
    # Rules and the configuration name no member, so all may look.
    "rules": frozenset(ROLES),
    "rules.change": frozenset({MARKETING, ADMIN}),
    "acts": frozenset({FINANCE, OPERATOR, ADMIN}),
    "acts.export": frozenset({FINANCE, ADMIN}),
    "program": frozenset(ROLES),
    "program.services": frozenset({OPERATOR, ADMIN}),
    "program.change": frozenset({ADMIN}),
}


class NavigationItem(NamedTuple):
    """A link in the navigation of those who have the permission. `path` is below the tenant's."""

    permission: str
    label: str
    path: str


NAVIGATION = (
    NavigationItem("today", "Today", "today"),
    NavigationItem("member", "Members", "members"),
    NavigationItem("queue", "Queue", "queue"),
    NavigationItem("command", "Commands", "commands"),
    NavigationItem("rules", "Rules", "rules"),
    NavigationItem("acts", "Acts", "acts"),
    NavigationItem("program", "Program", "program"),
)


def may(roles: Iterable[str], permission: str) -> bool:
    """Return whether one of these roles has the permission. Raises KeyError for an unknown one."""
    return not PERMISSIONS[permission].isdisjoint(roles)
