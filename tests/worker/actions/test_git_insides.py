"""What leads out of a git directory: links, other repositories' objects, remotes of old."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.protocol import Status
from tests.chain import git
from tests.traps import snapshot
from worker.actions.base import Outcome
from worker.actions.git import insides
from worker.actions.git.insides import SETTLED_S, Insides
from worker.actions.git.repository import Repository, find
from worker.policy import Rejected

pytestmark = pytest.mark.usefixtures("identity")
Do = Callable[..., Outcome]


@pytest.fixture
def other(project: Path, tmp_path: Path) -> Path:
    """Another repository, which has a file that this one has not."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    (other / "secret.txt").write_text("fake-secret\n")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "fake-secret")
    return other


def secret_of(other: Path) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD:secret.txt"], cwd=other, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def is_fine(outcome: Outcome | str) -> bool:
    return isinstance(outcome, Outcome) and outcome.status is Status.COMPLETED


PLACES = (
    "index", "packed-refs", "shallow", "COMMIT_EDITMSG", "MERGE_MSG", "ORIG_HEAD", "FETCH_HEAD", "config",
    "logs", "logs/HEAD", "logs/refs", "logs/refs/heads", "logs/refs/heads/main", "logs/refs/heads/feature/x",
    "refs", "refs/heads", "refs/heads/main", "refs/heads/feature", "refs/remotes/origin", "refs/tags/v1",
    "objects", "objects/info", "objects/info/alternates", "objects/pack", "objects/pack/x.pack", "objects/ab",
    "info", "info/exclude", "info/grafts", "info/attributes", "sequencer", "sequencer/todo",
    "rebase-merge/done", "rebase-merge/git-rebase-todo", "rebase-apply/next", "worktrees", "worktrees/x",
    "worktrees/x/gitdir", "remotes", "branches",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_link_in_a_git_directory_leads_out_of_it(
    do: Do, project: Path, tmp_path: Path, place: str
) -> None:
    path = project / ".git" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    outside = tmp_path / "outside" / "x"
    outside.parent.mkdir()
    if path.exists():
        path.rename(outside)
    else:
        outside.write_text("fake-secret\n")
    targets = [outside, tmp_path / "outside" / "nothing", project / "note.txt", project / ".env"]
    for target in targets:
        # As a word of its own, and from where it stands.
        for written in (str(target), os.path.relpath(target, path.parent)):
            path.unlink(missing_ok=True)
            path.symlink_to(written)
            before = snapshot(tmp_path / "outside")
            for command in ("git status", "git log", "git branch new", "git commit --allow-empty -m x"):
                refusal = do("git", command=command)
                assert isinstance(refusal, str), (refusal, written)
                assert "fake-secret" not in refusal
            assert snapshot(tmp_path / "outside") == before


def test_the_sentence_says_which_link_and_the_way_out(do: Do, project: Path, tmp_path: Path) -> None:
    link = project / ".git" / "COMMIT_EDITMSG"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "authorized_keys")
    refusal = str(do("git", command="git commit --allow-empty -m x"))
    assert f"{link} is a link to {tmp_path / 'authorized_keys'}" in refusal
    assert "trust_repo_config = true" in refusal
    assert is_fine(do("git", command="git commit --allow-empty -m x", is_trusted=True))


def test_links_of_hooks_and_within_the_git_directory_are_fine(do: Do, project: Path, tmp_path: Path) -> None:
    folder = project / ".git"
    shutil.rmtree(folder / "hooks", ignore_errors=True)
    (folder / "hooks").symlink_to(project / "docs")
    (folder / "HEAD").unlink()
    (folder / "HEAD").symlink_to("refs/heads/main")
    (folder / "refs" / "tags" / "same").symlink_to("../heads/main")
    assert is_fine(do("git", command="git log"))
    assert is_fine(do("git", command="git commit --allow-empty -m x"))


def test_a_link_may_lead_to_a_repository_in_which_the_same_is_allowed(
    do: Do, project: Path, other: Path
) -> None:
    # As git-new-workdir makes them.
    shutil.rmtree(project / ".git" / "refs")
    (project / ".git" / "refs").symlink_to(other / ".git" / "refs")
    assert "is a link to" in str(do("git", command="git branch"))
    assert isinstance(do("git", roots=(other,), command="git branch"), Outcome)


def test_what_is_behind_a_link_that_is_fine_is_looked_at_too(do: Do, project: Path, tmp_path: Path) -> None:
    (project / ".git" / "logs").rename(project / ".git" / "more")
    (project / ".git" / "logs").symlink_to("more")
    assert is_fine(do("git", command="git reflog"))
    (project / ".git" / "more" / "HEAD").unlink()
    (project / ".git" / "more" / "HEAD").symlink_to(tmp_path / ".bashrc")
    assert "is a link to" in str(do("git", command="git commit --allow-empty -m x"))
    assert not (tmp_path / ".bashrc").exists()


def test_a_circle_of_links_ends(do: Do, project: Path) -> None:
    (project / ".git" / "refs" / "heads" / "round").symlink_to("..")
    assert "cannot be looked through" in str(do("git", command="git status"))


def test_more_folders_than_can_be_looked_through_are_refused(
    do: Do, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insides, "MAX_FOLDERS", 20)
    for number in range(20):
        (project / ".git" / "refs" / "heads" / f"of{number}").mkdir()
    assert "more than 20 folders of refs and logs" in str(do("git", command="git status"))


