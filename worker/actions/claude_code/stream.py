"""What Claude Code prints, line by line, as events (pure). Whatever is not known is nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from worker.actions.claude_code.agent import Clean, Event, Kind

LINE_CHARS = 160
"""A step is one line, and no longer than this."""

# What says most about a call of a tool, best first.
_TELLING = (
    "command",
    "file_path",
    "notebook_path",
    "pattern",
    "url",
    "query",
    "skill",
    "description",
    "prompt",
)
_NO_SUCH_TOOL = re.compile(r"No such tool available: (\w+)")


def parse(line: str, directory: str, clean: Clean) -> list[Event]:
    """The events in one line of stdout; paths below *directory* are shown relative to it. What people read
    goes through *clean* before it is cut: of a secret that was cut nobody recognises the rest."""
    if not line.startswith("{"):
        return []
    try:
        event = json.loads(line)
    # Deep nesting is a RecursionError.
    except (ValueError, RecursionError):
        return []
    if event.get("type") == "control_request":
        # What is asked must stay exactly what it is; only what is shown of it is cleaned.
        return list(_asks(event, directory, clean))
    event = clean(event)
    return [
        Event(kind, text, _is_nested(event), data)
        for kind, text, data in _READERS.get(_text(event.get("type")), _nothing)(event, directory)
    ]


def brief(tool: str, params: object, directory: str) -> str:
    """A call of a tool in one line: `Bash git status --short`."""
    given = _mapping(params)
    telling = next((_text(given[name]) for name in _TELLING if _text(given.get(name))), "")
    return one_line(f"{tool} {telling.removeprefix(directory.rstrip('/') + '/')}")


def one_line(text: str) -> str:
    """*text* in one line of at most LINE_CHARS."""
    # Cut first: a tool may have written a megabyte.
    words = " ".join(text[: 8 * LINE_CHARS].split())
    return words if len(words) <= LINE_CHARS else words[: LINE_CHARS - 1] + "…"


_Found = Iterator[tuple[Kind, str, Mapping[str, Any]]]  # Any: JSON


def _nothing(event: Mapping[str, Any], directory: str) -> _Found:  # noqa: ARG001 - one of the readers
    yield from ()


def _assistant(event: Mapping[str, Any], directory: str) -> _Found:
    for block in _blocks(event):
        if block.get("type") == "text" and (text := _text(block.get("text")).strip()):
            yield Kind.TEXT, text, {}
        elif block.get("type") == "tool_use":
            yield Kind.TOOL, brief(_text(block.get("name")), block.get("input"), directory), {}


def _user(event: Mapping[str, Any], directory: str) -> _Found:  # noqa: ARG001 - one of the readers
    for block in _blocks(event):
        if block.get("type") != "tool_result":
            continue
        said = _said(block.get("content"))
        first = next((line for line in said[:10_000].splitlines() if line.strip()), "")
        if block.get("is_error") is not True:
            yield Kind.DONE, one_line(first), {}
            continue
        if missing := _NO_SUCH_TOOL.search(first):
            # Not among the denials of the result, but just that: this mode does not have the tool.
            yield Kind.DENIED, missing[1], {"tool": missing[1]}
        yield Kind.TROUBLE, one_line(re.sub(r"</?tool_use_error>", "", first)), {}


def _system(event: Mapping[str, Any], directory: str) -> _Found:  # noqa: ARG001 - one of the readers
    subtype = event.get("subtype")
    if subtype == "init":
        tools = event.get("tools")
        parts = (
            # Whole: when the worker dies, this line is all that is left to go on with.
            f"session {_text(event.get('session_id'))}",
            _text(event.get("model")),
            _text(event.get("permissionMode")),
            f"{len(tools) if isinstance(tools, list) else 0} tools",
            f"Claude Code {_text(event.get('claude_code_version'))}",
        )
        yield Kind.SESSION, one_line(" · ".join(parts)), {}
    elif subtype == "permission_denied":
        # The reason it gives is advice to the model. What was denied stands in the line above.
        yield Kind.NOTICE, one_line(f"denied {_text(event.get('tool_name'))}"), {}
    elif subtype == "api_retry":
        status = event.get("error_status")
        what = f"API {status}" if isinstance(status, int) else "API"
        wait = _number(event.get("retry_delay_ms")) / 1000
        yield Kind.NOTICE, one_line(
            f"{what} ({_text(event.get('error'))}), retry {event.get('attempt')}/{event.get('max_retries')} "
            f"in {wait:.1f} s"
        ), {}  # fmt: skip
    elif subtype == "model_fallback":
        yield Kind.NOTICE, "another model takes over", {}


def _result(event: Mapping[str, Any], directory: str) -> _Found:
    denials = [
        brief(_text(denial.get("tool_name")), denial.get("tool_input"), directory)
        for denial in _mappings(event.get("permission_denials"))
    ]
    for denial in denials:
        yield Kind.DENIED, denial, {"tool": denial.partition(" ")[0]}
    kept = ("subtype", "is_error", "result", "errors", "api_error_status", "num_turns", "total_cost_usd")
    data = {name: event[name] for name in kept if name in event}
    since = event.get("model_usage_since_last_result")
    if isinstance(since, Mapping):
        # In a session that was continued, total_cost_usd has what the earlier runs cost as well.
        data["cost_usd"] = sum(_number(_mapping(one).get("costUSD")) for one in since.values())
    yield Kind.RESULT, "", data


def _asks(event: Mapping[str, Any], directory: str, clean: Clean) -> Iterator[Event]:
    request = _mapping(event.get("request"))
    if request.get("subtype") == "can_use_tool":
        tool, params = _text(request.get("tool_name")), _mapping(request.get("input"))
        why = one_line(clean(_text(request.get("decision_reason"))))
        data = {"id": event.get("request_id"), "tool": tool, "params": params, "why": why}
        yield Event(Kind.ASKS, brief(tool, clean(params), directory), _is_nested(event), data)


def _withdraws(event: Mapping[str, Any], directory: str) -> _Found:  # noqa: ARG001 - one of the readers
    yield Kind.WITHDRAWN, "", {"id": event.get("request_id")}


_READERS = {
    "assistant": _assistant, "user": _user, "system": _system, "result": _result,
    "control_cancel_request": _withdraws,
}  # fmt: skip


def _is_nested(event: Mapping[str, Any]) -> bool:
    return bool(event.get("parent_tool_use_id"))


def _blocks(event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return _mappings(_mapping(event.get("message")).get("content"))


def _said(content: object) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_text(block.get("text")) for block in _mappings(content))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float:
    with suppress(OverflowError):
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return 0.0
