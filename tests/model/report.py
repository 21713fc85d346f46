"""Reports a run, as JSON and as tables."""

from typing import Any

from rich.console import Console
from rich.table import Table

from tests.model.coverage import Coverage

_COLUMNS = 3


def as_json(seed: int, worlds: int, coverage: Coverage, differences: int, seconds: float) -> dict[str, Any]:
    """Return the report of a run, with the number of compared worlds and the duration."""
    return {
        "seed": seed,
        "worlds": worlds,
        "commands": coverage.commands,
        "differences": differences,
        "seconds": round(seconds, 1),
        "applied": dict(sorted(coverage.applied.items())),
        "refused": dict(sorted(coverage.refused.items())),
        "features": dict(sorted(coverage.features.items())),
        "never_reached": coverage.missing,
    }


def show(report: dict[str, Any], console: Console) -> None:
    """Print the report as tables."""
    for name in ("applied", "refused", "features"):
        console.print(_table(name, report[name]))
    summary = Table.grid(padding=(0, 3))
    summary.add_row("seed", f"{report['seed']}")
    summary.add_row("worlds", f"{report['worlds']:,}")
    summary.add_row("commands", f"{report['commands']:,} in {report['seconds']:,} s")
    summary.add_row(
        "never reached", _red(", ".join(report["never_reached"]) or "-", bad=bool(report["never_reached"]))
    )
    summary.add_row("differences", _red(f"{report['differences']:,}", bad=bool(report["differences"])))
    console.print(summary)


def _table(title: str, counts: dict[str, int]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    cells = [cell for name, count in counts.items() for cell in (name, f"{count:,}")]
    for _ in range(_COLUMNS):
        table.add_column()
        table.add_column(justify="right")
    for start in range(0, len(cells), 2 * _COLUMNS):
        table.add_row(*cells[start : start + 2 * _COLUMNS])
    return table


def _red(text: str, *, bad: bool) -> str:
    return f"[red]{text}[/red]" if bad else text
