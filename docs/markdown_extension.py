"""What our pages need beyond its Markdown: words after a block's language, and links in included files.

CommonMark allows any words after the language of a fenced block, and the tests read them: they say what a
block is for (`tests/docs`). Zensical allows none, so they are removed before it sees them.

A part of a file of the top level is included by `--8<-- "README.md:why"`. Its links count from the top level;
here they are made to count from `docs`.
"""

import re

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

_FENCE = re.compile(r"^(\s*(?:`{3,}|~{3,})[a-z]+) +(.*)$")
_OUTPUT = ' title="Output"'
_FROM_TOP_LEVEL = re.compile(r"(\]\(|(?:src|srcset|href)=\")docs/")
_AFTER_SNIPPETS, _BEFORE_FENCES = 32, 25  # priorities of pymdownx: what is higher comes first


class _Plain(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return [_FROM_TOP_LEVEL.sub(r"\1", _FENCE.sub(_plain, line)) for line in lines]


def _plain(fence: re.Match[str]) -> str:
    """The fence and its language; what a block before has printed says so."""
    return fence[1] + (_OUTPUT if fence[2] == "output" else "")


class PlainMarkdown(Extension):
    """Registers the two replacements."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Called by Markdown when the extension is loaded."""
        priority = (_AFTER_SNIPPETS + _BEFORE_FENCES) / 2
        md.preprocessors.register(_Plain(md), "pointledger_plain", priority)


def makeExtension(**config: object) -> PlainMarkdown:
    """The extension, for its module's name in a list of extensions."""
    return PlainMarkdown(**config)
