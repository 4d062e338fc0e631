"""`make doctor`, on a chain that runs, and on one in which something is wrong."""

from __future__ import annotations

import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chain import ROOT, Chain, free_port, git, wait_until
from worker import checks
from worker.checks import Door, Level
from worker.policy import Policy


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("doctor")) as one:
        for name in (".env", "policy.toml"):
            (one.folder / name).chmod(0o600)
        one.start()
        yield one


class Report:
    """What `python -m worker.doctor` printed in *folder*, and its exit status."""

    def __init__(self, folder: Path, **settings: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "worker.doctor"], cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings}, timeout=50,
        )  # fmt: skip
        assert done.stderr == "", done.stderr
        self.text, self.status = done.stdout, done.returncode

    def lines(self, level: Level) -> dict[str, str]:
        """Subject → sentence of the findings of this level."""
        found = re.findall(rf"^{level} +(\w+) +(\S.*)$", self.text, re.MULTILINE)
        return dict(found)


def test_with_everything_up_it_sends_a_command_through_the_chain_and_finds_no_problem(chain: Chain) -> None:
    chain.command("git", {"command": ["git", "status"]})
    report = Report(chain.folder)
    assert (report.status, report.lines(Level.PROBLEM)) == (0, {}), report.text
    fine = report.lines(Level.OK)
    assert {"settings", "files", "policy", "git", "relay", "keys", "machine", "worker", "viewer"} <= set(fine)
    # On a machine with much to do it may be slow, which is a warning.
    assert re.search(r"^(ok|warning) +chain +A command .* came back in \d", report.text, re.MULTILINE)
    doors = report.text.partition("Front doors")[2]
    assert re.search(r"^  phone +just now +1 time$", doors, re.MULTILINE), "its own command does not count"
    assert "\x1b" not in report.text


def test_a_worker_that_does_not_run_is_named_and_nothing_is_sent(chain: Chain) -> None:
    chain.kill("worker")
    waiting = chain.command("git", {"command": ["git", "version"]}, wait=0)
    report = Report(chain.folder)
    chain.start("worker")
    assert report.status == 1
    assert set(report.lines(Level.PROBLEM)) == {"worker"}
    assert "make worker" in report.lines(Level.PROBLEM)["worker"]
    assert "No command was sent" in report.lines(Level.WARNING)["chain"]
    assert chain.task(waiting["task_id"], 20)["status"] == "completed"


def test_a_listener_that_is_away_is_named(chain: Chain) -> None:
    chain.kill("listener")
    wait_until(lambda: chain.get(chain.relay).json()["connected_clients"] == 0, "the relay notices")
    report = Report(chain.folder)
    chain.start("listener")
    assert report.status == 1
    assert "laptop is not connected, with 0 webhooks" in report.lines(Level.PROBLEM)["machine"]


def test_a_relay_that_is_down_is_named_and_the_rest_is_looked_at(chain: Chain) -> None:
    port = free_port()
    report = Report(chain.folder, PORT=str(port))
    assert report.status == 1
    assert set(report.lines(Level.PROBLEM)) == {"relay"}
    sentence = report.lines(Level.PROBLEM)["relay"]
    assert f"No answer from http://127.0.0.1:{port} (" in sentence
    assert "refused" in sentence
    assert {"worker", "viewer", "git"} <= set(report.lines(Level.OK))


def test_a_relay_that_the_world_can_reach_is_warned_about_what_would_run_unasked(chain: Chain) -> None:
    report = Report(chain.folder, PUBLIC_URL="https://relay.example")
    assert "any shell command in ai-webhook, unasked" in report.lines(Level.WARNING)["policy"]
    assert report.lines(Level.OK)["door"] == f"Assistants can come in at {chain.relay}/mcp."


def test_an_app_that_signed_in_is_a_front_door(chain: Chain) -> None:
    with closing(sqlite3.connect(chain.folder / "relay.db")) as relay, relay:
        relay.execute(
            "INSERT INTO apps (client_id, name, info, registered_at, caller, let_in_at)"
            " VALUES ('x', 'Claude', '{}', 1, 'claude', 1)"
        )
        relay.execute(
            "INSERT INTO tokens (digest, kind, client_id, caller, family, expires_at)"
            " VALUES ('0', 'refresh', 'x', 'claude', 'f', 9e9)"
        )
    doors = Report(chain.folder).text.partition("Front doors")[2]
    assert re.search(r"^  claude +never$", doors, re.MULTILINE), doors


