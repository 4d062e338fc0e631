"""git, for real, in real repositories; also in one that wants programs to be run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.protocol import Reason, Status
from tests.chain import git
from worker import actions
from worker.actions.base import Outcome
from worker.actions.git import Git

Do = Callable[..., Outcome]
NAMES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


@pytest.fixture(autouse=True)
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with a name in its git configuration, and nothing else."""
    (tmp_path / ".gitconfig").write_text("[user]\nname = Test\nemail = test@example.invalid\n")
    monkeypatch.setenv("HOME", str(tmp_path))


def said(outcome: Outcome) -> str:
    assert outcome.status is Status.COMPLETED, outcome
    return str(outcome.output_data["stdout"])


def head(project: Path) -> str:
    return subprocess.run(
        ["git", "log", "--format=%s", "-1"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_status_says_what_is_going_on(do: Do, project: Path) -> None:
    clean = do("git", command=["git", "status"])
    assert (clean.headline, clean.output_data["returncode"]) == ("On branch main, nothing to commit.", 0)
    (project / "note.txt").write_text("two\n")
    (project / "new.txt").write_text("new\n")
    busy = do("git", command="git status")
    assert busy.headline == "On branch main, one file changed and one new file."
    assert "new.txt" in said(busy)


def test_log_show_and_diff_read(do: Do, project: Path) -> None:
    log = do("git", command=["git", "log", "-1"])
    assert "Begin with a note" in said(log)
    assert log.headline == "The latest commit says: Begin with a note."
    assert "+one" in said(do("git", command="git show HEAD"))
    assert do("git", command="git diff").headline == "There are no differences."
    (project / "note.txt").write_text("two\n")
    changed = do("git", command="git diff -- note.txt")
    assert "+two" in said(changed)
    assert changed.headline == "one file changed."
    assert said(do("git", command="git branch --show-current")) == "main\n"


def test_a_day_of_work(do: Do, project: Path) -> None:
    said(do("git", command="git switch -c feature/x"))
    (project / "new.txt").write_text("new\n")
    said(do("git", command="git add new.txt"))
    said(do("git", command='git commit -m "Add a file; it says $HOME"'))
    assert head(project) == "Add a file; it says $HOME"
    said(do("git", command="git switch main"))
    assert not (project / "new.txt").exists()
    said(do("git", command="git switch -"))
    assert (project / "new.txt").exists()
    said(do("git", command=["git", "branch", "later", "main"]))
    assert "later" in said(do("git", command="git branch"))


def test_an_unborn_branch_is_no_fault_of_ours(do: Do, tmp_path: Path, project: Path) -> None:
    fresh = project / "fresh"
    fresh.mkdir()
    git(fresh, "init", "-q", "-b", "main")
    assert "No commits yet" in said(do("git", command="git status", directory=fresh))
    log = do("git", command="git log", directory=fresh)
    assert (log.status, log.reason) == (Status.FAILED, Reason.EXIT_STATUS)


def test_a_folder_that_is_no_repository_fails_with_gits_own_words(do: Do, project: Path) -> None:
    (project / ".git").rename(project / ".git-away")
    outcome = do("git", command="git status")
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.EXIT_STATUS)
    assert "not a git repository" in str(outcome.error)
    assert outcome.output_data["returncode"] == 128


def test_a_project_below_another_repository_is_not_that_repository(
    do: Do, project: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    (project / ".git").rename(project / ".git-away")
    outcome = do("git", command="git status")
    assert outcome.status is Status.FAILED


def test_a_subdirectory_works_on_its_repository(do: Do, project: Path) -> None:
    (project / "docs" / "more.txt").write_text("x")
    assert "more.txt" in said(do("git", command="git status", directory=project / "docs"))


@pytest.mark.parametrize(
    "command", ["git push", ["git", "-c", "x=y", "status"], "git status; id", 'git "status', "ls"]
)
def test_what_is_not_allowed_is_refused_and_not_run(do: Do, command: str | list[str]) -> None:
    assert isinstance(do("git", command=command), str)


def test_a_command_that_is_neither_text_nor_list_is_refused() -> None:
    for command in ({}, 5, None, [], "", [1, 2], ["git"] * 101):
        with pytest.raises(actions.Rejected, match="parameters of git"):
            actions.parse("git", {"command": command})


@pytest.mark.parametrize(
    ("command", "scope", "preview"),
    [
        (["git", "log", "-3"], "git.read", "git log -3"),
        ("git add .", "git.write", "git add ."),
        (["git", "commit", "-m", "two words"], "git.write", "git commit -m 'two words'"),
    ],
)
def test_the_scope_follows_the_sub_command(command: str | list[str], scope: str, preview: str) -> None:
    action = Git.model_validate({"command": command})
    assert (action.scope, action.preview) == (scope, preview)


@pytest.fixture
def trap(project: Path, tmp_path: Path) -> Path:
    """The repository wants a program of its own to run at every occasion; what ran is in this file."""
    ran = tmp_path / "ran"
    program = tmp_path / "trap.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\ncat "$1" 2>/dev/null\nexit 0\n')
    program.chmod(0o755)
    hooks = project / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "reference-transaction",
                 "post-index-change", "prepare-commit-msg", "post-merge", "pre-auto-gc",
                 "post-rewrite"):  # fmt: skip
        (hooks / hook).symlink_to(program)
    (project / ".git" / "info" / "attributes").write_text("*.txt diff=trap\n")
    config = {
        "core": ["fsmonitor", "pager", "editor", "sshCommand", "askPass"], "diff": ["external"],
        "gpg": ["program"],
        'diff "trap"': ["textconv", "command"], "pager": ["log", "status"], "sequence": ["editor"],
        "credential": ["helper"], "interactive": ["diffFilter"],
    }  # fmt: skip
    lines = [
        f"[{section}]\n" + "".join(f"{key} = {program}\n" for key in keys) for section, keys in config.items()
    ]
    lines.append(f"[alias]\nlog = !{program}\nx = !{program}\n[commit]\ngpgsign = true\nverbose = true\n")
    lines.append(
        "[log]\nshowSignature = true\n[format]\npretty = %G?\n[gc]\nauto = 1\n[pull]\nrebase = true\n"
    )
    with (project / ".git" / "config").open("a") as file:
        file.writelines(lines)
    ran.unlink(missing_ok=True)
    return ran


def test_the_trap_works_when_git_is_run_without_our_care(trap: Path, project: Path) -> None:
    (project / "note.txt").write_text("two\n")
    subprocess.run(["git", "diff"], cwd=project, check=False, capture_output=True)
    assert trap.exists()


@pytest.mark.parametrize(
    "command",
    [
        "git status", "git status -sb", "git log", "git log -p", "git log --stat --graph",
        "git log --oneline", "git diff",
        "git diff --cached", "git diff HEAD", "git diff --stat", "git diff --word-diff", "git show",
        "git show --stat HEAD",
        "git show HEAD:note.txt", "git branch -vv", "git branch new", "git add -A", "git commit -am text",
        "git switch -c new",
        "git switch -", "git fetch origin", "git pull --ff-only",
    ],
)  # fmt: skip
def test_nothing_that_the_repository_names_is_run(do: Do, trap: Path, project: Path, command: str) -> None:
    (project / "docs" / "read.txt").write_text("changed\n")
    git(project, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "add", "docs/read.txt")
    (project / "note.txt").write_text("two\n")
    trap.unlink(missing_ok=True)
    outcome = do("git", command=command, timeout=20)
    assert isinstance(outcome, Outcome), outcome
    assert not trap.exists(), trap.read_text()


@pytest.mark.parametrize(
    ("remote", "ran"),
    [
        ("ext::sh -c touch% RAN", False),
        ("SELF", False),
        ("file://SELF", False),
        ("http://127.0.0.1:9/x", False),
    ],
)
def test_a_remote_can_be_reached_by_https_and_ssh_only(
    do: Do, project: Path, tmp_path: Path, remote: str, ran: bool
) -> None:
    git(
        project,
        "remote",
        "add",
        "origin",
        remote.replace("SELF", str(project)).replace("RAN", str(tmp_path / "ran")),
    )
    for command in ("git fetch origin", "git pull origin main"):
        outcome = do("git", command=command)
        assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.EXIT_STATUS), outcome
        assert "not allowed" in str(outcome.output_data["stderr"])
    assert not (tmp_path / "ran").exists()


