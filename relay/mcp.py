"""The tools over MCP, by the official SDK. Imported when the first assistant knocks: see `relay.door`."""

from __future__ import annotations

import logging
from typing import Any

from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool as ServedTool
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from mcp.types import Tool as ListedTool
from pydantic import ValidationError
from sse_starlette.sse import AppStatus

from relay.announced import AnnouncedAction
from relay.errors import Problem
from relay.hub import Relay
from relay.instructions import INSTRUCTIONS
from relay.mistakes import explain
from relay.offers import Offers
from relay.protocol import MAX_BODY_BYTES
from relay.tasks import TaskView
from relay.tool import Common, Tool, allows_added_actions
from relay.tools import Toolbox
from relay.writer import Unavailable

# It would cut the streams of those who wait when the relay stops; we answer them (`hub.stop`).
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

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
        # It says at INFO what every single request was.
        logging.getLogger("mcp").setLevel(logging.WARNING)
        self._toolbox = Toolbox(relay)
        self._served = {
            tool.name: ServedTool.from_function(tool.run, tool.name, tool.title, tool.description)
            for tool in self._toolbox.all()
        }

    async def list_tools(self) -> list[ListedTool]:
        """The tools, each narrowed to what is allowed somewhere, and the actions that owners added."""
        return list(self._offered().values())

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Raises ToolError, whose text the model reads."""
        offered = self._offered()
        if name not in offered:
            raise ToolError(f"There is no tool {name[:60]!r}; there are {', '.join(offered)}")
        fields = offered[name].input_schema["properties"]
        if strange := sorted(arguments.keys() - fields.keys()):
            known = ", ".join(fields) or "nothing"
            raise ToolError(f"{name} takes {known}, not {', '.join(strange)[:100]}")
        try:
            if name not in self._served:
                return _result(await self._toolbox.run_added(name, arguments))
            answer: CallToolResult | InputRequiredResult = await self._served[name].run(
                arguments, context or Context(mcp_server=self), convert_result=True
            )
        except ToolError as problem:
            raise _sayable(problem, problem.__cause__) from problem.__cause__
        except (Problem, Unavailable, ValidationError) as problem:
            raise _sayable(ToolError(), problem) from problem
        return answer

    def _offered(self) -> dict[str, ListedTool]:
        offers = self._toolbox.offers()
        tools = [tool for tool in self._toolbox.all() if tool.is_offered(offers)]
        offered = {tool.name: _listed(tool, self._served[tool.name], offers) for tool in tools}
        if offers.projects(allows_added_actions):
            output = self._served["run_git"].output_schema
            for name, action in offers.actions().items():
                offered.setdefault(name, _added(action, output, offers))
        return offered


def session_manager(server: Server, hosts: list[str], origins: list[str]) -> StreamableHTTPSessionManager:
    """Streamable HTTP without sessions, so that a restart of the relay loses nobody, for requests
    to these *hosts* and, from a browser, of pages of these *origins*."""
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)
    server.streamable_http_app(
        stateless_http=True, transport_security=security, max_request_body_size=MAX_BODY_BYTES
    )
    return server.session_manager


def _listed(tool: Tool, served: ServedTool, offers: Offers) -> ListedTool:
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=offers.narrow(served.parameters, tool.may, tool.narrow),
        output_schema=served.output_schema,
        annotations=_hints(tool.title, changes=tool.can_change(offers)),
    )


def _added(action: AnnouncedAction, output: dict[str, Any] | None, offers: Offers) -> ListedTool:
    """An action that somebody added to a machine, as a tool of its own. It may be anything."""
    schema = {"type": "object", **action.parameters}
    common = Common.model_json_schema()["properties"]
    own = {name: its for name, its in schema.get("properties", {}).items() if name != "working_dir"}
    schema["properties"] = {**own, **common}
    # Named twice, a field makes the schema invalid; whether the common ones are needed is said below.
    schema["required"] = [name for name in schema.get("required", ()) if name in own and name not in common]
    title = action.name.replace("_", " ").replace("-", " ").capitalize()
    return ListedTool(
        name=action.name,
        title=title,
        description=action.description,
        input_schema=offers.narrow(schema, allows_added_actions),
        output_schema=output,
        annotations=_hints(title, changes=True),
    )


def _hints(title: str, *, changes: bool) -> ToolAnnotations:
    # What runs on the machine may reach anything from there, unless it only looks.
    return ToolAnnotations(
        title=title,
        read_only_hint=not changes,
        destructive_hint=changes,
        idempotent_hint=not changes,
        open_world_hint=changes,
    )


def _result(shown: TaskView) -> CallToolResult:
    text = TextContent(type="text", text=shown.model_dump_json(indent=2))
    return CallToolResult(content=[text], structured_content=shown.model_dump(mode="json"))


def _sayable(problem: ToolError, cause: BaseException | None) -> ToolError:
    """The same without the SDK's preamble where the *cause* has a sentence of ours."""
    match cause:
        case Problem() as ours:
            return ToolError(ours.detail)
        case Unavailable() as full:
            return ToolError(str(full))
        case ValidationError() as wrong:
            return ToolError(f"The arguments are not valid: {explain(wrong)}")
    return problem