def test_something_else_at_the_address_of_the_relay_is_not_taken_for_it(chain: Chain) -> None:
    report = Report(chain.folder, RELAY_SERVER_URL=chain.viewer)
    assert "Something else answers" in report.lines(Level.PROBLEM)["relay"]


@pytest.mark.parametrize("name", ["API_KEY", "MACHINE_KEY"])
def test_a_key_that_the_relay_does_not_take_is_named_and_never_shown(chain: Chain, name: str) -> None:
    report = Report(chain.folder, **{name: "fake-but-wrong-key-for-tests"})
    assert report.status == 1
    assert f"does not take {name}" in report.lines(Level.PROBLEM)["keys"]
    assert "fake-but-wrong" not in report.text


@pytest.mark.parametrize(
    ("logged_in", "level", "words"),
    [
        ("true", Level.OK, "Claude Code 2.1.331, logged in: "),
        ("false", Level.WARNING, "Claude Code is not logged in on this machine; run claude there once"),
        ("", Level.OK, "which does not say whether it is logged in"),
    ],
)
def test_claude_code_is_asked_whether_it_is_logged_in(
    tmp_path: Path, logged_in: str, level: Level, words: str
) -> None:
    (tmp_path / "policy.toml").write_text(
        f'version = 1\n[projects.x]\npath = "{tmp_path}"\nclaude = ["ask"]\n'
    )
    (tmp_path / ".env").write_text("API_KEY=fake-api-key-for-tests\nMACHINE_KEY=fake-machine-key-for-tests\n")
    program = tmp_path / "claude"
    says = f'{{"loggedIn": {logged_in}}}'
    script = f"""#!/bin/sh\n[ "$1" = --version ] && echo '2.1.331 (Claude Code)' || echo '{says}'\n"""
    program.write_text(script)
    program.chmod(0o700)
    report = Report(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}", PORT=str(free_port()))
    assert words in report.lines(level)["claude"]


def test_another_name_than_the_relay_knows_is_named(chain: Chain) -> None:
    report = Report(chain.folder, MACHINE_NAME="desktop")
    assert "knows laptop, not desktop" in report.lines(Level.PROBLEM)["machine"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = 1\nfree = true\n", "free is not known here"),
        ("version = 1\n", "names no project"),
        ('version = 1\n[projects.x]\npath = "/nonexistent"\n', "The folder of x, /nonexistent, is not there"),
        (None, "There is no policy-of-this-test.toml"),
    ],
)
def test_a_policy_that_cannot_be_used_is_named(chain: Chain, text: str | None, words: str) -> None:
    path = chain.folder / "policy-of-this-test.toml"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
        path.chmod(0o600)
    report = Report(chain.folder, POLICY_PATH=path.name)
    assert report.status == 1
    assert words in report.lines(Level.PROBLEM)["policy"]


