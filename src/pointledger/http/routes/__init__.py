"""The routes, a module for each topic. One that is not listed here does not exist."""

from fastapi import APIRouter

from pointledger.http.routes import accounts, commands, health, tasks

ROUTERS: tuple[APIRouter, ...] = (commands.router, accounts.router, tasks.router, health.router)
