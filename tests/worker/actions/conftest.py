"""Actions run in the real project, as the runner would run them."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chain import git
from tests.claude_cli import find_claude, owner
from tests.messages_api import Api
from tests.traps import Trap, make_trap
from worker import actions
from worker.actions.base import Job, Outcome
from worker.policy import Rejected
from worker.process import CannotStart


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody in whose name git commits."""
    (tmp_path / ".gitconfig").write_text("[user]\nname = Test\nemail = test@example.invalid\n")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Trap:
    """A repository full of traps, made once and copied for each test."""
    return make_trap(tmp_path_factory.mktemp("armed"))


@pytest.fixture
def trap(armed: Trap, tmp_path: Path) -> Trap:
    """A repository full of traps of its own; its programs and what they leave behind are shared."""
    armed.ran.unlink(missing_ok=True)
    return replace(armed, project=shutil.copytree(armed.project, tmp_path / "trap", symlinks=True))


@pytest.fixture
def do(project: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Run an action in the project; `do("git", command="git status")`. A refusal is its sentence."""

    def _do(
        action_type: str, *, root: Path | None = None, directory: Path | None = None,
        roots: tuple[Path, ...] = (), is_trusted: bool = False, **params: Any,
    ) -> Outcome | str:  # fmt: skip
        job = Job(
            root=root or project, directory=directory or root or project, log=tmp_path / "log",
            marker=f"actions-{os.getpid()}",
            stop=lambda: False, roots=roots, is_trusted=is_trusted,
        )  # fmt: skip
        try:
            return actions.parse(action_type, params).run(job)
        except (Rejected, CannotStart) as refusal:
            return str(refusal)

    return _do


@pytest.fixture
def served(project: Path, tmp_path: Path) -> Path:
    """A clone of the project that reaches it by ssh, which is a shell here; the owner's ~/.gitconfig, in
    *tmp_path*, says so. Each time it is called leaves a line in `tmp_path / "called"`."""
    (tmp_path / "ssh").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path / "called"}\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    with (tmp_path / ".gitconfig").open("a") as file:
        file.write(f"[core]\n\tsshCommand = {tmp_path / 'ssh'}\n")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    git(clone, "remote", "set-url", "origin", f"ssh://host{project}")
    return clone


CLAUDE = f"claude-{os.getpid()}"
Ask = Callable[..., Any]


@pytest.fixture
def ask(project: Path, tmp_path: Path, leftovers: Callable[[str], list[int]]) -> Iterator[Ask]:
    """Ask Claude Code in the project; an Outcome, or the sentence of a refusal. Nothing may be left
    running afterwards."""

    def _ask(prompt: str = "Look at it", *, directory: Path | None = None, **params: Any) -> Outcome | str:
        given = {name: params.pop(name) for name in ("stop", "is_trusted") if name in params}
        if (person := params.pop("person", None)) is not None:
            given["ask"] = person.ask
        job = Job(
            root=project, directory=directory or project, log=tmp_path / "log",
            marker=f"{CLAUDE}:{uuid.uuid4()}",
            **{"stop": lambda: False, **given},
        )  # fmt: skip
        try:
            return actions.parse("claude_code", {"prompt": prompt, **params}).run(job)
        except (Rejected, CannotStart) as refusal:
            return str(refusal)

    yield _ask
    assert leftovers(CLAUDE) == []


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of an owner who has nothing set, and no Claude Code."""
    for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "CLAUDE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("IS_SANDBOX", raising=False)
    folder = tmp_path / "home"
    (tmp_path / "bin").mkdir()
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    usual = [part for part in os.environ["PATH"].split(":") if not (Path(part) / "claude").exists()]
    monkeypatch.setenv("PATH", ":".join([str(tmp_path / "bin"), *usual]))
    return folder


@pytest.fixture
def fake(home: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Install a program that is called claude and does what a script says; `say(...)` prints events.
    It writes what it got into argv, env and stdin beside itself."""

    def _fake(script: str, version: str = "2.1.331 (Claude Code)") -> Path:
        program = tmp_path / "bin" / "claude"
        program.write_text(f"#!{sys.executable} -IS\nVERSION = {version!r}\n{FAKE}{script}\n")
        program.chmod(stat.S_IRWXU)
        return program

    return _fake


FAKE = """
import json, os, signal, sys, time
HERE = os.path.dirname(os.path.abspath(__file__))
if "--version" in sys.argv:
    print(VERSION)
    sys.exit(0)
def keep(name, text):
    with open(os.path.join(HERE, name), "w") as file: file.write(text)
keep("argv", json.dumps(sys.argv[1:])); keep("env", json.dumps(dict(os.environ)))
# Where it may ask while it works, what it reads does not end before its result.
keep("stdin", sys.stdin.readline() if "--permission-prompt-tool=stdio" in sys.argv else sys.stdin.read())
def say(**event): os.write(1, json.dumps(event).encode() + b"\\n")
def text(words): say(type="assistant", message={"content": [{"type": "text", "text": words}]})
def result(words="Done.", **more):
    good = {"type": "result", "subtype": "success", "is_error": False, "num_turns": 1, "result": words}
    say(**{**good, **more})
def interrupted(*_):
    result(subtype="error_during_execution", is_error=True, total_cost_usd=0.25)
    sys.exit(0)
"""


@pytest.fixture
def api() -> Iterator[Api]:
    """What the real Claude Code talks to."""
    with Api() as one:
        yield one


@pytest.fixture
def claude(home: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real Claude Code, with a key for `api`. Skips (in CI: fails) where there is none."""
    program = find_claude()
    for name, value in owner(home, api).items():
        monkeypatch.setenv(name, value)
    return program
