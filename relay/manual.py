"""`/openapi.json` as a page for people (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

_Schema = dict[str, Any]  # Any: JSON
_FIRST = (
    "<p>The same for programs is <a href='/openapi.json'>/openapi.json</a>, for assistants "
    "<a href='/llm-instructions'>/llm-instructions</a>; what can go wrong is in "
    "<a href='/errors'>/errors</a>. A key travels as <code>X-API-Key: KEY</code> "
    "or <code>Authorization: Bearer KEY</code>.</p>"
)


def manual(spec: _Schema) -> str:
    """The page's text for the description *spec* of an API."""
    paths: _Schema = spec["paths"]
    operations = [
        _operation(path, method, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    shapes = [_shape(name, schema) for name, schema in sorted(spec["components"]["schemas"].items())]
    title = f"<h1>{escape(spec['info']['title'])} {escape(spec['info']['version'])}</h1>"
    return "".join([title, _FIRST, *operations, "<h1>Shapes</h1>", *shapes])


def _operation(path: str, method: str, operation: _Schema) -> str:
    fields = [(one["name"], one["schema"], one.get("description")) for one in operation.get("parameters", ())]
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    fields += [("body", content["schema"], None) for content in bodies]
    answers = "".join(
        f"<li>{escape(status)} {escape(answer.get('description', ''))}{_answer(answer)}</li>"
        for status, answer in operation["responses"].items()
    )
    key = "" if operation.get("security") else "<p>It needs no key.</p>"
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>{key}"
        f"{_fields(fields)}{_examples(bodies)}<p>Answers:</p><ul>{answers}</ul>"
    )


def _examples(bodies: Iterable[_Schema]) -> str:
    shown = [one for content in bodies for one in content["schema"].get("examples", ())]
    return "".join(f"<p>For example <code>{escape(json.dumps(one))}</code></p>" for one in shown)


def _answer(answer: _Schema) -> str:
    kinds = [
        _kind(content["schema"]) for content in answer.get("content", {}).values() if "schema" in content
    ]
    return f": {', '.join(kinds)}" if any(kinds) else ""


def _shape(name: str, schema: _Schema) -> str:
    needed = schema.get("required", ())
    fields = [
        (field, its, (its.get("description") or "") + ("" if field in needed else " Optional."))
        for field, its in schema.get("properties", {}).items()
    ]
    about = escape(schema.get("description", ""))
    return f"<h2 id='{escape(name)}'>{escape(name)}</h2><p>{about}</p>{_fields(fields)}"


def _fields(fields: list[tuple[str, _Schema, str | None]]) -> str:
    rows = [
        f"<dt><code>{escape(name)}</code> {_kind(schema)}</dt><dd>{escape((about or '').strip())}</dd>"
        for name, schema, about in fields
    ]
    return f"<dl>{''.join(rows)}</dl>" if rows else ""


def _kind(schema: _Schema) -> str:
    """What may stand there, in a few words, with links to shapes."""
    return " or ".join(dict.fromkeys(_kinds(schema)))


def _kinds(schema: _Schema) -> Iterator[str]:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        yield f"<a href='#{name}'>{name}</a>"
    elif "const" in schema:
        yield f"<code>{escape(str(schema['const']))}</code>"
    elif "enum" in schema:
        yield escape(", ".join(map(str, schema["enum"])))
    elif schema.get("type") == "array":
        yield f"list of {_kind(schema.get('items', {})) or 'anything'}"
    elif one_of := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        for one in one_of:
            yield from _kinds(one)
    elif "title" in schema and "properties" in schema:
        inside = [f"<code>{escape(name)}</code> {_kind(its)}" for name, its in schema["properties"].items()]
        yield f"{escape(schema['title'])} (with {', '.join(inside)})"
    elif "type" in schema:
        yield escape(str(schema["type"]))
