"""Every example is run through the running system, by the script that is shipped with them."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.env import parse_keys
from tests.chain import GITHUB_SECRET, ROOT, Chain, wait_until
from tests.claude_cli import locate_claude, owner
from tests.messages_api import Api, says
from worker.policy import Policy

EXAMPLES = ROOT / "examples"
# What each payload must lead to; a payload that is missing here fails the first test.
COMMANDS = {
    "git_status.json": ("completed", "On branch main"),
    "git_log.json": ("completed", "Begin with a note"),
    "git_diff.json": ("completed", "docs/note.txt"),
    "shell_echo.json": ("completed", "Hello from"),
    "shell_ls.json": ("completed", "note.txt"),
    "shell_df.json": ("completed", "Mounted on"),
    "shortcut_status.json": ("completed", "On branch main"),
    **dict.fromkeys(
        ("claude_review.json", "shortcut_review.json", "shortcut_ask.json"),
        ("completed", "Three findings") if locate_claude() else ("failed", "not installed"),
    ),
}
EVENTS = {"insight.json": "llm_conversation_insight", "github_push.json": "github.push"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Api() as api, Chain(tmp_path_factory.mktemp("examples")) as one:
        api.plays(says("Three findings, and none of them matters."))
        # Not the real owner's login: this would cost them money.
        one.environment["worker"] = owner(one.folder, api)
        one.start()
        yield one


def send(chain: Chain, *words: str) -> dict[str, Any]:
    """Run examples/send.py in the chain's folder, as a user would; the answer that it printed."""
    shown = subprocess.run(
        [sys.executable, str(EXAMPLES / "send.py"), *words],
        cwd=chain.folder, env=os.environ, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    return dict(json.loads(shown.stdout.partition("\n")[2]))


def test_every_payload_has_an_expectation_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.json")} == COMMANDS.keys() | EVENTS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_command_does_what_it_says(chain: Chain, name: str) -> None:
    status, words = COMMANDS[name]
    task = send(chain, str(EXAMPLES / name))
    assert task["status"] == status, task
    assert words in (task["output"] if status == "completed" else task["error"])


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_event_reaches_the_machine_and_is_kept(chain: Chain, name: str) -> None:
    signed = ["--github", "push"] if name.startswith("github") else []
    receipt = send(chain, str(EXAMPLES / name), *signed)
    assert receipt["event"] == EVENTS[name]
    query = f"SELECT payload FROM events WHERE delivery_id = '{receipt['delivery_id']}'"

    def kept() -> str:
        found = subprocess.run(
            ["sqlite3", "tasks.db", query], cwd=chain.folder, capture_output=True, text=True, check=True
        )
        return found.stdout

    assert json.loads(wait_until(kept, "the event is kept")) == json.loads((EXAMPLES / name).read_text())


def test_a_wrong_signature_is_refused(chain: Chain) -> None:
    body = (EXAMPLES / "github_push.json").read_bytes()
    forged = {"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + "0" * 64}
    answer = chain.post(body, headers=forged)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert GITHUB_SECRET not in answer.text


def test_the_example_policy_is_valid() -> None:
    policy = Policy.model_validate(tomllib.loads((EXAMPLES / "policy.toml").read_text()))
    assert set(policy.projects) == {"ai-webhook", "notes"}


@pytest.mark.parametrize(
    "keys", ["fake-key-for-the-tests", "owner=fake-key-for-the-tests==", "fake-key-for-the-tests==",
             " owner=fake-key-for-the-tests , phone=another-fake-key-here"]
)  # fmt: skip
def test_send_shows_the_key_that_the_relay_expects(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", keys)
    shown = runpy.run_path(str(EXAMPLES / "send.py"))["headers_for"](b"", None)["X-API-Key"]
    assert shown == next(iter(parse_keys(keys, "default")))


def test_send_finds_the_relay_where_the_listener_finds_it(chain: Chain) -> None:
    address = f"ws://127.0.0.1:{chain.relay_port}/ws"
    answer = send(chain, str(EXAMPLES / "git_status.json"), "--relay", address)
    assert answer["status"] == "completed"


def test_send_says_in_one_sentence_that_there_is_no_relay(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, str(EXAMPLES / "send.py"), str(EXAMPLES / "insight.json"), "--relay", "http://127.0.0.1:9"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 1
    assert shown.stderr.startswith("No relay at http://127.0.0.1:9")
    assert "Traceback" not in shown.stderr
