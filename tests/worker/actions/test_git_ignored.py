"""Files that git ignores, and of which nobody else has a copy, are not overwritten by writing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.protocol import Status
from tests.chain import git
from worker.actions.base import Outcome

Do = Callable[..., Outcome]
MINE = "mine, and nowhere else\n"


pytestmark = pytest.mark.usefixtures("identity")


def is_fine(outcome: Outcome | str) -> bool:
    return isinstance(outcome, Outcome) and outcome.status is Status.COMPLETED


def commit(project: Path, name: str, text: str | None, *, force: bool = True) -> None:
    path = project / name
    if text is None:
        git(project, "rm", "-q", "--cached", name)
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        git(project, "add", *(["-f"] if force else []), name)
    git(project, "commit", "-q", "-m", f"Change {name}")


@pytest.fixture(params=[".env", "conf/local.env", "folder", "folder/x/y", 'odd "näme\\\n'])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def two_lines(project: Path, name: str) -> Path:
    """Branch `evil` has a file that main ignores and that is on the disk; both go on on their own. `older`
    is where evil began, `gone` the commit that takes the file away again."""
    git(project, "branch", "older")
    (project / ".gitignore").write_text("*.env\n/folder\nodd*\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Ignore them")
    git(project, "switch", "-q", "older")
    git(project, "switch", "-q", "-c", "evil")
    commit(project, name, "theirs\n")
    git(project, "switch", "-q", "-c", "gone")
    commit(project, name, None)
    git(project, "switch", "-q", "main")
    mine(project, name)
    return project


def mine(project: Path, name: str) -> Path:
    """The file as its owner has it; what is a folder in the commit is a file here and the other way round."""
    shutil.rmtree(project / "folder", ignore_errors=True)
    path = {"folder": "folder/kept.env", "folder/x/y": "folder"}.get(name, name)
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(MINE)
    return project / path


@pytest.mark.parametrize(
    "command",
    ["switch evil", "switch -c new evil", "switch --detach evil", "checkout -b new evil", "checkout evil",
     "merge evil", "merge --no-ff -m x evil", "merge --squash evil", "merge --ff-only evil",
     "cherry-pick evil", "cherry-pick -n evil", "cherry-pick older..evil", "cherry-pick older..gone",
     "revert gone", "rebase evil", "rebase --onto evil main", "rebase main evil"],
)  # fmt: skip
@pytest.mark.parametrize("is_trusted", [False, True])
def test_what_git_ignores_is_not_overwritten(
    do: Do, two_lines: Path, name: str, command: str, is_trusted: bool
) -> None:
    kept = mine(two_lines, name)
    outcome = do("git", command=f"git {command}", is_trusted=is_trusted)
    assert kept.read_text() == MINE
    assert not is_fine(outcome)
    if isinstance(outcome, str):
        assert "which git ignores and has no copy of; move it away first" in outcome


def test_from_a_folder_below_it_is_the_same(do: Do, two_lines: Path, name: str) -> None:
    kept = mine(two_lines, name)
    for command in ("git merge evil", "git cherry-pick evil"):
        assert "which git ignores" in str(do("git", directory=two_lines / "docs", command=command))
    assert kept.read_text() == MINE


@pytest.mark.parametrize("name", [".env"], indirect=True)
@pytest.mark.parametrize("command", ["git merge evil", "git cherry-pick evil", "git switch evil"])
def test_where_nothing_is_in_the_way_it_is_done(do: Do, two_lines: Path, command: str) -> None:
    (two_lines / ".env").unlink()
    (two_lines / "other.env").write_text(MINE)
    assert is_fine(do("git", command=command))
    assert (two_lines / ".env").read_text() == "theirs\n"
    assert (two_lines / "other.env").read_text() == MINE


def test_a_file_that_was_taken_out_of_git_here_does_not_stop_a_merge(do: Do, project: Path) -> None:
    commit(project, ".env", "old\n")
    git(project, "switch", "-q", "-c", "feature")
    commit(project, "feature.txt", "new\n")
    git(project, "switch", "-q", "main")
    commit(project, ".env", None)
    commit(project, ".gitignore", ".env\n")
    (project / ".env").write_text(MINE)
    assert is_fine(do("git", command="git merge feature"))
    assert (project / "feature.txt").exists()
    assert (project / ".env").read_text() == MINE
    git(project, "switch", "-q", "-c", "again", "feature", "-f")
    commit(project, ".env", "changed there\n")
    git(project, "switch", "-q", "main")
    (project / ".env").write_text(MINE)
    assert "overwrite .env" in str(do("git", command="git merge again"))
    assert (project / ".env").read_text() == MINE


def test_a_merge_writes_no_name_that_neither_side_has(do: Do, project: Path) -> None:
    # Where one side has renamed a folder, git would put what is new in it on the other side there, too.
    for number in range(3):
        commit(project, f"old/{number}", f"{number}\n" * 20)
    git(project, "switch", "-q", "-c", "adds")
    commit(project, "old/local.env", "theirs\n")
    git(project, "switch", "-q", "main")
    git(project, "mv", "old", "new")
    git(project, "commit", "-q", "-m", "Rename")
    commit(project, ".gitignore", "*.env\n")
    (project / "new" / "local.env").write_text(MINE)
    git(project, "config", "merge.directoryRenames", "true")
    assert is_fine(do("git", command="git merge adds"))
    assert (project / "new" / "local.env").read_text() == MINE
    assert (project / "old" / "local.env").read_text() == "theirs\n"


@pytest.mark.parametrize(
    "command", ["git stash pop", "git stash apply", "git stash apply 0", "git stash pop stash@{0}"]
)
def test_a_stash_does_not_come_back_over_it(do: Do, project: Path, command: str) -> None:
    commit(project, ".env", "old\n")
    (project / ".env").write_text("stashed\n")
    git(project, "stash")
    commit(project, ".env", None)
    commit(project, ".gitignore", ".env\n")
    (project / ".env").write_text(MINE)
    assert "overwrite .env" in str(do("git", command=command))
    assert (project / ".env").read_text() == MINE


def test_a_stash_keeps_what_was_taken_out_of_the_index(do: Do, project: Path) -> None:
    commit(project, ".env", "old\n")
    commit(project, ".gitignore", ".env\n")
    git(project, "rm", "-q", "--cached", ".env")
    (project / ".env").write_text(MINE)
    do("git", command="git stash")
    assert (project / ".env").read_text() == MINE


def test_a_merge_into_nothing_keeps_it_too(do: Do, project: Path) -> None:
    commit(project, ".env", "theirs\n")
    git(project, "switch", "-q", "--orphan", "fresh")
    (project / ".git" / "info").mkdir(exist_ok=True)
    (project / ".git" / "info" / "exclude").write_text(".env\n")
    (project / ".env").write_text(MINE)
    assert "overwrite .env" in str(do("git", command="git merge main"))
    assert (project / ".env").read_text() == MINE


@pytest.mark.parametrize(
    "command",
    ["git merge nothing", "git cherry-pick nothing", "git revert nothing", "git rebase nothing", "git rebase",
     "git stash pop", "git stash apply 3", "git merge main nothing"],
)  # fmt: skip
def test_of_what_is_not_there_git_tells_itself(do: Do, project: Path, command: str) -> None:
    outcome = do("git", command=command)
    assert isinstance(outcome, Outcome), outcome
    assert outcome.status is Status.FAILED


# What comes by a pull is not known before


def said(outcome: Outcome | str) -> str:
    assert isinstance(outcome, Outcome), outcome
    return f"{outcome.output_data['stdout']}{outcome.output_data['stderr']}"


@pytest.mark.parametrize(
    "command", ["git pull", "git pull origin main", "git pull --rebase", "git pull --rebase origin"]
)
def test_a_pull_overwrites_nothing_that_git_ignores(
    do: Do, project: Path, served: Path, command: str
) -> None:
    commit(served, ".gitignore", ".env\n")
    git(served, "push", "-q", str(project), "HEAD:refs/heads/other")
    git(project, "merge", "-q", "other")
    commit(project, ".env", "theirs\n")
    (served / ".env").write_text(MINE)
    if "--rebase" in command:
        git(served, "commit", "-q", "--allow-empty", "-m", "Mine")
    assert "git pull would overwrite .env, which git ignores" in str(do("git", root=served, command=command))
    assert (served / ".env").read_text() == MINE
    (served / ".env").rename(served / "kept.txt")
    outcome = do("git", root=served, command=command)
    assert is_fine(outcome), outcome
    assert (served / ".env").read_text() == "theirs\n"


def test_a_pull_asks_the_remote_once_and_says_what_pull_says(
    do: Do, project: Path, served: Path, tmp_path: Path
) -> None:
    commit(project, "new.txt", "new\n")
    outcome = do("git", root=served, command="git pull")
    assert "Fast-forward" in said(outcome)
    assert outcome.headline == "One file changed, one line added."
    assert len((tmp_path / "called").read_text().splitlines()) == 1
    assert "pull: Fast-forward" in said(do("git", root=served, command="git reflog"))
    assert "Already up to date" in said(do("git", root=served, command="git pull"))
    assert "origin/main" in (tmp_path / "log").read_text()


def test_a_pull_that_cannot_go_forward_changes_nothing(do: Do, project: Path, served: Path) -> None:
    commit(project, "new.txt", "new\n")
    git(served, "commit", "-q", "--allow-empty", "-m", "Mine")
    outcome = do("git", root=served, command="git pull")
    assert "Not possible to fast-forward" in said(outcome)
    assert outcome.status is Status.FAILED
    assert is_fine(do("git", root=served, command="git pull --rebase -q"))
    assert (served / "new.txt").exists()


def test_a_pull_without_a_branch_to_merge_says_so(do: Do, project: Path, served: Path) -> None:
    git(served, "switch", "-q", "-c", "mine")
    outcome = do("git", root=served, command="git pull")
    assert "There is no tracking information for the current branch" in said(outcome)


def test_a_pull_into_nothing_keeps_what_is_ignored(do: Do, project: Path, served: Path) -> None:
    commit(project, ".env", "theirs\n")
    git(served, "switch", "-q", "--orphan", "fresh")
    (served / ".git" / "info").mkdir(exist_ok=True)
    (served / ".git" / "info" / "exclude").write_text(".env\n")
    (served / ".env").write_text(MINE)
    assert "overwrite .env" in str(do("git", root=served, command="git pull origin main"))
    (served / ".env").unlink()
    assert is_fine(do("git", root=served, command="git pull origin main"))
    assert (served / "note.txt").exists()