def test_files_that_others_can_read_are_named_with_the_command_that_closes_them(
    chain: Chain, tmp_path: Path
) -> None:
    for name in (".env", "policy.toml", ".env.example"):
        shutil.copy((chain.folder if name != ".env.example" else ROOT) / name, tmp_path)
    (tmp_path / ".env").chmod(0o644)
    (tmp_path / "policy.toml").chmod(0o600)
    with (tmp_path / ".env").open("a") as env:
        env.write("API_KEYS=x\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".env")
    report = Report(tmp_path)
    assert report.status == 1
    assert "problem  files     .env is open to others on this machine (644): chmod 600 .env" in report.text
    assert "with your keys, is in git" in report.text
    assert "API_KEYS, which nothing reads" in report.lines(Level.WARNING)["settings"]


def test_without_settings_it_says_so_and_looks_at_what_it_can(tmp_path: Path) -> None:
    report = Report(tmp_path)
    assert report.status == 1
    assert "MACHINE_KEY is missing" in report.lines(Level.PROBLEM)["settings"]
    assert "make run writes one" in report.lines(Level.PROBLEM)["policy"]
    assert "git" in report.lines(Level.OK)
    assert list(tmp_path.iterdir()) == [], "it makes no file"


def test_nobody_who_stops_listening_sees_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m worker.doctor | head -1", shell=True, cwd=tmp_path, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_colour_is_for_terminals_only(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "worker.doctor"], cwd=tmp_path, stdout=theirs, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 1
    assert "\x1b[31mproblem" in shown


def judged(toml: dict[str, object], **facts: object) -> list[str]:
    facts = {"is_public": True, "callers": None, **facts}
    found = checks.of_policy(Policy.model_validate({"version": 1, **toml}), **facts)  # type: ignore[arg-type]
    return [one.text for one in found if one.level is Level.WARNING]


FULL = {"projects": {"x": {"path": "/x", "shell": "full", "claude": ["full"]}}}


def test_a_public_relay_with_a_full_shell_and_no_approval_is_a_warning() -> None:
    (shell,) = judged(FULL)
    assert "any shell command in x, unasked" in shell
    assert judged(FULL, is_public=False) == []
    assert judged({**FULL, "approval": {"require": ["shell.full", "claude.full"]}}) == []
    assert "let Claude Code do anything in x" in judged({**FULL, "approval": {"require": ["shell.full"]}})[0]


def test_a_misspelt_caller_is_a_warning_because_the_real_one_is_not_limited() -> None:
    toml = {"callers": {"phnoe": {"allow": []}, "watch": {"allow": []}}}
    (said,) = judged(toml, callers={"phone", "watch"})
    assert "the caller phnoe" in said


def test_trusting_what_a_repository_brings_is_a_warning() -> None:
    (said,) = judged({"projects": {"x": {"path": "/x", "trust_repo_config": True}}})
    assert "trust_repo_config" in said


def test_a_key_without_a_name_at_a_public_relay_is_a_warning() -> None:
    keys = {"a" * 16: "default", "b" * 16: "phone"}
    assert len(list(checks.of_keys(keys, is_public=True))) == 1
    assert list(checks.of_keys(keys, is_public=False)) == []


def test_a_relay_that_does_not_know_its_address_turns_assistants_away() -> None:
    found = checks.of_door(421, "https://relay.example")
    assert found is not None
    assert found.level is Level.WARNING
    assert "set PUBLIC_URL=https://relay.example there" in found.text
    assert checks.of_door(404, "https://relay.example") is None
    broken = checks.of_door(502, "https://relay.example")
    assert broken is not None
    assert broken.level is Level.PROBLEM


TASK = {"status": "completed", "reason": None, "error": None, "waiting_for": None}


@pytest.mark.parametrize(
    ("change", "seconds", "level", "words"),
    [
        ({}, 0.038, Level.OK, "came back in 38 ms"),
        ({}, 7.0, Level.WARNING, "7.0 seconds; that is slow"),
        ({"status": "failed", "reason": "rejected", "error": "Not here."}, 0.1, Level.WARNING, ": Not here."),
        ({"status": "failed", "reason": "error", "error": "No disk"}, 0.1, Level.PROBLEM, "failed: No disk."),
        ({"status": "pending", "waiting_for": "busy"}, 20, Level.PROBLEM, "another task must end first"),
        ({"status": "running"}, 20, Level.PROBLEM, "it is running"),
    ],
)  # fmt: skip
def test_what_became_of_the_command(
    change: dict[str, object], seconds: float, level: Level, words: str
) -> None:
    found = checks.of_chain({**TASK, **change}, seconds)
    assert found.level is level
    assert words in found.text


def test_front_doors_are_listed_latest_first_and_then_what_was_never_used() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    used = [Door("old", now - timedelta(days=3), 2), Door("new", now - timedelta(seconds=80), 1)]
    lines = [checks.door_line(door, now).split() for door in checks.doors(used, ["new", "never-used"])]
    assert lines == [
        ["new", "1", "minute", "ago", "1", "time"],
        ["old", "3", "days", "ago", "2", "times"],
        ["never-used", "never"],
    ]  # fmt: skip


@pytest.mark.parametrize(("version", "level"), [((2, 30, 1), Level.WARNING), ((2, 39, 5), Level.OK)])
def test_an_old_git_is_a_warning(version: tuple[int, ...], level: Level) -> None:
    assert checks.of_git(version).level is level
