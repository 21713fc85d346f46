"""tenant-config.md: every field of a tenant's configuration."""

from docs.generate.fields import bullet, fields_of
from docs.generate.markdown import anchor, code, heading, link, page, paragraphs
from docs.generate.models import models_in
from docs.generate.prose_files import prose
from pointledger.domain.program.tenant import Tenant


def tenant_page() -> str:
    """The whole page."""
    return page(
        "Tenant configuration",
        paragraphs(Tenant.__doc__ or ""),
        prose("tenant.md"),
        heading(2, "Fields"),
        "\n".join(bullet(field) for field in fields_of(Tenant, _part)),
        *(
            part
            for model in models_in(Tenant)
            for part in (
                heading(2, model.__name__),
                paragraphs(model.__doc__ or ""),
                "\n".join(bullet(field) for field in fields_of(model, _part)),
            )
        ),
    )


def _part(name: str) -> str:
    return link(code(name), f"#{anchor(name)}")
