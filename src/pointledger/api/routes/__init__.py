"""The routes, one module per topic. `app` adds `openapi` itself, because a setting can disable /docs."""

from fastapi import APIRouter

from pointledger.api.routes import (  # fmt: skip
    accounts,
    audit_log,
    batches,
    commands,
    config,
    health,
    rules,
    tasks,
    tenant,
    wallets,
)

ROUTERS: tuple[APIRouter, ...] = (
    commands.router,
    accounts.router,
    batches.router,
    tenant.router,
    config.router,
    rules.router,
    wallets.router,
    audit_log.router,
    tasks.router,
    health.router,
)
