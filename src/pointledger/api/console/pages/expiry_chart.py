"""A chart of a member's points by the month in which they expire, drawn by the server: it needs no script."""

from typing import NamedTuple

from pointledger.client.queries.expiry import PointsByExpiry

_WIDTH, _HEIGHT = 640, 120  # of the plot, in units of the picture
_GAP = 0.35  # between bars, as a share of their width
_LEAST = 2.0  # units, so that a single point can be seen beside a million


class Bar(NamedTuple):
    """A bar, in units of the picture, and what it stands for."""

    label: str
    points: int
    x: float
    y: float
    width: float
    height: float
    tone: str = ""


class Chart(NamedTuple):
    """Bars by month of expiry, then those that come later and those that never expire."""

    bars: tuple[Bar, ...]
    width: int = _WIDTH
    height: int = _HEIGHT


def chart_of(found: PointsByExpiry) -> Chart | None:
    """Return the chart, or None without points."""
    columns = [(f"{each.month:%Y-%m}", each.points, "") for each in found.months]
    columns += [("later", found.later, "far"), ("never", found.never, "never")]
    most = max(points for _, points, _ in columns)
    if not most:
        return None
    step = _WIDTH / len(columns)
    bars = []
    for place, (label, points, tone) in enumerate(columns):
        height = max(round(_HEIGHT * points / most, 1), _LEAST) if points else 0.0
        x, width = round(step * (place + _GAP / 2), 1), round(step * (1 - _GAP), 1)
        bars.append(Bar(label, points, x, round(_HEIGHT - height, 1), width, height, tone))
    return Chart(tuple(bars))
