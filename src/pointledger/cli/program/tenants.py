"""A tenant's programme: `tenant put|show|pause|resume` and `rule put|list|test`."""

from typing import Any

import typer

from pointledger.cli.arguments import File, TenantId
from pointledger.cli.input import InputUnreadable, Why, by, read_document
from pointledger.cli.output import Json, print_fields, print_json
from pointledger.cli.session import opened_client, opened_settings, reading, writing
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import InvalidTenant
from pointledger.storage.ledger import program

tenant_app = typer.Typer(no_args_is_help=True)


@tenant_app.command("put")
def put_tenant(file: File, reason: Why = None, json: Json = False) -> None:
    """Create a tenant, or change it: its time zone, its expiry, what is switched on.

    Example: {"tenant_id": "grocer", "timezone": "America/New_York", "default_expiry_days": 365,
    "transfer_enabled": true}. What is left out takes its default.
    """
    try:
        fields = read_document(file)
    except InputUnreadable:
        raise
    except ValueError as error:
        raise InvalidTenant(f"{file}: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidTenant(f"{file}: a tenant is one JSON object")
    tenant = tenant_from(fields)
    with writing() as connection:
        version = program.put_tenant(connection, tenant, by(reason))
        not_before = program.tenant(connection, tenant.tenant_id).expires_not_before
    shown: dict[str, Any] = {"tenant_id": tenant.tenant_id, "version": version}
    if not_before:
        shown["expires_not_before"] = not_before.isoformat().replace("+00:00", "Z")
    (print_json if json else print_fields)(shown)


@tenant_app.command("show")
def show_tenant(tenant_id: TenantId, json: Json = False) -> None:
    """Show a tenant's configuration, in the form that `tenant put` takes."""
    with reading() as connection:
        tenant = program.tenant(connection, tenant_id)
    (print_json if json else print_fields)(tenant.model_dump(mode="json"))


@tenant_app.command("pause")
def pause_tenant(tenant_id: TenantId, reason: Why = None, json: Json = False) -> None:
    """Let a tenant's commands wait. They are accepted all the same; other tenants go on. Its nightly sweep
    waits, too. When this returns, nothing of the tenant is being applied any more."""
    with opened_settings() as settings, opened_client(settings) as client:
        since = client.pause(tenant_id, by(reason))
    shown = {"tenant_id": tenant_id, "paused": True, "since": since.isoformat().replace("+00:00", "Z")}
    (print_json if json else print_fields)(shown)


@tenant_app.command("resume")
def resume_tenant(tenant_id: TenantId, reason: Why = None, json: Json = False) -> None:
    """Let a paused tenant's commands go on, in their order."""
    with opened_settings() as settings, opened_client(settings) as client:
        was_paused = client.resume(tenant_id, by(reason))
    shown = {"tenant_id": tenant_id, "paused": False, "was_paused": was_paused}
    (print_json if json else print_fields)(shown)
