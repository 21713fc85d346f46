"""Pictures of what a run has seen: throughput over time, latencies and how many commands had at most that."""

from pathlib import Path

from tests.bench.stage import Trace

_INCHES = 8.0, 4.0  # of each picture: readable in a README's column
_DOTS_PER_INCH = 120

MILLISECONDS = "milliseconds"


def draw(traces: list[Trace], target: Path) -> None:
    """Draws the pictures, one for each title, below each other into a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415  half a second, and only `--plot` needs it
    from matplotlib.ticker import LogFormatter  # noqa: PLC0415

    titles = list(dict.fromkeys(trace.title for trace in traces))
    width, height = _INCHES
    figure = Figure(figsize=(width, height * max(len(titles), 1)), layout="constrained")
    for place, title in enumerate(titles, 1):
        axes = figure.add_subplot(len(titles), 1, place)
        axes.set_title(title)
        for trace in traces:
            if trace.title == title:
                axes.plot(trace.xs, trace.ys, label=trace.label)
                axes.set_xlabel(trace.x_axis)
                axes.set_ylabel(trace.y_axis)
                if trace.x_axis == MILLISECONDS:
                    axes.set_xscale("log")  # a tail is a hundred times its median
                    axes.xaxis.set_major_formatter(LogFormatter())  # 10, not a power of ten
                    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(target, dpi=_DOTS_PER_INCH, format="png")


def distribution(title: str, label: str, milliseconds: list[float]) -> Trace:
    """The curve of latencies: how many of all, in percent, took at most so long."""
    ordered = sorted(milliseconds)
    shares = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
    return Trace(title, label, MILLISECONDS, "percent took at most that", ordered, shares)
