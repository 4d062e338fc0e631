"""`/llm-instructions`: what an assistant needs to know, made from the tools themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from relay.hub import Relay
from relay.tool import Tool
from relay.tools import Toolbox

INSTRUCTIONS = (
    "These tools run git, commands and Claude Code on the user's own development machine. Call list_projects "
    "first when you do not know the projects. Every result has summary, which you can say aloud, and "
    "next_step, which you should follow. A call waits 25 seconds; then go on with get_task and the task_id. "
    "Never start a task again by yourself: tell the user. awaiting_approval means that the user must say "
    "yes in the viewer on that machine."
)
"""Said by the MCP server to every assistant; some read the first 512 characters only."""

_HTTP = """\
Without MCP the same works over HTTP, with the key as `Authorization: Bearer KEY`:

POST /webhook?wait=25
{"type": "task_command",
 "data": {"action_type": "git", "params": {"command": ["git", "status"], "project": "NAME"}}}

action_type is git, shell or claude_code. GET /projects tells the projects, GET /tasks/TASK_ID?wait=20 how it
went, /openapi.json everything else. Send an Idempotency-Key to make a repeated request harmless.
"""


def routes(relay: Relay) -> APIRouter:
    """The page. It tells what every relay can do and nothing of this one, so it needs no key."""
    router = APIRouter()

    @router.get("/llm-instructions", response_class=PlainTextResponse, include_in_schema=False)
    async def instructions() -> str:
        return text(Toolbox(relay).all())

    return router


def text(tools: Iterable[Tool]) -> str:
    """The whole page, as plain text."""
    told = "\n".join(f"- {_signature(tool)}: {tool.description}" for tool in tools)
    return f"{INSTRUCTIONS}\n\nTools, over MCP at /mcp:\n\n{told}\n\n{_HTTP}"


def _signature(tool: Tool) -> str:
    taken = inspect.signature(tool.run).parameters.values()
    told = [one.name if one.default is one.empty else f"{one.name}?" for one in taken]
    return f"{tool.name}({', '.join(told)})"
