"""Draws the curves of a run: throughput over time, and the distribution of latencies."""

from pathlib import Path

from tests.bench.environment import Curve

_INCHES = 8.0, 4.0  # of each plot, readable in a README's column
_DOTS_PER_INCH = 120

MILLISECONDS = "milliseconds"


def draw(curves: list[Curve], target: Path) -> None:
    """Draw one plot per title, below each other, into a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  the import takes half a second, and only `--plot` needs it
    from matplotlib.ticker import LogFormatter  # noqa: PLC0415

    titles = list(dict.fromkeys(curve.title for curve in curves))
    width, height = _INCHES
    figure = Figure(figsize=(width, height * max(len(titles), 1)), layout="constrained")
    for place, title in enumerate(titles, 1):
        axes = figure.add_subplot(len(titles), 1, place)
        axes.set_title(title)
        for curve in curves:
            if curve.title == title:
                axes.plot(curve.xs, curve.ys, label=curve.label)
                axes.set_xlabel(curve.x_axis)
                axes.set_ylabel(curve.y_axis)
                if curve.x_axis == MILLISECONDS:
                    axes.set_xscale("log")  # the tail is a hundred times the median
                    axes.xaxis.set_major_formatter(LogFormatter())  # 10, not a power of ten
                    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(target, dpi=_DOTS_PER_INCH, format="png")


def latency_curve(title: str, label: str, milliseconds: list[float]) -> Curve:
    """Return the curve of latencies: for each, the percentage that took at most as long."""
    ordered = sorted(milliseconds)
    shares = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
    return Curve(title, label, MILLISECONDS, "percent took at most that", ordered, shares)
