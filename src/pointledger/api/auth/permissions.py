"""Who may what: the one table, from route to what it demands. A route that is not in it is nobody's."""

from dataclasses import dataclass, field

from pointledger.api.schemas.envelope import Problem
from pointledger.domain.commands.outcomes import Reason

READ, WRITE, ADMIN = "points:read", "points:write", "points:admin"  # scopes; the last implies the others
KIND_READ = "read"  # what a service needs for whatever is no command


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as the token says. A user has scopes; a service (`svc:`) the kinds of command that the
    settings let it send for this tenant."""

    subject: str
    tenant_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    kinds: frozenset[str] = field(default_factory=frozenset)
    is_service: bool = False

    @property
    def is_admin(self) -> bool:
        return not self.is_service and ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class Need:
    """What a route demands: of a user the scope, of a service the kind. Without ADMIN as scope a user
    reaches only itself; without a kind it is not for services."""

    scope: str
    kind: str | None = None


PUBLIC = None

TABLE: dict[tuple[str, str], Need | None] = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/docs/{asset}"): PUBLIC,
    ("GET", "/points/{user_id}"): Need(READ, KIND_READ),
    ("GET", "/points/{user_id}/transactions"): Need(READ, KIND_READ),
    ("POST", "/points/{user_id}/earn"): Need(ADMIN, "earn"),
    ("POST", "/points/{user_id}/spend"): Need(WRITE, "spend"),
    ("POST", "/points/{user_id}/transfer"): Need(WRITE, "transfer"),
    ("POST", "/points/{user_id}/refund"): Need(ADMIN, "refund"),
    ("POST", "/points/{user_id}/confirm-deduction"): Need(ADMIN, "confirm-deduction"),
    ("POST", "/admin/points/apply-rule"): Need(ADMIN, "apply-rule"),
    ("POST", "/admin/points/{user_id}/expire"): Need(ADMIN, "expire"),
    ("POST", "/admin/points/{user_id}/adjust"): Need(ADMIN, "adjust"),
    ("POST", "/admin/points/{user_id}/freeze"): Need(ADMIN, "freeze"),
    ("POST", "/admin/points/{user_id}/unfreeze"): Need(ADMIN, "unfreeze"),
    ("PUT", "/admin/points/{user_id}/status"): Need(ADMIN, "set-status"),
    ("GET", "/points/{user_id}/transactions/{tx_id}"): Need(READ, KIND_READ),
    ("GET", "/points/{user_id}/value"): Need(READ, KIND_READ),
    ("GET", "/points/{user_id}/stats"): Need(READ, KIND_READ),
    ("GET", "/points/{user_id}/expiring"): Need(READ, KIND_READ),
    ("GET", "/points/{user_id}/risk-score"): Need(ADMIN, KIND_READ),
    ("POST", "/admin/points"): Need(ADMIN, "open-account"),
    ("GET", "/admin/points"): Need(ADMIN),
    ("GET", "/admin/points/transactions"): Need(ADMIN),
    ("GET", "/admin/points/stats"): Need(ADMIN),
    ("GET", "/admin/points/config"): Need(ADMIN),
    ("PUT", "/admin/points/config"): Need(ADMIN),
    ("POST", "/admin/points/batch-earn"): Need(ADMIN, "earn"),
    ("GET", "/admin/point-rules"): Need(ADMIN),
    ("POST", "/admin/point-rules"): Need(ADMIN),
    ("POST", "/admin/point-rules/test"): Need(ADMIN),
    ("GET", "/admin/point-rules/{id}"): Need(ADMIN),
    ("PUT", "/admin/point-rules/{id}"): Need(ADMIN),
    ("DELETE", "/admin/point-rules/{id}"): Need(ADMIN),
    ("POST", "/points/{user_id}/exchange"): Need(WRITE, "exchange"),
    ("GET", "/wallets/{user_id}"): Need(READ, KIND_READ),
    ("GET", "/wallets/{user_id}/transactions"): Need(READ, KIND_READ),
    ("POST", "/admin/wallets/{user_id}/adjust"): Need(ADMIN, "wallet-adjust"),
    ("GET", "/admin/audit"): Need(ADMIN),
    ("GET", "/admin/point/integrity/{account_id}"): Need(ADMIN),
    ("GET", "/tasks/{task_id}"): Need(READ, KIND_READ),
}


def methods_of(path: str) -> set[str]:
    """The methods of a route's path; HEAD wherever GET."""
    methods = {method for method, known in TABLE if known == path}
    return methods | {"HEAD"} if "GET" in methods else methods


def check(principal: Principal, method: str, path: str, user_id: str | None) -> None:
    """Lets pass, or raises Problem: 403 where a scope or kind is missing, 404 for what is another's."""
    if (method, path) not in TABLE:
        raise forbidden()
    need = TABLE[method, path]
    if need is PUBLIC:
        return
    if principal.is_service:
        if need.kind is None or need.kind not in principal.kinds:
            raise forbidden()
        return
    if principal.is_admin:
        return
    if need.scope not in principal.scopes:
        raise forbidden()
    if user_id is not None and user_id != principal.subject:
        raise Problem(404, "there is no such account", reason=Reason.ACCOUNT_NOT_FOUND)


def forbidden() -> Problem:
    """The token is believed, but does not allow this."""
    return Problem(403, "the token does not allow this")
