"""The routes, a module for each topic. One that is not listed here does not exist; but for `docs`, which can
be switched off."""

from fastapi import APIRouter

from pointledger.http.routes import (
    accounts,
    audit,
    batches,
    commands,
    health,
    programme,
    rules,
    tasks,
    tenant,
    wallets,
)  # fmt: skip

ROUTERS: tuple[APIRouter, ...] = (
    commands.router,
    accounts.router,
    batches.router,
    tenant.router,
    programme.router,
    rules.router,
    wallets.router,
    audit.router,
    tasks.router,
    health.router,
)
