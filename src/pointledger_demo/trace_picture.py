"""Draws a trace as SVG: a bar for each span, and a dashed line where a span is linked to another."""

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

_WIDTH, _MARGIN = 860, 16  # pixels: as wide as a column of text on a wide screen
_LEFT = 330  # where time begins: the names are before it
_RIGHT = _WIDTH - 150  # where it ends: the durations are behind it
_ROW, _BAR = 46, 18
_NARROWEST = 3.0  # pixels of a bar, so that a span of microseconds is seen

_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1c2733; }
.service, .time { font-size: 12px; fill: #55677a; }
rect { fill: #3b7dd8; }
path { fill: none; stroke: #b4540a; stroke-width: 1.5; stroke-dasharray: 4 3; }
line { stroke: #c9d4df; }
@media (prefers-color-scheme: dark) {
text { fill: #dbe4ee; }
.service, .time { fill: #9db0c3; }
rect { fill: #6aa5f2; }
path { stroke: #f0a35e; }
line { stroke: #3a4a5a; }
}"""


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """A span as a collector gets it. Times are in nanoseconds since 1970; ids are in hexadecimal."""

    service: str
    name: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    start_ns: int
    end_ns: int


def draw(spans: list[CollectedSpan]) -> str:
    """Return the picture. The spans are in the order of their rows."""
    first = min(span.start_ns for span in spans)
    scale = (_RIGHT - _LEFT) / max(span.end_ns - first for span in spans)
    rows = {span.span_id: row for row, span in enumerate(spans)}
    lefts = {span.span_id: _LEFT + (span.start_ns - first) * scale for span in spans}
    shapes: list[str] = []
    for row, span in enumerate(spans):
        depth = _depth(span, spans)
        shapes += _row(span, _MARGIN + row * _ROW, depth, lefts[span.span_id], scale)
        for linked in span.links:
            if linked in rows:
                shapes.append(_link(lefts[linked], rows[linked], lefts[span.span_id], row))
    height = _MARGIN + len(spans) * _ROW + _ROW
    shapes.append(
        _text("dashed: a link, because a batch has commands of many traces", _LEFT, height - 18, "time")
    )
    label = "A trace: " + ", then ".join(f"{span.name} in {span.service}" for span in spans)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
    return (
        "\n".join([f"{head}aria-label={quoteattr(label)}>", f"<style>{_STYLE}</style>", *shapes, "</svg>"])
        + "\n"
    )


def _depth(span: CollectedSpan, spans: list[CollectedSpan]) -> int:
    """Return how many of the other spans it is below."""
    parents = {each.span_id: each.parent_id for each in spans}
    depth, above = 0, span.parent_id
    while above in parents:
        depth, above = depth + 1, parents[above]
    return depth


def _row(span: CollectedSpan, top: int, depth: int, left: float, scale: float) -> list[str]:
    length = span.end_ns - span.start_ns
    width = max(length * scale, _NARROWEST)
    begins = _MARGIN + depth * 16
    return [
        f'<line x1="{_LEFT}" y1="{top + _ROW - 6}" x2="{_WIDTH - _MARGIN}" y2="{top + _ROW - 6}"/>',
        _text(span.name, begins, top + 14),
        _text(span.service, begins, top + 31, "service"),
        f'<rect x="{left:.1f}" y="{top + 4}" width="{width:.1f}" height="{_BAR}" rx="2"/>',
        _text(f"{length / 1e6:.1f} ms", left + width + 6, top + 18, "time"),
    ]


def _link(from_left: float, from_row: int, to_left: float, to_row: int) -> str:
    start, end = _MARGIN + from_row * _ROW + 4 + _BAR, _MARGIN + to_row * _ROW + 4
    return f'<path d="M {from_left + 1:.1f} {start} V {end - 8} H {to_left + 1:.1f} V {end}"/>'


def _text(text: str, left: float, top: int, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{left:.1f}" y="{top}">{escape(text)}</text>'
