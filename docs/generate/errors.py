"""errors.md: every error, its message and remedy."""

from collections.abc import Iterator

from docs.generate.docstrings import attribute_docs
from docs.generate.markdown import anchor, code, codes, heading, item, items, link, page, paragraphs
from docs.generate.prose_files import prose
from pointledger.api.schemas.status_codes import OF_FAILURE, UNAVAILABLE
from pointledger.cli.table import entries, imported
from pointledger.errors import LedgerError

for _, _entry in entries():
    imported(_entry.name)  # the command line has errors of its own


def errors() -> list[type[LedgerError]]:
    """Every error, those that callers of the library meet first, in the order of the code."""
    found: list[type[LedgerError]] = [LedgerError, *_below(LedgerError)]
    ours = [error for error in found if error.__module__.startswith("pointledger.")]
    return sorted(ours, key=lambda error: error.__module__ != LedgerError.__module__)


def errors_page() -> str:
    """The whole page."""
    return page(
        "Errors",
        prose("errors.md", unavailable=UNAVAILABLE),
        items(link(code(error.__name__), f"#{anchor(error.__name__)}") for error in errors()),
        *(part for error in errors() for part in _error(error)),
    )


def _below(error: type[LedgerError]) -> Iterator[type[LedgerError]]:
    for each in error.__subclasses__():
        yield each
        yield from _below(each)


def _error(error: type[LedgerError]) -> Iterator[str]:
    yield heading(2, error.__name__)
    yield paragraphs(error.__doc__ or "")
    for name, text in attribute_docs(error).items():
        yield item(f"{code(f'error.{name}')}: {' '.join(text.split())}")
    others = [base.__name__ for base in error.__bases__ if base not in (LedgerError, Exception)]
    facts = [f"Also a {codes(others)}."] if others else []
    if error.__module__ != LedgerError.__module__:
        facts.append("Raised by the command line only.")
    elif error in OF_FAILURE:
        facts.append(f"HTTP status: {OF_FAILURE[error][0]}.")
    yield " ".join(facts)
