"""rules.md: every field of a rule, and the language of its expressions."""

from collections.abc import Iterator

from pydantic import BaseModel

from docs.generate.fields import bullet, fields_of
from docs.generate.markdown import anchor, code, heading, items, link, page, paragraphs, table
from docs.generate.models import models_in
from docs.generate.prose_files import prose
from pointledger.domain.program.budget import (
    MAX_LIMITS,
    MAX_MEMORY_BYTES,
    MAX_MICROSECONDS,
    MAX_RULES,
    MAX_TOGETHER_MICROSECONDS,
)
from pointledger.domain.program.expressions import ACCOUNT, MAX_CHARACTERS, NOW
from pointledger.domain.program.rule import FLAT_LIMITS, FLAT_NAMES, RuleBody

_OF_CEL = {"INT": "integer", "STRING": "text", "BOOL": "`true` or `false`"}


def rules_page() -> str:
    """The whole page."""
    return page(
        "Rules",
        prose("rules.md"),
        heading(2, "Fields of a rule"),
        *_model(RuleBody),
        *(part for model in models_in(RuleBody) for part in (heading(2, model.__name__), *_model(model))),
        heading(2, "Flat names"),
        paragraphs("A rule may also be written with these short names. The ledger saves the nested form."),
        table(("Name", "Stands for"), _flat_names()),
        heading(2, "Expressions"),
        prose(
            "expressions.md",
            characters=MAX_CHARACTERS,
            rules=MAX_RULES,
            limits=MAX_LIMITS,
            milliseconds=MAX_MICROSECONDS // 1000,
            megabytes=MAX_MEMORY_BYTES // 1024**2,
            together=MAX_TOGETHER_MICROSECONDS // 1000,
        ),
        items(f"{code(f'now.{name}')}: {_OF_CEL[kind]}, {_NOW[name]}" for name, kind in NOW.items()),
        paragraphs("The account, as it is before any rule grants. Without an account every number is 0."),
        items(f"{code(f'account.{name}')}: {_OF_CEL[kind]}" for name, kind in ACCOUNT.items()),
    )


_NOW = {
    "hour": "0 to 23.",
    "minute": "0 to 59.",
    "weekday": "1 is Monday.",
    "date": "like `'2026-03-01'`.",
}
assert _NOW.keys() == NOW.keys(), "every fact about the time is told"


def _model(model: type[BaseModel]) -> Iterator[str]:
    yield paragraphs(model.__doc__ or "")
    yield "\n".join(bullet(field) for field in fields_of(model, _part))


def _part(name: str) -> str:
    return link(code(name), f"#{anchor(name)}")


def _flat_names() -> Iterator[tuple[str, str]]:
    for name, path in FLAT_NAMES.items():
        yield code(name), code(path)
    for name, period in FLAT_LIMITS.items():
        yield code(name), f"{code('limits')}: the most per user, with the period {code(period)}"
        yield code(f"{name}_unit"), f"the unit of {code(name)}"