@pytest.mark.parametrize("how", ["absolute", "relative", "by a third", "quoted", "behind a comment"])
def test_objects_of_another_repository_are_read_only_where_that_is_allowed(
    do: Do, project: Path, other: Path, tmp_path: Path, how: str
) -> None:
    objects, line = other / ".git" / "objects", f"{other}/.git/objects"
    if how == "relative":
        line = "../../../other/.git/objects"
    elif how == "by a third":
        third = tmp_path / "third"
        (third / "info").mkdir(parents=True)
        (third / "info" / "alternates").write_text(f"{objects}\n")
        line = str(third)
    elif how == "quoted":
        line = f'"{objects}"'
    elif how == "behind a comment":
        line = f"# {project}\n\n{objects}"
    (project / ".git" / "objects" / "info").mkdir(exist_ok=True)
    (project / ".git" / "objects" / "info" / "alternates").write_text(f"{line}\n")
    command = f"git cat-file -p {secret_of(other)[:10]}"
    third = (tmp_path / "third",)
    assert "outside of this project" in str(do("git", roots=third, command=command))
    if how != "quoted":
        assert "fake-secret" in str(do("git", roots=(other, *third), command=command))


def test_alternates_that_name_each_other_end(do: Do, project: Path, other: Path) -> None:
    for one, next_one in ((project, other), (other, project)):
        (one / ".git" / "objects" / "info" / "alternates").write_text(f"{next_one}/.git/objects\n")
    assert isinstance(do("git", roots=(other,), command="git status"), Outcome)


def test_a_pipe_where_alternates_belong_holds_nobody_up(do: Do, project: Path) -> None:
    os.mkfifo(project / ".git" / "objects" / "info" / "alternates")
    repository = find(project, project)
    Insides().check(repository, (str(project),))


def test_the_objects_of_a_submodule_are_looked_at_before_writing(do: Do, project: Path, other: Path) -> None:
    sub = project / "sub"
    shutil.copytree(other, sub)
    git(project, "add", "sub")
    shutil.rmtree(sub / ".git" / "refs" / "heads")
    (sub / ".git" / "refs" / "heads").symlink_to(other / ".git" / "refs" / "heads")
    assert "is a link to" in str(do("git", command="git add ."))


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("remotes", "URL: ssh://127.0.0.1:9/x\nPull: +refs/heads/*:refs/heads/*\n"),
        ("branches", "ssh://127.0.0.1:9/x#main\n"),
    ],
)
def test_remotes_of_old_which_no_configuration_names_are_refused(
    do: Do, project: Path, place: str, text: str
) -> None:
    folder = project / ".git" / place
    folder.mkdir(exist_ok=True)
    # Old templates have made the folders, and they are empty.
    assert is_fine(do("git", command="git status"))
    (folder / "legacy").write_text(text)
    for command in ("git fetch legacy", "git pull", "git push", "git status"):
        assert f"{folder} has remotes" in str(do("git", command=command))
    linked = project / "linked"
    git(project, "worktree", "add", "-q", str(linked))
    assert f"{folder} has remotes" in str(do("git", directory=linked, command="git fetch legacy"))


# What it costs


class Counted:
    """A repository with many refs, and how many folders are opened."""

    def __init__(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(3_000):
            (project / ".git" / "refs" / "heads" / f"b{number}").touch()
        self.repository = find(project, project)
        self.roots = (str(project),)
        self.opened = 0
        real = insides._read

        def read(path: str) -> insides._Folder:
            self.opened += 1
            return real(path)

        monkeypatch.setattr(insides, "_read", read)


@pytest.fixture
def counted(project: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(project, monkeypatch)


def test_an_unchanged_folder_is_not_opened_again(counted: Counted) -> None:
    look = Insides(lambda: time.time() + SETTLED_S + 1)
    look.check(counted.repository, counted.roots)
    assert 5 < counted.opened < 20
    counted.opened = 0
    look.check(counted.repository, counted.roots)
    assert counted.opened == 0


def test_what_was_changed_a_moment_ago_is_looked_at_again(counted: Counted) -> None:
    look = Insides(lambda: (counted.repository.git_dir / "HEAD").stat().st_ctime)
    for _ in range(2):
        counted.opened = 0
        look.check(counted.repository, counted.roots)
        assert counted.opened > 5


def test_a_link_that_comes_later_is_seen(counted: Counted, project: Path, tmp_path: Path) -> None:
    look = Insides(lambda: time.time() + SETTLED_S + 1)
    look.check(counted.repository, counted.roots)
    folder = project / ".git" / "refs" / "heads"
    times = folder.stat()
    (folder / "b7").unlink()
    (folder / "b7").symlink_to(tmp_path / "x")
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(Rejected, match="b7 is a link"):
        look.check(counted.repository, counted.roots)


def test_a_link_is_followed_each_time(project: Path, tmp_path: Path) -> None:
    (project / ".git" / "here").mkdir()
    (project / ".git" / "refs" / "heads" / "x").symlink_to("../../here/x")
    look = Insides(lambda: time.time() + SETTLED_S + 1)
    look.check(find(project, project), (str(project),))
    (project / ".git" / "here").rmdir()
    (project / ".git" / "here").symlink_to(tmp_path)
    with pytest.raises(Rejected, match="is a link"):
        look.check(find(project, project), (str(project),))


def test_the_memory_is_bounded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insides, "_MAX_KEPT", 3)
    look = Insides(lambda: time.time() + SETTLED_S + 1)
    look.check(find(project, project), (str(project),))
    assert len(look._kept) <= 3


def test_what_is_no_folder_is_nothing(tmp_path: Path) -> None:
    Insides().check(Repository(tmp_path, tmp_path / "a", tmp_path / "b"), ())
