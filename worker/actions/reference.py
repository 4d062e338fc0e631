"""`python -m worker.actions.reference` prints docs/LLM_ACTIONS.md, made from the actions themselves."""

from __future__ import annotations

import json
import sys
from typing import Any

from worker.actions import catalogue
from worker.actions.base import Action

_HEAD = """\
# Actions

What a command may ask for. `action_type` names the action, `params` holds its parameters; an unknown
parameter is refused, so that a misspelt one is not quietly ignored. What of it is allowed, and where, is up
to `policy.toml` on the machine. This page is made from the code:
`python -m worker.actions.reference > docs/LLM_ACTIONS.md`.

```json
{"type": "task_command", "data": {"action_type": "git", "params": {"command": ["git", "status"]}}}
```

Every action ends in a task that is `completed`, `failed` or `cancelled`. A program that ends with another
exit status than 0 makes the task `failed` with reason `exit_status`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(action) for action in catalogue().values())])


def _section(action: type[Action]) -> str:
    schema = action.model_json_schema()
    needed = set(schema.get("required", ()))
    own = [name for name in schema["properties"] if name not in Action.model_fields]
    shared = [name for name in schema["properties"] if name in Action.model_fields]
    rows = [_row(name, schema["properties"][name], name in needed) for name in own + shared]
    table = "\n".join(["| parameter | type | default | meaning |", "| --- | --- | --- | --- |", *rows])
    return f"## `{action.action_type}`\n\n{schema['description']}\n\n{table}\n{action.notes()}"


def _row(name: str, schema: dict[str, Any], needed: bool) -> str:  # noqa: FBT001 - a column of the row
    default = "needed" if needed else f"`{json.dumps(schema.get('default'))}`"
    meaning = " ".join(schema.get("description", "").split())
    return f"| `{name}` | {_type(schema)} | {default} | {meaning} |"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}s"
    return str(schema.get("type", "any"))


if __name__ == "__main__":
    sys.stdout.write(reference())
