"""claude_code on a branch of its own: the checkout stays as it is, and nothing gets lost."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import Status
from tests.chain import git
from tests.messages_api import Api, says, uses
from worker import actions, models, recovery
from worker.actions.base import Job
from worker.actions.claude_code import agent, changes, worktree

Ask = Callable[..., Any]
Fake = Callable[..., Path]


def said(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_it_leaves_a_branch_and_nothing_else(fake: Fake, ask: Ask, project: Path, tmp_path: Path) -> None:
    (project / "note.txt").write_text("changed in the checkout\n")
    before = said(project, "status", "--porcelain"), said(project, "rev-parse", "HEAD")
    fake(
        "open('note.txt', 'a').write('more\\n'); open('made é', 'w').close()\n"
        "keep('cwd', os.getcwd()); result()"
    )
    done = ask("Make it\nlonger", mode="edit", isolation="worktree")
    data = done.output_data
    assert (done.status, data["branch"]) == (Status.COMPLETED, f"agent/{data['session_id'][:8]}")
    assert data["files_changed"] == ["made é", "note.txt"]
    assert "2 files changed" in data["diffstat"]
    assert "@@ -1 +1,2 @@\n one\n+more\n" in data["patch"]
    assert (said(project, "status", "--porcelain"), said(project, "rev-parse", "HEAD")) == before
    assert (project / "note.txt").read_text() == "changed in the checkout\n"
    assert said(project, "show", f"{data['branch']}:note.txt") == "one\nmore\n"
    author = said(project, "log", "-1", "--format=%an|%s|%b", data["branch"])
    assert author.startswith("Claude Code|Make it|Claude Code, asked through ai-webhook; session ")
    assert said(project, "worktree", "list").count("\n") == 1
    assert not Path((tmp_path / "bin" / "cwd").read_text()).exists()
    assert f"· branch {data['branch']} ·" in (tmp_path / "log").read_text()
    assert "what is not committed there is not here" in (tmp_path / "log").read_text()


def test_a_session_that_goes_on_finds_its_branch_and_a_fork_begins_there(
    fake: Fake, ask: Ask, project: Path
) -> None:
    fake("open('first', 'w').close(); result()")
    first = ask(mode="edit", isolation="worktree").output_data
    fake("open('second', 'w').write(str(os.path.exists('first'))); result()")
    again = ask(mode="edit", isolation="worktree", session=first["session_id"]).output_data
    assert (again["branch"], again["files_changed"]) == (first["branch"], ["second"])
    assert said(project, "show", f"{first['branch']}:second") == "True"
    fork = ask(mode="edit", isolation="worktree", session=first["session_id"], fork=True).output_data
    assert fork["branch"] is None  # it wrote the same again, so there is nothing new
    fake("open('third', 'w').close(); result()")
    fork = ask(mode="edit", isolation="worktree", session=first["session_id"], fork=True).output_data
    assert said(project, "ls-tree", "--name-only", fork["branch"]).split() == [
        "docs", "first", "note.txt", "second", "third",
    ]  # fmt: skip


def test_without_a_change_there_is_no_branch(fake: Fake, ask: Ask, project: Path) -> None:
    fake("result()")
    data = ask(mode="edit", isolation="worktree").output_data
    assert (data["branch"], data["files_changed"], data["diffstat"]) == (None, [], "")
    assert said(project, "branch", "--list", "agent/*") == ""


def test_what_was_cut_off_is_kept_as_well(fake: Fake, ask: Ask, project: Path, tmp_path: Path) -> None:
    fake("open('half', 'w').close(); signal.signal(signal.SIGINT, interrupted); text('Up'); time.sleep(300)")
    log = tmp_path / "log"
    done = ask(mode="edit", isolation="worktree", stop=lambda: log.exists() and "Up" in log.read_text())
    assert (done.status, done.output_data["files_changed"]) == (Status.CANCELLED, ["half"])
    assert "half" in said(project, "ls-tree", "--name-only", done.output_data["branch"])


def test_what_cannot_be_committed_is_not_taken_away(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path
) -> None:
    # As a git would that was ended in the middle, and in a way that cannot be put right.
    lock = "open('.git').read().split()[1] + '/index.lock'"
    fake(f"open('made', 'w').close(); os.mkdir({lock}); result()")
    data = ask(mode="edit", isolation="worktree").output_data
    left = tmp_path / "worktrees" / data["session_id"]
    assert (left / "made").exists()
    assert (data["branch"], data["files_changed"]) == (f"agent/{data['session_id'][:8]}", None)
    assert f"could not be committed and is still in {left}" in (tmp_path / "log").read_text()
    fake(f"os.rmdir({lock}); open({lock}, 'w').close(); result()")
    data = ask(mode="edit", isolation="worktree", session=data["session_id"]).output_data
    assert (data["files_changed"], left.exists()) == (["made"], False)


def test_a_repository_that_it_made_inside_is_not_taken_away(fake: Fake, ask: Ask, tmp_path: Path) -> None:
    inner = "-c user.name=A -c user.email=a@example.invalid commit -q --allow-empty -m x"
    fake(f"os.system('git init -q inner && cd inner && touch work && git add . && git {inner}'); result()")
    data = ask(mode="edit", isolation="worktree").output_data
    left = tmp_path / "worktrees" / data["session_id"]
    assert (left / "inner" / "work").exists()
    assert (data["branch"] is None, data["files_changed"]) == (False, None)


def test_a_work_tree_of_another_repository_is_not_used(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path
) -> None:
    fake("os.mkdir(open('.git').read().split()[1] + '/index.lock'); open('x', 'w').close(); result()")
    session = ask(mode="edit", isolation="worktree").output_data["session_id"]
    shutil.rmtree(project / ".git")
    git(project, "init", "-q")
    git(project, "commit", "-q", "--allow-empty", "-m", "another")
    refusal = ask(mode="edit", isolation="worktree", session=session)
    assert "is in the way, with work of another repository" in refusal
    assert (tmp_path / "worktrees" / session / "x").exists()


@pytest.fixture
def cut_off(project: Path, records: Path) -> Iterator[Path]:
    """The work tree of a worker that was killed in the middle."""
    models.output_dir().mkdir()
    job = Job(project, project, models.output_dir() / "log", f"worktree:{os.getpid()}", lambda: False)
    asked = agent.Ask("Mend it", "edit", "4033a5b0-1111-4111-8111-111111111111", is_apart=True)
    context = worktree.branched(job, changes.look(job), asked)
    yield context.__enter__().job.root
    # It never leaves the block; its end in this process finds nothing left to do.
    del context


def recover() -> None:
    recovery.clear_up(f"worktree:{os.getpid()}")


@pytest.mark.parametrize(
    "how", ["plainly", "in the middle of git", "with a bent .git", "with a link for a .git"]
)
def test_a_worker_that_starts_puts_away_what_a_dead_one_left(
    cut_off: Path, project: Path, tmp_path: Path, how: str
) -> None:
    (cut_off / "half").write_text("half of it\n")
    if how == "in the middle of git":
        (project / ".git" / "worktrees" / cut_off.name / "index.lock").touch()
    elif how != "plainly":
        evil = tmp_path / "evil"
        evil.mkdir()
        git(evil, "init", "-q")
        git(evil, "config", "filter.x.clean", f"touch {tmp_path}/ran; cat")
        (cut_off / ".gitattributes").write_text("* filter=x\n")
        (cut_off / ".git").unlink()
        if how == "with a bent .git":
            (cut_off / ".git").write_text(f"gitdir: {evil}/.git")
        else:
            (cut_off / ".git").symlink_to(evil / ".git")
    recover()
    assert said(project, "show", "agent/4033a5b0:half") == "half of it\n"
    assert said(project, "log", "-1", "--format=%s", "agent/4033a5b0") == "Mend it\n"
    assert list(cut_off.parent.iterdir()) == []
    assert said(project, "worktree", "list").count("\n") == 1
    assert not (tmp_path / "ran").exists()
    recover()


def test_what_a_dead_worker_left_untouched_leaves_no_branch(
    cut_off: Path, project: Path, tmp_path: Path
) -> None:
    recover()
    assert not cut_off.exists()
    assert said(project, "branch", "--list", "agent/*") == ""


@pytest.mark.parametrize(
    "why", ["git must not be used there", "the project is gone", "its note cannot be read"]
)
def test_a_work_tree_that_cannot_be_put_away_is_left_with_its_work(
    cut_off: Path, project: Path, tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    (cut_off / "half").touch()
    if why == "git must not be used there":
        git(project, "config", "filter.x.clean", f"touch {tmp_path}/ran; cat")
    elif why == "the project is gone":
        shutil.rmtree(project)
    else:
        cut_off.with_name(f"{cut_off.name}.json").write_text("{}")
    recover()
    assert (cut_off / "half").exists()
    assert not (tmp_path / "ran").exists()
    assert "is left as it is" in caplog.text


def test_what_a_dead_worker_left_is_found_by_its_session(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path
) -> None:
    session = "4033a5b0-1111-4111-8111-111111111111"
    left = tmp_path / "worktrees" / session
    git(project, "worktree", "add", "-q", "-b", "agent/4033a5b0", str(left))
    (left / "half").touch()
    fake("open('rest', 'w').close(); result()")
    data = ask(mode="edit", isolation="worktree", session=session).output_data
    assert (data["branch"], data["files_changed"]) == ("agent/4033a5b0", ["half", "rest"])
    assert not left.exists()


def test_no_hook_and_no_other_repository_is_taken_for_it(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path
) -> None:
    for name in ("post-checkout", "pre-commit", "post-commit", "prepare-commit-msg"):
        hook = project / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hook\n")
        hook.chmod(stat.S_IRWXU)
    evil = tmp_path / "evil"
    evil.mkdir()
    git(evil, "init", "-q")
    git(evil, "config", "core.fsmonitor", f"touch {tmp_path}/fsmonitor; false")
    fake(f"open('.git', 'w').write('gitdir: {evil}/.git'); open('made', 'w').close(); result()")
    data = ask(mode="edit", isolation="worktree").output_data
    assert said(project, "worktree", "list").count("\n") == 1
    assert data["files_changed"] == ["made"]
    assert not (tmp_path / "hook").exists()
    assert not (tmp_path / "fsmonitor").exists()


def test_it_works_in_a_folder_below_and_not_in_one_that_is_not_committed(
    fake: Fake, ask: Ask, project: Path
) -> None:
    fake("open('here', 'w').close(); result()")
    data = ask(mode="edit", isolation="worktree", directory=project / "docs").output_data
    assert data["files_changed"] == ["docs/here"]
    (project / "fresh").mkdir()
    said_no = ask(mode="edit", isolation="worktree", directory=project / "fresh")
    assert "fresh is not in the last commit" in said_no
    assert said(project, "worktree", "list").count("\n") == 1


def test_where_there_is_no_commit_it_is_refused_with_the_way_out(fake: Fake, ask: Ask, project: Path) -> None:
    fake("result()")
    shutil.rmtree(project / ".git")
    assert "needs a git repository with a commit" in ask(mode="edit", isolation="worktree")
    git(project, "init", "-q")
    assert "needs a git repository with a commit" in ask(mode="edit", isolation="worktree")


def test_who_changes_nothing_needs_none() -> None:
    with pytest.raises(actions.Rejected, match="for ask, edit and full"):
        actions.parse("claude_code", {"prompt": "x", "isolation": "worktree"})


@pytest.mark.usefixtures("claude")
def test_the_real_one_works_there_and_goes_on(ask: Ask, api: Api, project: Path) -> None:
    api.plays(uses("Write", file_path="made.txt", content="x\n"), says("Done."))
    first = ask(mode="edit", isolation="worktree").output_data
    assert first["files_changed"] == ["made.txt"]
    assert not (project / "made.txt").exists()
    api.plays(uses("Bash", command="ls"), says("It is there."))
    again = ask("Is it there?", mode="edit", isolation="worktree", session=first["session_id"]).output_data
    assert "made.txt" in api.texts()
    assert (again["files_changed"], again["ended"]) == ([], "success")
    assert again["branch"] == first["branch"]
