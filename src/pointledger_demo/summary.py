"""Prints the demonstration's summary as tables."""

from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the summary of `Demonstration.run`."""
    console.print(Panel(Group(_work(summary), "", _points(summary)), title="pointledger", expand=False))
    console.print(_biggest(summary))
    console.print(_looked_up(summary))
    verified = summary["verify"]
    if verified["violations"]:
        console.print(
            f"[red]Verification found {verified['violations']} violations: pointledger verify[/red]"
        )
        return
    console.print(
        f"[green]✓ verified:[/green] {len(verified['invariants'])} invariants hold over "
        f"{verified['accounts']:,} accounts and {verified['entries']:,} entries"
    )


def _work(summary: dict[str, Any]) -> Table:
    table = _plain()
    table.add_row("commands accepted", f"{summary['accepted']:,}")
    if summary["duplicates"]:
        table.add_row("duplicates, not applied again", f"{summary['duplicates']:,}")
    table.add_row("applied", f"{summary['applied']:,}")
    for reason, count in sorted(summary["refused"].items()):
        table.add_row(f"refused: {reason}", f"{count:,}")
    table.add_row("dead", f"{summary['dead']:,}")
    if summary["commands_per_second"]:
        table.add_row("baskets applied per second", f"{summary['commands_per_second']:,}")
    return table


def _points(summary: dict[str, Any]) -> Table:
    table = _plain()
    table.add_row("points granted", f"{summary['points_granted']:,}")
    table.add_row("points expired", f"{summary['points_expired']:,}")
    table.add_row("points outstanding", f"{summary['points_outstanding']:,}")
    table.add_row("accounts", f"{summary['accounts']:,}")
    return table


def _plain() -> Table:
    table = Table.grid(padding=(0, 3))
    table.add_column()
    table.add_column(justify="right")
    return table


def _biggest(summary: dict[str, Any]) -> Table:
    table = Table(title="biggest accounts", title_justify="left")
    table.add_column("user")
    table.add_column("balance", justify="right")
    for account in summary["biggest_accounts"]:
        table.add_row(account["user_id"], f"{account['balance']:,}")
    return table


def _looked_up(summary: dict[str, Any]) -> Table:
    table = Table(title="outcomes, looked up by task id", title_justify="left")
    for column in ("task id", "kind", "state", "result"):
        table.add_column(column)
    for outcome in summary["looked_up"]:
        table.add_row(outcome["task_id"], outcome["kind"], outcome["state"], _result(outcome))
    return table


def _result(outcome: dict[str, Any]) -> str:
    data = outcome["data"]
    if data is None:
        return f"{outcome['reason']}: {outcome['message']}"
    if "settled" in data:
        return f"{data['settled']:,} of {data['requested']:,} points expired"
    entry = data["transaction"]
    return f"{entry['amount']} points, {entry['balance_after']:,} left"
