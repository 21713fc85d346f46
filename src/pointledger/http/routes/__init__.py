"""The routes, a module for each topic. One that is not listed here does not exist."""

from fastapi import APIRouter

from pointledger.http.routes import accounts, audit, commands, health, tasks, wallets

ROUTERS: tuple[APIRouter, ...] = (
    commands.router,
    accounts.router,
    wallets.router,
    audit.router,
    tasks.router,
    health.router,
)
