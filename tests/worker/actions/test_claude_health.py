"""Whether Claude Code can be used here: found as a task would find it, and told."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from relay.announced import Agent
from tests.worker.conftest import NOW
from worker import agents, models
from worker.actions.claude_code import ClaudeCode, cli, health
from worker.inbox import Inbox

MARKER = f"health-{os.getpid()}"
Fake = Callable[..., Path]
Left = Callable[[str], list[int]]


def probe(leftovers: Left) -> health.Health:
    found = health.probe(MARKER)
    assert leftovers(MARKER) == []
    return found


@pytest.mark.usefixtures("claude")
def test_the_real_one_says_its_version_and_whether_it_is_logged_in(
    leftovers: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe(leftovers)
    assert (found.version, found.is_logged_in, found.problem) == (cli.TESTED, True, None)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    found = probe(leftovers)
    assert (found.version, found.is_logged_in) == (cli.TESTED, False)
    assert "not logged in on this machine; run claude there once" in str(found.problem)
    assert ClaudeCode.look(MARKER) == Agent(name="claude_code", version=cli.TESTED, logged_in=False)


@pytest.mark.usefixtures("home")
def test_where_it_is_missing_the_way_out_is_told(leftovers: Left) -> None:
    found = probe(leftovers)
    assert (found.program, found.version, found.is_logged_in) == (None, None, None)
    assert "not installed on this machine" in str(found.problem)
    assert ClaudeCode.look(MARKER) == Agent(name="claude_code", version=None, logged_in=None)


@pytest.mark.parametrize(
    ("script", "logged_in"),
    [
        ("print('{\"loggedIn\": true}')", True), ("print('{\"loggedIn\": false}'); sys.exit(1)", False),
        ("print('{\"loggedIn\": \"yes\"}')", None), ("print('[]')", None), ("print('usage: claude')", None),
        ("sys.exit(1)", None),
    ],
)  # fmt: skip
def test_only_a_plain_answer_counts(fake: Fake, leftovers: Left, script: str, logged_in: bool | None) -> None:
    fake(script)
    assert probe(leftovers).is_logged_in is logged_in


def test_one_that_is_too_old_is_not_asked(fake: Fake, leftovers: Left) -> None:
    program = fake("print('{\"loggedIn\": true}')", "2.0.1 (Claude Code)")
    found = probe(leftovers)
    assert (found.version, found.is_logged_in) == (None, None)
    assert "2.0.1 is too old" in str(found.problem)
    assert not (program.parent / "argv").exists()


def test_what_was_found_last_is_known_to_the_listener(inbox: Inbox) -> None:
    assert inbox.announced().agents == []
    agents.record(Agent(name="claude_code", version=None, logged_in=None), NOW)
    newer = Agent(name="claude_code", version="2.1.331", logged_in=False)
    agents.record(newer, NOW + timedelta(minutes=5))
    assert inbox.announced().agents == [newer]
    models.database.execute_sql("DROP TABLE agents")
    assert inbox.announced().agents == []
