"""Pieces of Markdown that several pages share."""

import re
from collections.abc import Iterable
from textwrap import wrap

WIDTH = 110  # of a line of prose: a diff shows the sentence that changed
_EXPONENT_FROM = 9  # 10^9 and more read better as powers


def page(title: str, *parts: str) -> str:
    """A page with one blank line between its parts. Empty parts are left out."""
    note = "<!-- Generated. Change the code or docs/generate, then run ./dev docs --write. -->"
    return "\n\n".join([f"# {title}", note, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def heading(level: int, title: str) -> str:
    """A heading. Its anchor is `anchor(title)`."""
    return f"{'#' * level} {title}"


def anchor(title: str) -> str:
    """The fragment of a heading, as Python-Markdown makes it."""
    plain = re.sub(r"[^\w\s-]", "", title).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def code(text: object) -> str:
    """Inline code, also of a text with backticks."""
    shown = str(text)
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def codes(values: Iterable[object]) -> str:
    """Inline code, comma by comma."""
    return ", ".join(code(value) for value in values)


def link(title: str, target: str) -> str:
    return f"[{title}]({target})"


def paragraphs(text: str) -> str:
    """The paragraphs of a docstring, each wrapped anew."""
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    return "\n\n".join(wrapped(part) for part in found if part)


def wrapped(text: str, indent: str = "", first: str | None = None) -> str:
    """One paragraph in lines. Code and links are never torn apart."""
    glued = re.sub(
        r"(``.*?``|`[^`]*`|\[[^\]]*\]\([^)]*\))", lambda found: found[0].replace(" ", "\x00"), text
    )
    lines = wrap(
        glued,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\x00", " ")


def item(text: str) -> str:
    """An item of a list, in lines."""
    return wrapped(text, "  ", "- ")


def items(texts: Iterable[str]) -> str:
    return "\n".join(item(text) for text in texts)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of short cells."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """A number as people read it: 10^15, 50,000, 0.5."""
    if isinstance(value, int) and value and set(str(abs(value))[1:]) == {"0"}:
        zeros = len(str(abs(value))) - 1
        if zeros >= _EXPONENT_FROM and str(abs(value))[0] == "1":
            return f"{'-' if value < 0 else ''}10^{zeros}"
    return f"{value:,}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
