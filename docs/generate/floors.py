"""Draws the floors of the code from the import contracts in pyproject.toml, so that the picture cannot lie.

python -m docs.generate.floors    writes docs/assets/floors.svg
"""

import textwrap
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "assets" / "floors.svg"

_WIDTH, _MARGIN, _GAP = 860, 16, 8  # pixels: as wide as a column of text on a wide screen
_LINE, _PADDING = 20, 10
_CHARACTER = 7.4  # width of one, on average, in the size below
_LARGEST_BOX = 560  # leaves room for a neighbor on the same floor

_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1c2733; }
.name { font-weight: 600; }
.inner { font-size: 12px; }
rect { fill: #eef3f8; stroke: #7d93a8; }
.frame { fill: none; stroke-dasharray: 4 4; }
@media (prefers-color-scheme: dark) {
text { fill: #dbe4ee; }
rect { fill: #243240; stroke: #6f879e; }
.frame { fill: none; }
}"""


@dataclass(frozen=True, slots=True)
class Box:
    """A package, and the floors inside it, from the top one down; empty where no contract speaks of them."""

    name: str
    inner: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The inner floors as text: each name may import those after it."""
        if not self.inner:
            return []
        return textwrap.wrap(" → ".join(self.inner), int((_LARGEST_BOX - 2 * _PADDING) / _CHARACTER))

    @property
    def width(self) -> float:
        """Pixels, as wide as its text."""
        return max(len(text) for text in (self.name, *self.lines)) * _CHARACTER + 4 * _PADDING

    @property
    def height(self) -> int:
        """Pixels."""
        return _LINE * (1 + len(self.lines)) + 2 * _PADDING


def floors() -> str:
    """The picture as SVG: a row for each floor, and each row may import only the rows below it."""
    outside, inside = _rows(_contracts(ROOT / "pyproject.toml"))
    shapes: list[str] = []
    top = _draw(shapes, outside, _MARGIN) + _GAP
    frame_top = top
    shapes.append(_text("pointledger: the wheel", _MARGIN + _PADDING, top + _LINE, "name"))
    for row in inside:
        top = _draw(shapes, [row], top + (_LINE + _PADDING if row is inside[0] else 0))
    frame = (
        f'<rect class="frame" x="4" y="{frame_top}" width="{_WIDTH - 8}" height="{top - frame_top}" rx="6"/>'
    )
    caption = "A package may import what stands on a lower row, and what follows it after an arrow."
    shapes.append(_text(caption, _MARGIN, top + _LINE + _PADDING, "inner"))
    height = top + 2 * _LINE + _PADDING
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f"aria-label={quoteattr(_described([*outside, *inside]))}>"
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", frame, *shapes, "</svg>"]) + "\n"


def _contracts(path: Path) -> list[dict[str, Any]]:
    declared: list[dict[str, Any]] = tomllib.loads(path.read_text())["tool"]["importlinter"]["contracts"]
    return [contract for contract in declared if contract["type"] == "layers"]


def _rows(contracts: list[dict[str, Any]]) -> tuple[list[list[Box]], list[list[Box]]]:
    """The rows above the library, and the library's own."""
    inner = {
        container: contract["layers"]
        for contract in contracts
        for container in contract.get("containers", [])
    }
    (above,) = (contract["layers"] for contract in contracts if "containers" not in contract)
    *processes, library = above
    outside = [[Box(name) for name in _names(layer)] for layer in processes]
    inside = [
        [Box(name, inner.get(f"{library}.{name}", [])) for name in _names(layer)] for layer in inner[library]
    ]
    return outside, inside


def _names(layer: str) -> list[str]:
    return [name.strip() for name in layer.split("|")]


def _draw(shapes: list[str], rows: list[list[Box]], top: int) -> int:
    """Adds the rows' shapes, each row spread over the whole width; where the next row begins."""
    for row in rows:
        height = max(box.height for box in row)
        spare = _WIDTH - 2 * _MARGIN - _GAP * (len(row) - 1) - sum(box.width for box in row)
        left = float(_MARGIN)
        for box in row:
            width = box.width + spare / len(row)
            shapes.append(
                f'<rect id={quoteattr(box.name)} x="{left:.0f}" y="{top}" width="{width:.0f}" '
                f'height="{height}" rx="4"/>'
            )
            shapes.append(_text(box.name, left + _PADDING, top + _LINE + _PADDING - 4, "name"))
            for number, line in enumerate(box.lines, 2):
                shapes.append(_text(line, left + _PADDING, top + number * _LINE + _PADDING - 4, "inner"))
            left += width + _GAP
        top += height + _GAP
    return top


def _text(text: str, left: float, top: int, kind: str) -> str:
    return f'<text class="{kind}" x="{left:.0f}" y="{top}">{escape(text)}</text>'


def _described(rows: list[list[Box]]) -> str:
    """The picture in words, for readers who cannot see it."""
    floors = ["; ".join(_with_inner(box) for box in row) for row in rows]
    return "Floors, from the top down. " + ". ".join(floors) + "."


def _with_inner(box: Box) -> str:
    return f"{box.name} ({', '.join(box.inner)})" if box.inner else box.name


if __name__ == "__main__":
    PICTURE.write_text(floors())
