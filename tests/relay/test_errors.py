"""Every error has one shape and stands in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from relay import webhook
from relay.errors import Code, Problem
from relay.writer import Unavailable
from tests.chain import API_KEY, MACHINE_KEY
from tests.relay.conftest import Served, serve


def _fault(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError("a fault of ours")


def _full(*_: Any, **__: Any) -> None:
    raise Unavailable("The disk is full")


def _conflict(relay: Served) -> httpx.Response:
    relay.command(task_id="twice")
    return relay.command(task_id="twice", title="another")


def _too_often(relay: Served) -> httpx.Response:
    with serve(relay.database.parent / "too-often", RATE_LIMIT_PER_MINUTE="1") as other:
        other.http.get("/tasks")
        return other.http.get("/tasks")


COMMAND = {"type": "task_command", "data": {"action_type": "git"}}
CAUSES: dict[Code, Callable[[Served], httpx.Response]] = {
    Code.UNKNOWN_KEY: lambda relay: httpx.get(f"{relay.address}/tasks", trust_env=False),
    Code.BAD_SIGNATURE: lambda relay: httpx.post(
        f"{relay.address}/webhook",
        content=b"{}",
        headers={"X-Hub-Signature-256": "sha256=00"},
        trust_env=False,
    ),
    Code.WRONG_SCOPE: lambda relay: relay.http.get("/tasks", headers={"X-API-Key": MACHINE_KEY}),
    Code.NOT_FOUND: lambda relay: relay.http.get("/tasks/never-seen"),
    Code.WRONG_METHOD: lambda relay: relay.http.delete("/webhook"),
    Code.CONFLICT: _conflict,
    Code.WRONG_HOST: lambda relay: relay.http.post("/mcp", headers={"Host": "evil.example"}),
    Code.TOO_LARGE: lambda relay: relay.http.post("/webhook", content=b" " * 1_048_577),
    Code.MALFORMED: lambda relay: relay.http.post("/webhook", content=b"{"),
    Code.TOO_MANY: _too_often,
    Code.UNAVAILABLE: lambda relay: relay.command(),
    # A connection of its own: uvicorn closes it after a fault of the application.
    Code.INTERNAL: lambda relay: httpx.post(
        f"{relay.address}/webhook", json=COMMAND, headers={"X-API-Key": API_KEY}, trust_env=False
    ),
}


def test_every_code_has_a_cause_here() -> None:
    assert set(CAUSES) == set(Code)


@pytest.mark.parametrize("code", Code, ids=lambda code: code.slug)
def test_every_code_can_be_met_and_has_the_one_shape(
    shared: Served, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code is Code.UNAVAILABLE:
        monkeypatch.setattr("relay.store.accept_command", _full)
        # The writer turns what fails a commit into this; here it is the answer that is looked at.
    if code is Code.TOO_MANY:
        (shared.database.parent / "too-often").mkdir()
    if code is Code.INTERNAL:
        monkeypatch.setattr(webhook, "answer", _fault)
    answer = CAUSES[code](shared)
    assert answer.status_code == code.value.status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == code.value.status
    assert problem["code"] == code.slug
    assert problem["title"] == code.value.title
    assert problem["detail"]
    assert "Traceback" not in answer.text
    path, _, anchor = problem["type"].partition("#")
    table = shared.http.get(path)
    assert table.status_code == 200
    assert f"#{anchor} " in table.text
    assert ("retry-after" in answer.headers) == (code in {Code.UNAVAILABLE, Code.TOO_MANY})


def test_a_fault_of_ours_says_nothing_about_itself(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "answer", _fault)
    answer = CAUSES[Code.INTERNAL](shared)
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text
    assert "a fault of ours" not in answer.text


def test_slugs_are_stable_because_callers_compare_them() -> None:
    assert {code.slug for code in Code} == {
        "unknown_key", "bad_signature", "wrong_scope", "not_found", "wrong_method", "conflict", "wrong_host",
        "too_large", "malformed", "too_many", "unavailable", "internal",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/webhook", "/tasks"])
def test_a_wrong_method_says_so(shared: Served, path: str) -> None:
    answer = shared.http.request("PATCH", path)
    assert (answer.status_code, answer.json()["code"]) == (405, "wrong_method")
    assert path in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", "GET"),
        ("/webhook", "POST"),
        ("/tasks", "GET, PUT"),
        ("/tasks/x", "GET, PUT"),
        ("/tasks/x/cancel", "POST"),
    ],
)
def test_a_wrong_method_is_told_which_ones_there_are(shared: Served, path: str, methods: str) -> None:
    assert shared.http.request("PATCH", path).headers["allow"] == methods


@pytest.mark.parametrize(
    "path", ["/nothing", "/tasks/a/b", "/webhook/laptop", "/tasks/%ff", "/tasks/%00", "/%2e%2e"]
)
def test_an_unknown_path_is_not_found(shared: Served, path: str) -> None:
    answer = shared.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/tasks?limit=0", "limit"),
        ("/tasks?limit=201", "limit"),
        ("/tasks?limit=many", "limit"),
        ("/tasks?status=done", "status"),
        ("/tasks?machine=My%20Laptop", "machine"),
        ("/tasks/x?wait=46", "wait"),
        ("/tasks/x?wait=-1", "wait"),
        ("/tasks/x?wait=nan", "wait"),
        ("/tasks/x?wait=inf", "wait"),
    ],
)
def test_a_wrong_question_names_its_field(shared: Served, path: str, field: str) -> None:
    answer = shared.http.get(path)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert field in answer.json()["detail"]


def test_a_problem_is_an_exception_that_carries_its_facts() -> None:
    problem = Problem(Code.CONFLICT, "why", field="data.x", retry_after=3)
    assert (str(problem), problem.field, problem.retry_after) == ("why", "data.x", 3)
    assert problem.response().headers["retry-after"] == "3"


def test_openapi_names_every_endpoint(shared: Served) -> None:
    paths = shared.http.get("/openapi.json").json()["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/": {"get"}, "/webhook": {"post"}, "/tasks": {"get", "put"}, "/tasks/{task_id}": {"get", "put"},
        "/tasks/{task_id}/cancel": {"post"}, "/tasks/{task_id}/retry": {"post"}, "/machines": {"get"},
        "/projects": {"get"}, "/apps": {"get"}, "/apps/{caller}": {"delete"},
    }  # fmt: skip
    assert shared.http.get("/docs").status_code == 200
    assert shared.http.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (API_KEY, "write Bearer before the key"),
        (f"Basic {API_KEY}", "write Bearer"),
        ("Bearer", "No key came"),
    ],
)
def test_a_key_that_is_shown_in_another_way_gets_a_sentence(shared: Served, header: str, word: str) -> None:
    answer = httpx.get(f"{shared.address}/tasks", headers={"Authorization": header}, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_key")
    assert word in answer.json()["detail"]
    assert API_KEY not in answer.text


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_body_is_called_empty(shared: Served, content: bytes) -> None:
    answer = shared.http.post("/webhook", content=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert answer.json()["detail"].startswith("The body is empty")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_plain_request_to_the_websocket_is_told_what_it_is(shared: Served, method: str) -> None:
    answer = shared.http.request(method, "/ws")
    assert (answer.status_code, "/ws is a WebSocket" in answer.json()["detail"]) == (404, True)
