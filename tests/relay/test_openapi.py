"""`/openapi.json` is what the relay does: schemathesis asks every endpoint, well and badly.

The endpoints that are not in it are not asked: `/docs` and `/errors` are pages for people, and `/ws`
is no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, unsupported_method

from tests.chain import API_KEY, MACHINE_KEY
from tests.relay.conftest import Served, serve

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, negative_data_rejection, ignored_auth, unsupported_method,
]  # fmt: skip
BOUNDED = settings(
    max_examples=15, deadline=None, derandomize=True, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("relay")) as served:
        yield served


@pytest.fixture(scope="module")
def described(relay: Served) -> Any:
    return schemathesis.openapi.from_url(f"{relay.address}/openapi.json")


ENDPOINTS = [
    ("GET", "/"), ("POST", "/webhook"), ("GET", "/tasks"), ("GET", "/tasks/{task_id}"),
    ("PUT", "/tasks/{task_id}"), ("POST", "/tasks/{task_id}/cancel"), ("POST", "/tasks/{task_id}/retry"),
    ("GET", "/machines"),
]  # fmt: skip
each_endpoint = pytest.mark.parametrize(("method", "path"), ENDPOINTS)


def test_every_endpoint_is_asked(described: Any) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    assert {(one.method.upper(), one.path) for one in operations} == set(ENDPOINTS)


# Its own way into pytest (schema.parametrize) does not know pytest 9 yet.
def ask(described: Any, method: str, path: str, check: Callable[[Any], None], **how: Any) -> None:
    """Let schemathesis make up requests for one endpoint, and *check* what comes back."""
    given(case=described[path][method].as_strategy(**how))(BOUNDED(check))()


# A request to `GET /` has nothing that could be wrong.
ASKED = [
    (method, path, mode)
    for method, path in ENDPOINTS
    for mode in schemathesis.GenerationMode
    if path != "/" or mode is not schemathesis.GenerationMode.NEGATIVE
]


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_every_answer_is_one_that_is_described(
    described: Any, method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    def check(case: Any) -> None:
        # Nobody waits here for what is never going to happen.
        case.query = {**(case.query or {}), **({"wait": 0} if "wait" in (case.query or {}) else {})}
        key = MACHINE_KEY if method == "PUT" else API_KEY
        case.call_and_validate(headers={"X-API-Key": key}, checks=CHECKS)

    ask(described, method, path, check, generation_mode=mode)


@each_endpoint
def test_a_stranger_is_refused_as_described(described: Any, method: str, path: str) -> None:
    def check(case: Any) -> None:
        answer = case.call(headers={"X-API-Key": "fake-key-that-nobody-knows-0000"})
        case.validate_response(answer, checks=CHECKS[:5])
        assert answer.status_code == (200 if path == "/" else 401)

    ask(described, method, path, check)
