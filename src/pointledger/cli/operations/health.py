"""The command `health`, for the health checks of containers and supervisors."""

from typing import Annotated

import typer

from pointledger.cli.output import DONE, FAILED, Json, print_json
from pointledger.errors import HealthFolderUnusable
from pointledger.observability.heartbeat import Process, Seen, running
from pointledger.settings import from_environment

# A batch takes a second, and a worker gives up a statement of it that Postgres has not answered for eight. A
# dozen of these in a row are still no reason to restart it.
_WITHIN_SECONDS = 120.0


def health(
    process: Annotated[
        Process | None, typer.Argument(help="The kind of process. Default: every process of the folder.")
    ] = None,
    within: Annotated[
        float,
        typer.Option("--within", metavar="SECONDS", min=2, help="The oldest heartbeat that is healthy."),
    ] = _WITHIN_SECONDS,
    json: Json = False,
) -> None:
    """Check that the processes here work on, and exit with status 1 if one stands still or none runs.

    Each process writes a heartbeat into POINTLEDGER_HEALTH_FOLDER, from the loop that does its work. A
    process that waits for Postgres or Redis is healthy, because a restart would not help. This command asks
    no server.
    """
    folder = from_environment().health_folder
    if folder is None:
        raise HealthFolderUnusable("POINTLEDGER_HEALTH_FOLDER is not set")
    seen = [each for each in running(folder) if process in (None, each.process)]
    late = [each for each in seen if each.seconds > within]
    is_healthy = bool(seen) and not late
    why = _why(seen, late, process, within)
    if json:
        beats = [
            {"process": each.process, "pid": each.pid, "seconds": round(each.seconds, 3)} for each in seen
        ]
        print_json({"healthy": is_healthy, "why": why, "processes": beats})
    else:
        typer.echo(why)
    raise typer.Exit(DONE if is_healthy else FAILED)


def _why(seen: list[Seen], late: list[Seen], process: Process | None, within: float) -> str:
    if not seen:
        return f"unhealthy: no {process or 'process'} runs that writes heartbeats here"
    if late:
        worst = max(late, key=lambda each: each.seconds)
        return (
            f"unhealthy: {worst.process} {worst.pid} stands still, its last heartbeat was "
            f"{worst.seconds:.0f} seconds ago; the limit is {within:g}"
        )
    oldest = max(each.seconds for each in seen)
    kinds = ", ".join(dict.fromkeys(each.process for each in seen))
    return f"healthy: {kinds}; the oldest heartbeat was {oldest:.1f} seconds ago"