def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that prints its arguments and its environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text('#!/bin/sh\nfor one in "$@"; do echo "arg:$one"; done\nenv\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("git fetch -p origin main", ["fetch", "-p", "origin", "main"]),
        ("git pull", ["pull", "--ff-only"]),
        ("git pull origin main", ["pull", "--ff-only", "origin", "main"]),
        ("git commit -m 'a b'", ["commit", "--message=a b"]),
    ],
)
def test_git_gets_the_rebuilt_words(
    do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, argv: list[str]
) -> None:
    fake_git(tmp_path, monkeypatch)
    lines = said(do("git", command=command)).splitlines()
    assert [line.removeprefix("arg:") for line in lines if line.startswith("arg:")] == argv


def test_git_asks_nobody_and_sees_no_foreign_settings(
    do: Do, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, monkeypatch)
    for name in (
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_TRACE",
        "GIT_CONFIG_PARAMETERS",
        "GIT_SSH",
        "XDG_CONFIG_HOME",
        "API_KEY",
    ):
        monkeypatch.setenv(name, "fake-foreign")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/fake/agent")
    for command, agent in (("git status", False), ("git fetch", True), ("git pull", True)):
        shown = said(do("git", command=command))
        assert "fake-foreign" not in shown
        assert ("SSH_AUTH_SOCK=/fake/agent" in shown) == agent
        for line in ("GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=https:ssh", "GIT_EDITOR=:",
                     f"GIT_CEILING_DIRECTORIES={project.parent}",
                     "GIT_SSH_COMMAND=ssh -oBatchMode=yes"):  # fmt: skip
            assert line in shown.splitlines()
        values = dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("GIT_CONFIG_"))
        count = int(values["GIT_CONFIG_COUNT"])
        config = {values[f"GIT_CONFIG_KEY_{n}"]: values[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}
        assert config["core.hooksPath"] == "/dev/null"
        assert config["core.fsmonitor"] == "false"
        assert config["protocol.ext.allow"] == "never"
