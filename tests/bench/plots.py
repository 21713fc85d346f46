"""Draws the curves of a run as SVG, in pictures that are readable on light and on dark screens."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.bench.environment import Curve

_INCHES = 8.0, 3.6  # of each plot, readable in a README's column
_MOST_MARKED = 12  # points of a curve; each is then marked and named on its axis

# The ink becomes a variable of the picture's style, which depends on the screen.
_INK, _VARIABLE = "#1c2733", "var(--ink)"
_STYLE = """<style>
:root { --ink: #1c2733; }
@media (prefers-color-scheme: dark) { :root { --ink: #dbe4ee; } }
</style>
"""
# Each has a contrast of 3 or more with white and with black, and they differ also for the color-blind.
_COLORS = "#2f81c7", "#d9730d", "#2c9a6a", "#9a6fd0"

_LOOK: dict[str, Any] = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "svg.hashsalt": "pointledger",  # the same ids in every run
}

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # so equal curves are equal files

MILLISECONDS = "milliseconds"


def draw(curves: Sequence[Curve], target: Path) -> None:
    """Draw one plot per title, below each other, into an SVG file."""
    import matplotlib as mpl  # noqa: PLC0415  the import takes half a second, and only `--plot` needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    titles = list(dict.fromkeys(curve.title for curve in curves))
    width, height = _INCHES
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(width, height * len(titles)), layout="constrained")
        for place, title in enumerate(titles, 1):
            axes = figure.add_subplot(len(titles), 1, place)
            _draw_plot(axes, title, [curve for curve in curves if curve.title == title])
        figure.savefig(target, format="svg", transparent=True, metadata=_NO_METADATA)
    head, end, rest = target.read_text().partition(" <defs>")
    target.write_text(head + _STYLE + end + rest.replace(_INK, _VARIABLE))


def _draw_plot(axes: Any, title: str, curves: Sequence[Curve]) -> None:
    axes.set_title(title)
    for curve, color in zip(curves, cycle(_COLORS), strict=False):
        marker = "o" if len(curve.xs) <= _MOST_MARKED else ""
        axes.plot(curve.xs, curve.ys, label=curve.label, color=color, marker=marker)
    first = curves[0]
    axes.set_xlabel(first.x_axis)
    axes.set_ylabel(first.y_axis)
    if "x" in first.logarithmic:
        axes.set_xscale("log")
    if "y" in first.logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)  # a rate that varies little looks like one
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        _name_ticks(axis, is_logarithmic=name in first.logarithmic)
    if len(first.xs) <= _MOST_MARKED:
        axes.set_xticks(sorted({x for curve in curves for x in curve.xs}))
        axes.xaxis.minorticks_off()
    axes.grid(visible=True, color=_INK, alpha=0.2)
    axes.legend(frameon=False)


def _name_ticks(axis: Any, *, is_logarithmic: bool) -> None:
    """Name ticks like 1,000. On a short logarithmic axis, name those between powers of ten, too."""
    from matplotlib.ticker import FuncFormatter, LogFormatter  # noqa: PLC0415

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if is_logarithmic:
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def latency_curve(title: str, label: str, milliseconds: list[float]) -> Curve:
    """Return the curve of latencies: for each, the percentage that took at most as long."""
    ordered = sorted(milliseconds)
    shares = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
    # The tail is a hundred times the median.
    return Curve(title, label, MILLISECONDS, "percent took at most that", ordered, shares, logarithmic="x")
