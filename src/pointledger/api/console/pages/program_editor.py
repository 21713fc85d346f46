"""Changes the tenant's configuration, with the checks of the HTTP API and the command line (`editor.py`)."""

from starlette.responses import Response

from pointledger.api.console import editor
from pointledger.api.console.editor import Subject
from pointledger.api.console.forms import Document
from pointledger.api.console.pages.program import content_of, latest_of
from pointledger.api.console.tenant_form import OWN, TENANT_FORM
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import InvalidTenant

_ABOUT = "Saving makes a new version, which counts at once, for every command that is applied from then on."
_PAGE = ("program",)


def edit(visit: Visit) -> Response:
    """Show the form of the next version."""
    return editor.edit(visit, _subject(visit))


def submit(visit: Visit) -> Response:
    """Review the next version, or show it as a form or as JSON."""
    return editor.submit(visit, _subject(visit))


def check(visit: Visit) -> Response:
    """Say what is wrong with the next version, and what it would change."""
    return editor.check(visit, _subject(visit))


def save(visit: Visit) -> Response:
    """Save the next version."""

    def store(document: Document, reason: str, version: int) -> str:
        _, saved = visit.console.program.put_config(_tenant(visit, document), visit.actor(reason), version)
        return visit.url("program", saved=saved)

    return editor.save(visit, _subject(visit), store)


def _subject(visit: Visit) -> Subject:
    latest = latest_of(visit)
    return Subject(
        "Program",
        _ABOUT,
        page=_PAGE,
        back=_PAGE,
        form=TENANT_FORM,
        current=content_of(tenant_from(latest.content)),
        version=latest.version,
        check=lambda document: content_of(_tenant(visit, document)),
        marked="program",
    )


def _tenant(visit: Visit, document: Document) -> Tenant:
    """Check a configuration as saving it would. Raises InvalidTenant."""
    for name in OWN:
        if name in document:
            error = InvalidTenant(f"{name}: the ledger keeps it, so leave it out")
            error.faults = ((name, "the ledger keeps it, so leave it out"),)
            raise error
    return tenant_from(document | {"tenant_id": visit.tenant.tenant_id})


ROUTES = (
    PageRoute("program/edit", "program.change", edit),
    PageRoute("program/edit", "program.change", submit, method="POST"),
    PageRoute("program/check", "program.change", check, method="POST"),
    PageRoute("program/save", "program.change", save, method="POST"),
)
