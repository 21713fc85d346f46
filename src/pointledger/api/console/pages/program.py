"""Program: how is it set up? The configuration with its versions, and what services may do."""

from typing import NamedTuple

from starlette.responses import Response

from pointledger.api.console.documents import compare
from pointledger.api.console.editor import pretty
from pointledger.api.console.forms import Document
from pointledger.api.console.pages.rules import VERSIONS, listed_versions, number_of, one_version, pair_of
from pointledger.api.console.tenant_form import OWN, TENANT_FORM
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.programs import SavedVersion
from pointledger.domain.program.tenant import Tenant
from pointledger.errors import InvalidProducers
from pointledger.events.rights import ServiceLine, services


class Setting(NamedTuple):
    """A field of the configuration in words."""

    name: str
    label: str
    value: str | None
    help: str
    is_default: bool


def show(visit: Visit) -> Response:
    """Show the configuration by groups, its versions, and services."""
    before = number_of(visit, "before")
    found = visit.queries.configurations(visit.tenant.tenant_id, before=before, limit=VERSIONS + 1)
    latest = found if before is None else visit.queries.configurations(visit.tenant.tenant_id, limit=1)
    lines, fault = _services(visit)
    return visit.page(
        "program.html",
        groups=_groups(visit.tenant),
        former_zones=visit.tenant.former_zones,
        latest=latest[0],
        json=pretty(content_of(visit.tenant)),
        versions=listed_versions(found),
        is_first=before is None,
        older=found[VERSIONS - 1].version if len(found) > VERSIONS else None,
        services=lines,
        fault=fault,
        current="program",
    )


def _groups(tenant: Tenant) -> list[tuple[str, list[Setting]]]:
    default = Tenant(tenant_id=tenant.tenant_id)
    same = compare(default.model_dump(mode="json"), tenant.model_dump(mode="json"))
    by_path = {each.path: each for each in same}
    groups = []
    for group in TENANT_FORM.groups:
        settings = []
        for field in group.fields:
            found = by_path.get(field.path)
            is_default = found is None or found.change == "same"
            settings.append(
                Setting(field.path, field.label, found.after if found else None, field.help, is_default)
            )
        groups.append((group.title, settings))
    return groups


def _services(visit: Visit) -> tuple[list[ServiceLine], bool]:
    """Return the services for those who may see them, and whether their file is malformed."""
    if not visit.may("program.services"):
        return [], False
    try:
        return services(visit.console.settings, visit.tenant.tenant_id), False
    except InvalidProducers:
        return [], True


def versions(visit: Visit) -> Response:
    """Show two versions of the configuration side by side."""
    tenant_id = visit.tenant.tenant_id
    latest = latest_of(visit).version
    numbers = pair_of(visit, latest)
    old, new = (
        one_version(visit.queries.configurations(tenant_id, before=number + 1, limit=1), number)
        for number in numbers
    )
    return visit.page(
        "versions.html",
        title="Program",
        old=old,
        new=new,
        fields=compare(old.content, new.content),
        latest=latest,
        page=visit.url("program"),
        here=visit.url("program", "versions"),
        current="program",
    )


def latest_of(visit: Visit) -> SavedVersion:
    """Return the latest version of the configuration. A tenant has one, or it would not be known."""
    return visit.queries.configurations(visit.tenant.tenant_id, limit=1)[0]


def content_of(tenant: Tenant) -> Document:
    """Return a configuration as the form and the HTTP API have it."""
    found: Document = tenant.model_dump(mode="json", exclude=set(OWN))
    return found


ROUTES = (
    PageRoute("program", "program", show),
    PageRoute("program/versions", "program", versions),
)
