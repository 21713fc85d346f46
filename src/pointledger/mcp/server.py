"""Speaks the Model Context Protocol on stdin and stdout."""

import inspect
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations

from pointledger.mcp.api import Api
from pointledger.mcp.tools import DATA, INSTRUCTIONS, Tools
from pointledger.settings import Settings

# A client may call such tools without asking its user. They ask one ledger, not the open world.
_READ_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


def serve(settings: Settings, url: str | None = None) -> None:
    """Serve until stdin ends. `url` replaces that of the settings. Raises SettingsInvalid."""
    server = server_of(Api(settings, url))
    # Ctrl-C ends the process at once. Python's own handler would wait for the thread that reads stdin.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server.run("stdio")


def server_of(api: Api) -> MCPServer[Any]:
    """Return a server with all tools, which closes the API when it ends."""

    @asynccontextmanager
    async def opened(_: MCPServer[Any]) -> AsyncIterator[None]:
        async with api:
            yield

    return MCPServer(
        "pointledger",
        title="pointledger",
        instructions=INSTRUCTIONS,
        version=version("pointledger"),
        log_level="WARNING",  # below it, lines would name users
        lifespan=opened,
        tools=[_tool(name, ask) for name, ask in inspect.getmembers(Tools(api), inspect.iscoroutinefunction)],
    )


def _tool(name: str, ask: Callable[..., Any]) -> Tool:
    """Return the tool. It refuses unknown arguments: an answer without a misspelled filter would mislead."""
    description = f"{' '.join((ask.__doc__ or '').split())} {DATA}"
    tool = Tool.from_function(ask, name=name, description=description, annotations=_READ_ONLY)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema()
    return tool
