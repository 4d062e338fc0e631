"""No key in a log, in an answer, in the database, whatever is done with it."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest

from relay import webhook
from tests.relay.conftest import Served, serve

CALLER, MACHINE, SIGNER, GITHUB, WRONG = (
    "fake-sentinel-of-a-caller-1111", "fake-sentinel-of-a-machine-2222",
    "whsec_c2VudGluZWwtb2YtYS1zaWduZXItMzMzMzMz", "fake-sentinel-of-github-4444",
    "fake-sentinel-of-nobody-5555",
)  # fmt: skip
KEYS = (CALLER, MACHINE, SIGNER, SIGNER.removeprefix("whsec_"), GITHUB, WRONG)


def _everything(relay: Served, key: dict[str, str]) -> list[httpx.Response]:
    """Every endpoint, well and badly used."""
    ask = httpx.Client(base_url=relay.address, headers=key, trust_env=False, timeout=30)
    command = {"type": "task_command", "data": {"task_id": "t", "action_type": "git"}}
    report = {"task_id": "t", "rev": 1, "attempt": 1, "status": "failed", "reason": "error"}
    with ask:
        posts = (command, {**command, "data": 1}, {"type": "note"}, {"type": "task_cancel"}, [])
        answers = [ask.post("/webhook", json=one) for one in posts]
        answers += [ask.post(f"/tasks/t/{order}") for order in ("cancel", "retry")]
        answers += [ask.put("/tasks/t", json=one) for one in (report, {**report, "rev": 0}, [])]
        signatures = (
            {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": f"v1,{WRONG}"},
            {"X-Hub-Signature-256": f"sha256={WRONG}"},
        )
        answers += [ask.post("/webhook", json=command, headers=one) for one in signatures]
        answers += [
            ask.request(method, path, params=query)
            for path in (
                "/",
                "/tasks",
                "/tasks/t",
                "/machines",
                "/errors",
                "/docs",
                "/openapi.json",
                "/nothing",
            )
            for method in ("GET", "DELETE")
            for query in ({}, {"limit": "many"}, {"wait": "x"}, {"api_key": next(iter(key.values()), "")})
        ]
    return answers


@pytest.mark.parametrize("failures", [0, 3])
def test_no_key_is_ever_shown_or_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, failures: int,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    settings = {
        "API_KEY": f"phone={CALLER}", "MACHINE_KEY": MACHINE, "WEBHOOK_SECRET": SIGNER,
        "GITHUB_WEBHOOK_SECRET": GITHUB, "RATE_LIMIT_PER_MINUTE": "25",
    }  # fmt: skip
    with serve(tmp_path, failures=failures, **settings) as relay:
        answers = []
        for key in (CALLER, MACHINE, WRONG):
            answers += _everything(relay, {"X-API-Key": key})
            answers += _everything(relay, {"Authorization": f"Bearer {key}"})
        answers += _everything(relay, {})
        with relay.machine(MACHINE) as machine:
            machine.webhook()
            machine.connection.send("{")
            machine.close_code()
        # Also a fault of ours, whose traceback is logged.
        monkeypatch.setattr(webhook, "_admit", None)
        answers.append(
            httpx.post(f"{relay.address}/webhook", headers={"X-API-Key": CALLER}, json={}, trust_env=False)
        )
        assert {answer.status_code for answer in answers} >= {
            200,
            202,
            204,
            401,
            403,
            404,
            405,
            422,
            429,
            500,
        }
        shown = "\n".join(f"{answer.headers}\n{answer.text}" for answer in answers)
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("relay.db*"))
    logged = caplog.text + "".join(capfd.readouterr())
    assert len(kept) > 10_000
    assert "disconnected" in logged or "ended" in logged
    # The client's own log has the address that it asked for.
    own = "\n".join(line for line in logged.splitlines() if "HTTP Request:" not in line)
    for key in KEYS:
        assert key not in shown
        assert key not in own
        assert key.encode() not in kept
