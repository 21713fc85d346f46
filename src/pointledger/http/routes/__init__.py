"""The routes, a module for each topic. One that is not listed here does not exist."""

from fastapi import APIRouter

from pointledger.http.routes import accounts, batches, commands, health, programme, rules, tasks, tenant

ROUTERS: tuple[APIRouter, ...] = (
    commands.router,
    accounts.router,
    batches.router,
    tenant.router,
    programme.router,
    rules.router,
    tasks.router,
    health.router,
)
