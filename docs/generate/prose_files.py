"""Sentences that no code has, from files of Markdown: a section per thing that a page lists."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from docs.generate.markdown import items, paragraphs

_FOLDER = Path(__file__).with_name("prose")


class ProseDiffers(Exception):
    """The sections of a file of prose are not those that the code asks for."""


def sections(name: str, wanted: Collection[str], *, all_of_them: bool = False) -> Mapping[str, str]:
    """The sections of a file by heading, lists in lines. Raises ProseDiffers where a heading names nothing
    that is wanted, or, with `all_of_them`, where one is missing."""
    parts = re.split(r"^## (.+)$", (_FOLDER / name).read_text(), flags=re.MULTILINE)[1:]
    found = {title: _in_lines(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}
    strange = found.keys() - set(wanted)
    missing = set(wanted) - found.keys() if all_of_them else set[str]()
    if strange or missing:
        told = f"names nothing: {sorted(strange)}; missing: {sorted(missing)}"
        raise ProseDiffers(f"docs/generate/prose/{name}: {told}")
    return found


def prose(name: str, **values: object) -> str:
    """A whole file, in lines. `values`: what stands for names in braces, if it has any."""
    text = (_FOLDER / name).read_text()
    return _in_lines(text.format(**values) if values else text)


def _in_lines(text: str) -> str:
    return "\n\n".join(_block(part) for part in re.split(r"\n\n(?=\S)", text.strip()))


def _block(text: str) -> str:
    """A list item by item, a paragraph in lines. Code, tables and headings stay as they are."""
    if text.startswith("- "):
        return items(line.removeprefix("- ") for line in text.splitlines())
    return text if text.startswith(("```", "|", "#")) else paragraphs(text)
