"""`/openapi.json` is what the relay does: schemathesis asks every endpoint, well and badly.

What is not in it is not asked: `/docs`, which shows the same, and `/errors` are for people, and `/ws`
is no HTTP."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from relay import control, tasks, webhook
from relay.protocol import Reason
from tests.chain import API_KEY, MACHINE_KEY
from tests.relay.conftest import Served, serve

# As a program, because its way into pytest (schema.parametrize) does not know pytest 9 yet.
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# Strict JSON, and a report whose id is not the one in the address: no schema can say these.
LEFT_OUT = "positive_data_acceptance"
pytestmark = pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not installed")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A relay where nobody waits for what is never going to happen."""
    really = tasks.wait_until_final

    async def look(relay: Any, task_id: str, _: float) -> Any:
        return await really(relay, task_id, 0)

    with pytest.MonkeyPatch.context() as patch:
        for room in (control, tasks, webhook):
            patch.setattr(room, "wait_until_final", look)
        with serve(tmp_path_factory.mktemp("relay")) as served:
            for status in ("completed", "failed", "cancelled"):
                served.command(task_id=status)
                served.report(status, status=status)
            yield served


def asked(relay: Served, key: str, *options: str) -> str:
    """What schemathesis says when it has asked everything that *options* select."""
    command = [
        SCHEMATHESIS, "run", f"{relay.address}/openapi.json", "--header", f"X-API-Key: {key}", "--seed", "1",
        "--max-examples", "15", "--generation-database", "none", "--no-color", "--checks", "all",
        "--exclude-checks", LEFT_OUT, *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    return done.stdout


def test_every_answer_to_a_caller_is_one_that_is_described(relay: Served) -> None:
    said = asked(relay, API_KEY, "--exclude-method", "PUT")
    assert re.search(r"Tested: +10\b", said), said[-2_000:]


def test_every_answer_to_a_machine_is_one_that_is_described(relay: Served) -> None:
    said = asked(relay, MACHINE_KEY, "--include-method", "PUT")
    assert re.search(r"Tested: +2\b", said), said[-2_000:]


@pytest.mark.parametrize("key", ["fake-key-that-nobody-knows-0000", MACHINE_KEY])
def test_every_refusal_is_one_that_is_described(relay: Served, key: str) -> None:
    described = relay.http.get("/openapi.json").json()
    with httpx.Client(base_url=relay.address, headers={"X-API-Key": key}, trust_env=False) as client:
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if path == "/" or (key == MACHINE_KEY and method == "put"):
                    continue
                answer = client.request(method, path.replace("{task_id}", "failed"))
                assert answer.status_code == (403 if key == MACHINE_KEY else 401)
                shown = operation["responses"][str(answer.status_code)]["content"]
                assert list(shown) == [answer.headers["content-type"]]


def test_the_description_is_one_by_the_standard(relay: Served) -> None:
    validate(relay.http.get("/openapi.json").json())


def test_every_reference_leads_somewhere(relay: Served) -> None:
    text = relay.http.get("/openapi.json").text
    described = relay.http.get("/openapi.json").json()
    names = set(re.findall(r'"\$ref":\s*"#/components/schemas/([^"]+)"', text))
    assert names <= described["components"]["schemas"].keys()
    assert len(re.findall(r'"\$ref"', text)) == len(re.findall(r'"\$ref":\s*"#/components/schemas/', text))
    command = described["components"]["schemas"]["Command"]
    assert command["required"] == ["action_type"], "the id is made by the relay when none is given"


def test_the_reasons_of_a_failure_are_told_as_a_closed_list(relay: Served) -> None:
    schemas = relay.http.get("/openapi.json").json()["components"]["schemas"]
    either = schemas["TaskView"]["properties"]["reason"]["anyOf"]
    assert either == [{"$ref": "#/components/schemas/Reason"}, {"type": "null"}]
    assert schemas["Reason"]["enum"] == list(Reason)


def test_the_page_for_people_says_the_same_and_loads_nothing(relay: Served) -> None:
    described = relay.http.get("/openapi.json").json()
    answer = httpx.get(f"{relay.address}/docs", trust_env=False)
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert not re.search(r"<script|<link|<img|src=|https?:|url\(|@import", answer.text)
    for path, operations in described["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}</code>" in answer.text
    anchors = set(re.findall(r"id='([^']+)'", answer.text))
    assert anchors == set(described["components"]["schemas"])
    links = set(re.findall(r"href='([^']+)'", answer.text))
    assert {"#TaskView", "#Command", "#Report"} <= links
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    for link in links:
        assert link.startswith("#") or relay.http.get(link).status_code == 200
