"""settings.md: every environment variable, in the groups of the code."""

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from docs.generate.fields import bullet, fields_of
from docs.generate.markdown import anchor, code, heading, link, page, paragraphs
from docs.generate.models import models_in
from docs.generate.prose_files import prose
from pointledger.settings import Settings

_PREFIX = Settings.model_config["env_prefix"]


def groups() -> list[type[BaseModel]]:
    """The classes that settings come from, in the order of the code."""
    return [
        base
        for base in Settings.__bases__
        if issubclass(base, BaseModel) and not issubclass(base, BaseSettings)
    ]


def settings_page() -> str:
    """The whole page."""
    return page(
        "Settings",
        prose("settings.md"),
        *(part for group in groups() for part in _group(group)),
        *(part for model in models_in(Settings) for part in _part(model)),
    )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{_PREFIX}{name}".upper()


def _group(group: type[BaseModel]) -> Iterator[str]:
    summary, _, rest = " ".join((group.__doc__ or "").split()).partition(". ")
    yield heading(2, summary.rstrip("."))
    yield paragraphs(rest)
    fields = fields_of(group, _link)
    yield "\n".join(bullet(field._replace(name=variable(field.name))) for field in fields)


def _part(model: type[BaseModel]) -> Iterator[str]:
    yield heading(2, model.__name__)
    yield paragraphs(model.__doc__ or "")
    yield "\n".join(bullet(field) for field in fields_of(model, _link))


def _link(name: str) -> str:
    return link(code(name), f"#{anchor(name)}")
