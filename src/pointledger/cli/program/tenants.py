"""Commands for tenants: `tenant put|show|pause|resume`."""

from typing import Any

import typer

from pointledger.cli.arguments import File, TenantId
from pointledger.cli.input import ReasonOption, actor, read_valid
from pointledger.cli.output import Json, print_fields, print_json
from pointledger.cli.program import expiry_policy
from pointledger.cli.session import opened_client, opened_settings, reading, writing
from pointledger.client.queries.results import iso
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import InvalidTenant
from pointledger.storage.ledger import program

tenant_app = typer.Typer(no_args_is_help=True)


@tenant_app.command("put")
def put_tenant(file: File, reason: ReasonOption = None, json: Json = False) -> None:
    """Create or change a tenant: its time zone, its expiry policy, and its enabled features.

    Example: {"tenant_id": "grocer", "timezone": "America/New_York", "default_expiry_days": 365,
    "transfer_enabled": true}. A field that is left out gets its default.
    """
    fields = read_valid(file, InvalidTenant)
    if not isinstance(fields, dict):
        raise InvalidTenant(f"{file}: a tenant must be one JSON object")
    tenant = tenant_from(fields)
    with writing() as connection:
        version = program.put_tenant(connection, tenant, actor(reason))
        not_before = program.tenant(connection, tenant.tenant_id).expires_not_before
    shown: dict[str, Any] = {"tenant_id": tenant.tenant_id, "version": version}
    if not_before:
        shown["expires_not_before"] = iso(not_before)
    (print_json if json else print_fields)(shown)


@tenant_app.command("show")
def show_tenant(tenant_id: TenantId, json: Json = False) -> None:
    """Show a tenant's configuration, in the form that `tenant put` takes."""
    with reading() as connection:
        tenant = program.tenant(connection, tenant_id)
    (print_json if json else print_fields)(tenant.model_dump(mode="json"))


@tenant_app.command("pause")
def pause_tenant(tenant_id: TenantId, reason: ReasonOption = None, json: Json = False) -> None:
    """Pause a tenant: its commands are still accepted but stay pending, and its nightly expiry job waits.

    Other tenants are not affected. When this returns, no command of the tenant is being applied.
    """
    with opened_settings() as settings, opened_client(settings) as client:
        since = client.pause(tenant_id, actor(reason))
    shown = {"tenant_id": tenant_id, "paused": True, "since": iso(since)}
    (print_json if json else print_fields)(shown)


@tenant_app.command("resume")
def resume_tenant(tenant_id: TenantId, reason: ReasonOption = None, json: Json = False) -> None:
    """Resume a paused tenant. Workers apply its pending commands in order."""
    with opened_settings() as settings, opened_client(settings) as client:
        was_paused = client.resume(tenant_id, actor(reason))
    shown = {"tenant_id": tenant_id, "paused": False, "was_paused": was_paused}
    (print_json if json else print_fields)(shown)


tenant_app.command("apply-expiry")(expiry_policy.apply_expiry)
