"""The table of permissions for all routes. A route without a line in it answers 403."""

from dataclasses import dataclass, field

from pointledger.api.schemas.envelope import Problem
from pointledger.domain.commands.outcomes import Reason

READ, WRITE, ADMIN = "points:read", "points:write", "points:admin"  # scopes; ADMIN implies the others
SCOPES = frozenset({READ, WRITE, ADMIN})
KIND_READ = "read"  # what a service needs for routes that are not commands


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller.

    A user has scopes. A service has the command kinds that the settings allow it for this tenant.
    """

    subject: str
    tenant_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    kinds: frozenset[str] = field(default_factory=frozenset)
    is_service: bool = False

    @property
    def is_admin(self) -> bool:
        return not self.is_service and ADMIN in self.scopes

    @property
    def kind(self) -> str:
        """What the caller is, as a command's `sender` says it. Its name says nothing about that."""
        if self.is_service:
            return "service"
        return "administrator" if self.is_admin else "user"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route requires: a scope from a user, a kind from a service.

    Unless the scope is ADMIN, a user can access only their own account. Without a kind, services get 403.
    """

    scope: str
    kind: str | None = None


PUBLIC = None

TABLE: dict[tuple[str, str], Permission | None] = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/docs/{asset}"): PUBLIC,
    ("GET", "/points/{user_id}"): Permission(READ, KIND_READ),
    ("GET", "/points/{user_id}/transactions"): Permission(READ, KIND_READ),
    ("POST", "/points/{user_id}/earn"): Permission(ADMIN, "earn"),
    ("POST", "/points/{user_id}/spend"): Permission(WRITE, "spend"),
    ("POST", "/points/{user_id}/transfer"): Permission(WRITE, "transfer"),
    ("POST", "/points/{user_id}/refund"): Permission(ADMIN, "refund"),
    ("POST", "/points/{user_id}/confirm-deduction"): Permission(ADMIN, "confirm-deduction"),
    ("POST", "/admin/points/apply-rule"): Permission(ADMIN, "apply-rule"),
    ("POST", "/admin/points/{user_id}/expire"): Permission(ADMIN, "expire"),
    ("POST", "/admin/points/{user_id}/adjust"): Permission(ADMIN, "adjust"),
    ("POST", "/admin/points/{user_id}/freeze"): Permission(ADMIN, "freeze"),
    ("POST", "/admin/points/{user_id}/unfreeze"): Permission(ADMIN, "unfreeze"),
    ("PUT", "/admin/points/{user_id}/status"): Permission(ADMIN, "set-status"),
    ("GET", "/points/{user_id}/transactions/{tx_id}"): Permission(READ, KIND_READ),
    ("GET", "/points/{user_id}/transactions/{tx_id}/explanation"): Permission(ADMIN, KIND_READ),
    ("GET", "/points/{user_id}/value"): Permission(READ, KIND_READ),
    ("GET", "/points/{user_id}/stats"): Permission(READ, KIND_READ),
    ("GET", "/points/{user_id}/expiring"): Permission(READ, KIND_READ),
    ("GET", "/points/{user_id}/risk-score"): Permission(ADMIN, KIND_READ),
    ("POST", "/admin/points"): Permission(ADMIN, "open-account"),
    ("GET", "/admin/points"): Permission(ADMIN),
    ("GET", "/admin/points/transactions"): Permission(ADMIN),
    ("GET", "/admin/points/stats"): Permission(ADMIN),
    ("GET", "/admin/points/days"): Permission(ADMIN),
    ("GET", "/admin/points/config"): Permission(ADMIN),
    ("PUT", "/admin/points/config"): Permission(ADMIN),
    ("POST", "/admin/points/batch-earn"): Permission(ADMIN, "earn"),
    ("GET", "/admin/point-rules"): Permission(ADMIN),
    ("POST", "/admin/point-rules"): Permission(ADMIN),
    ("POST", "/admin/point-rules/test"): Permission(ADMIN),
    ("GET", "/admin/point-rules/{id}"): Permission(ADMIN),
    ("PUT", "/admin/point-rules/{id}"): Permission(ADMIN),
    ("DELETE", "/admin/point-rules/{id}"): Permission(ADMIN),
    ("POST", "/points/{user_id}/exchange"): Permission(WRITE, "exchange"),
    ("GET", "/wallets/{user_id}"): Permission(READ, KIND_READ),
    ("GET", "/wallets/{user_id}/transactions"): Permission(READ, KIND_READ),
    ("POST", "/admin/wallets/{user_id}/adjust"): Permission(ADMIN, "wallet-adjust"),
    ("GET", "/admin/audit"): Permission(ADMIN),
    ("GET", "/admin/point/integrity/{account_id}"): Permission(ADMIN),
    ("GET", "/tasks/{task_id}"): Permission(READ, KIND_READ),
}


def methods_of(path: str) -> set[str]:
    """Return the methods of a path. GET includes HEAD."""
    methods = {method for method, known in TABLE if known == path}
    return methods | {"HEAD"} if "GET" in methods else methods


def check(principal: Principal, method: str, path: str, user_id: str | None) -> None:
    """Check the permission. Raises Problem: 403 without the scope or kind, 404 for another user's account."""
    if (method, path) not in TABLE:
        raise forbidden()
    required = TABLE[method, path]
    if required is PUBLIC:
        return
    if principal.is_service:
        if required.kind is None or required.kind not in principal.kinds:
            raise forbidden()
        return
    if principal.is_admin:
        return
    if required.scope not in principal.scopes:
        raise forbidden()
    if user_id is not None and user_id != principal.subject:
        raise Problem(404, "no such account", reason=Reason.ACCOUNT_NOT_FOUND)


def forbidden() -> Problem:
    """Return the error for a valid token without the permission."""
    return Problem(403, "the token does not permit this request")
