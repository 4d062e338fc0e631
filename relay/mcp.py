"""The tools over MCP, by the official SDK. Imported when the first assistant knocks: see `relay.door`."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool as ServedTool
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from mcp.types import Tool as ListedTool
from pydantic import ValidationError

from relay.errors import Problem
from relay.hub import Relay
from relay.instructions import INSTRUCTIONS
from relay.offers import Offers
from relay.protocol import MAX_BODY_BYTES, explain
from relay.tool import Tool
from relay.tools import Toolbox
from relay.writer import Unavailable

FRESH_MS = 60_000
"""How long an assistant may keep the list of tools: it changes with the policy of a machine."""


class Server(MCPServer[Any]):  # Any: the SDK's lifespan, which is not used
    """Serves those tools that the machines allow at this moment, in words that a model can act on."""

    def __init__(self, relay: Relay, version: str) -> None:
        super().__init__(
            "ai-webhook",
            title="ai-webhook",
            description="Say it to your phone; your own machine does it.",
            instructions=INSTRUCTIONS,
            version=version,
            log_level="WARNING",
            cache_hints={"tools/list": CacheHint(ttl_ms=FRESH_MS)},
            # Nothing is pushed: a phone asks.
            subscriptions=False,
        )
        self._toolbox = Toolbox(relay)
        self._served = [
            (tool, ServedTool.from_function(tool.run, tool.name, tool.title, tool.description))
            for tool in self._toolbox.all()
        ]

    async def list_tools(self) -> list[ListedTool]:
        """The tools, each narrowed to what is allowed somewhere."""
        return [
            ListedTool(
                name=tool.name,
                title=tool.title,
                description=tool.description,
                input_schema=tool.parameters,
                output_schema=tool.output_schema,
                annotations=tool.annotations,
            )
            for tool in self._offered().values()
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Raises ToolError, whose text the model reads."""
        offered = self._offered()
        if name not in offered:
            raise ToolError(f"There is no tool {name[:60]!r}; there are {', '.join(offered)}")
        tool = offered[name]
        if strange := sorted(arguments.keys() - tool.parameters["properties"].keys()):
            known = ", ".join(tool.parameters["properties"]) or "nothing"
            raise ToolError(f"{name} takes {known}, not {', '.join(strange)[:100]}")
        try:
            answer: CallToolResult | InputRequiredResult = await tool.run(
                arguments, context or Context(mcp_server=self), convert_result=True
            )
        except ToolError as problem:
            raise _sayable(problem) from problem.__cause__
        return answer

    def _offered(self) -> dict[str, ServedTool]:
        offers = self._toolbox.offers()
        return {
            tool.name: _narrowed(tool, served, offers)
            for tool, served in self._served
            if tool.is_offered(offers)
        }


def session_manager(server: Server, hosts: list[str], origins: list[str]) -> StreamableHTTPSessionManager:
    """Streamable HTTP without sessions, so that a restart of the relay loses nobody, for requests
    to these *hosts* and, from a browser, of pages of these *origins*."""
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)
    server.streamable_http_app(
        stateless_http=True, transport_security=security, max_request_body_size=MAX_BODY_BYTES
    )
    return server.session_manager


def _narrowed(tool: Tool, served: ServedTool, offers: Offers) -> ServedTool:
    changes = tool.can_change(offers)
    # What runs on the machine may reach anything from there, unless it only looks.
    hints = ToolAnnotations(
        title=tool.title,
        read_only_hint=not changes,
        destructive_hint=changes,
        idempotent_hint=not changes,
        open_world_hint=changes,
    )
    parameters = offers.narrow(served.parameters, tool.may)
    return served.model_copy(update={"parameters": parameters, "annotations": hints})


def _sayable(problem: ToolError) -> ToolError:
    """The same without the SDK's preamble where the text is a sentence of ours."""
    match problem.__cause__:
        case Problem() as ours:
            return ToolError(ours.detail)
        case Unavailable() as full:
            return ToolError(str(full))
        case ValidationError() as wrong:
            return ToolError(f"The arguments are not valid: {explain(wrong)}")
    return problem
