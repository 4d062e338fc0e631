"""What `/openapi.json` says that FastAPI cannot find out by itself: errors, bodies, keys, waiting."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from relay.errors import Code, ProblemView
from relay.protocol import TASK_ID, Command, Report

REF = "#/components/schemas/{model}"
ALWAYS = (Code.UNKNOWN_KEY, Code.WRONG_SCOPE, Code.MALFORMED, Code.TOO_MANY, Code.UNAVAILABLE)
"""What may be answered wherever a key is needed."""

# Documented, not validated: an id that cannot be is simply not found.
TaskIdInPath = Annotated[str, Path(json_schema_extra={"pattern": TASK_ID, "maxLength": 128})]

WAIT: dict[str, Any] = {
    "name": "wait",
    "in": "query",
    "description": "Seconds to hold the answer for the result, 0 to 45. `Prefer: wait=N` does the same.",
    "schema": {"type": "number", "minimum": 0, "maximum": 45},
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a repeated request harmless: the same key and body are answered as before.",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
}


def problems(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """These errors and those of ALWAYS, as FastAPI's *responses*."""
    content = {"application/problem+json": {"schema": {"$ref": REF.format(model="ProblemView")}}}
    titles = {code.value.status: code.value.title for code in (*codes, *ALWAYS)}
    return {status: {"description": title, "content": content} for status, title in sorted(titles.items())}


def body(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON body of this shape, for FastAPI's *openapi_extra*."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def methods(app: FastAPI, path: str) -> list[str]:
    """Which methods *path* answers: all of them, where the framework names those of one route only."""
    found = [
        operations
        for pattern, operations in app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", pattern), path)
    ]
    return sorted(method.upper() for operations in found for method in operations)


def complete(app: FastAPI) -> None:
    """Let *app* describe itself with the models and keys that its endpoints read by hand."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            models = [(Command, "validation"), (Report, "validation"), (ProblemView, "validation")]
            _, definitions = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # list is invariant
            # The one field that the machine needs and the caller need not give.
            definitions["$defs"]["Command"]["required"].remove("task_id")
            schema["components"]["schemas"] |= definitions["$defs"]
            schema["components"]["securitySchemes"] = {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["security"] = [{"key": []}, {"bearer": []}] if path != "/" else []
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
