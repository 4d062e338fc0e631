"""git, for real, in real repositories; also in one that wants programs to be run."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.protocol import Reason, Status
from tests.chain import git
from tests.traps import Trap, configure, snapshot
from worker import actions
from worker.actions.base import Outcome
from worker.actions.git import Git, _without_passwords
from worker.actions.git.parse import classify

Do = Callable[..., Outcome]
NAMES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


pytestmark = pytest.mark.usefixtures("identity")


def test_files_move_in_a_work_tree_that_lies_in_its_bare_repository(
    do: Callable[..., Outcome], project: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    git(bare, "worktree", "add", "-q", "main")
    done = do("git", root=bare, directory=bare / "main", command="git mv note.txt moved.txt")
    assert done.status is Status.COMPLETED, done.error
    assert (bare / "main" / "moved.txt").exists()


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
    assert changed.headline == "One file changed."
    assert said(do("git", command="git branch --show-current")) == "main\n"


@pytest.mark.parametrize("name", ["HEAD", "commondir"])
def test_a_pipe_where_a_file_belongs_holds_nobody_up(do: Do, project: Path, name: str) -> None:
    (project / ".git" / name).unlink(missing_ok=True)
    os.mkfifo(project / ".git" / name)
    assert "is in no git repository" in str(do("git", command="git status"))


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


def test_a_folder_that_is_no_repository_is_refused_with_the_way_out(do: Do, project: Path) -> None:
    (project / ".git").rename(project / ".git-away")
    refusal = str(do("git", command="git status", directory=project / "docs"))
    assert "is in no git repository" in refusal
    assert f"up to {project}. git init makes one" in refusal


def test_a_project_below_another_repository_is_not_that_repository(
    do: Do, project: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    (project / ".git").rename(project / ".git-away")
    assert "is in no git repository" in str(do("git", command="git status"))


def test_a_subdirectory_works_on_its_repository(do: Do, project: Path) -> None:
    (project / "docs" / "more.txt").write_text("x")
    assert "more.txt" in said(do("git", command="git status", directory=project / "docs"))


@pytest.mark.parametrize(
    "command", ["git push --force", ["git", "-c", "x=y", "status"], "git status; id", 'git "status', "ls"]
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


@pytest.mark.parametrize(
    "command",
    ["git push", "git reset --hard", "git branch -D main", "git clean -fd", "git merge --abort",
     "git rebase --abort", "git revert --abort", "git cherry-pick --abort"],
)  # fmt: skip
def test_what_a_person_says_yes_to_is_what_git_will_be_given(command: str) -> None:
    action = Git.model_validate({"command": command})
    assert action.scope == "git.approval"
    assert shlex.split(action.preview) == list(classify(command.split()).argv)


@pytest.mark.parametrize("command", ["git status", "git diff", "git show", "git log -p", "git commit -am x"])
def test_the_trap_works_when_git_is_run_without_our_care(trap: Trap, command: str) -> None:
    subprocess.run(command.split(), cwd=trap.project, check=False, capture_output=True)
    assert trap.ran.exists()


@pytest.mark.parametrize(
    "command",
    [
        "git status", "git status -sb", "git log", "git log -p", "git log --stat --graph", "git log -S line",
        "git log --oneline", "git diff", "git diff --cached", "git diff HEAD", "git diff --stat",
        "git diff --word-diff", "git show", "git show --stat HEAD", "git show HEAD:note.txt", "git show v2.0",
        "git branch -vv", "git blame note.txt", "git grep line", "git stash list", "git stash show -p",
        "git reflog", "git shortlog -sn", "git describe --always", "git ls-files -m", "git tag -n",
        "git branch new", "git add -A", "git add sub", "git commit -am text", "git commit --amend --no-edit",
        "git switch -c new", "git switch -", "git checkout -b other", "git merge dev", "git stash",
        "git stash -u", "git tag -a -m text v3", "git cherry-pick dev", "git revert --no-commit HEAD~1",
        "git fetch origin", "git pull --ff-only", "git pull --rebase", "git reset HEAD~1", "git init fresh",
    ],
)  # fmt: skip
def test_nothing_that_the_repository_names_is_run(do: Do, trap: Trap, command: str) -> None:
    outcome = do("git", root=trap.project, command=command, timeout=20)
    assert isinstance(outcome, Outcome), outcome
    assert not trap.ran.exists(), trap.ran.read_text()


def test_a_diff_leaves_the_index_alone_so_that_a_commit_can_run_beside_it(do: Do, trap: Trap) -> None:
    index = trap.project / ".git" / "index"
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    # Something is being committed: nobody else may have the lock.
    (trap.project / ".git" / "index.lock").touch()
    shown = said(do("git", root=trap.project, command="git diff --name-only -- note.txt docs"))
    assert shown.splitlines() == ["note.txt"]
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    "command", ["git diff", "git diff HEAD", "git status", "git ls-files -m", "git grep one"]
)
def test_reading_neither_writes_nor_breaks_a_split_index(do: Do, project: Path, command: str) -> None:
    git(project, "update-index", "--split-index")
    for number in range(20):
        (project / f"f{number}").write_text("x\n")
    # So much is new in its own half that the next one who writes makes a new shared one.
    git(project, "-c", "splitIndex.maxPercentChange=100", "add", ".")
    for key, value in (("core.splitIndex", "true"), ("splitIndex.sharedIndexExpire", "now")):
        configure(project, key, value)
    (project / "note.txt").write_text("one changed\n")
    for number in range(20):
        os.utime(project / f"f{number}", (1_000_000_000, 1_000_000_000))
    for shared in (project / ".git").glob("sharedindex.*"):
        # Old enough to be deleted, if somebody wrote a new one.
        os.utime(shared, (1_000_000_000, 1_000_000_000))
    before = snapshot(project)
    outcome = do("git", command=command)
    assert "note.txt" in said(outcome)
    assert snapshot(project) == before
    assert "f19" in said(do("git", command="git ls-files"))


def test_a_rebase_moves_the_branch_that_was_named_only(do: Do, project: Path) -> None:
    git(project, "switch", "-q", "-c", "mine")
    git(project, "commit", "-q", "--allow-empty", "-m", "One")
    git(project, "branch", "beside")
    (project / "two.txt").write_text("two\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Two")
    git(project, "switch", "-q", "main")
    git(project, "commit", "-q", "--allow-empty", "-m", "Main goes on")
    git(project, "switch", "-q", "mine")
    configure(project, "rebase.updateRefs", "true")
    before = said(do("git", command="git rev-parse beside"))
    said(do("git", command="git rebase main"))
    assert said(do("git", command="git rev-parse beside")) == before
    assert "Main goes on" in said(do("git", command="git log"))


def test_writing_makes_one_index_of_a_split_one(do: Do, project: Path) -> None:
    git(project, "update-index", "--split-index")
    configure(project, "core.splitIndex", "true")
    (project / "new.txt").write_text("new\n")
    said(do("git", command="git add new.txt"))
    assert said(do("git", command="git status -s")) == "A  new.txt\n"


@pytest.mark.parametrize("command", ["git remote -v", "git remote get-url other"])
def test_passwords_of_remotes_reach_neither_the_result_nor_the_log(
    do: Do, trap: Trap, tmp_path: Path, command: str
) -> None:
    outcome = do("git", root=trap.project, command=command)
    assert "https://127.0.0.1:9/x" in said(outcome)
    log = (tmp_path / "log").read_text()
    assert "https://127.0.0.1:9/x" in log
    assert "pass-word" not in log + str(outcome.output_data)


@pytest.mark.parametrize(
    "address",
    ["https://user:fake-word@127.0.0.1:9/x", "HTTPS://user:fake-word@127.0.0.1:9/x",
     "Https://user:a/fake-word@127.0.0.1:9/x", "https://user:p@ss:fake-word@127.0.0.1:9/x",
     "https://fake-word@127.0.0.1:9/x", "ssh://user:a#fake-word?@127.0.0.1:9/x"],
)  # fmt: skip
def test_no_password_in_an_address_is_told(do: Do, project: Path, tmp_path: Path, address: str) -> None:
    git(project, "remote", "add", "origin", address)
    configure(project, "branch.main.remote", address)
    configure(project, "branch.main.merge", "refs/heads/main")
    git(project, "update-ref", "refs/remotes/origin/main", "HEAD")
    commands = (
        "git remote -v", "git remote get-url origin", "git fetch origin", "git fetch", "git pull", "git push",
        "git push origin main", "git branch -vv", "git status",
        "git branch '--format=%(upstream:remotename)'",
        "git branch '--format=%(push:remotename)'",
    )  # fmt: skip
    for command in commands:
        outcome = do("git", command=command)
        assert isinstance(outcome, Outcome), outcome
        assert "fake-word" not in str(outcome), command
    assert "fake-word" not in (tmp_path / "log").read_text()
    shown = said(do("git", command="git remote -v")).lower()
    assert address.partition(":")[0].lower() + "://127.0.0.1:9/x" in shown


def test_a_file_is_shown_as_it_is_though_it_holds_addresses(do: Do, project: Path) -> None:
    text = '"https://example.com/@scope/x": "http://localhost:3000/@vite/client"\n'
    (project / "note.txt").write_text(text)
    git(project, "add", ".")
    assert said(do("git", command="git grep -h --cached scope")) == text


def test_long_text_without_passwords_takes_no_time() -> None:
    for text in ("a://" * 100_000, "a.a+" * 100_000, "@://" * 100_000, ("a://" + "b" * 50 + " ") * 10_000):
        begun = time.monotonic()
        _without_passwords(text)
        assert time.monotonic() - begun < 1


def test_reading_never_uses_the_network_also_not_for_a_partial_clone(
    do: Do, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, monkeypatch)
    assert "GIT_ALLOW_PROTOCOL=" in said(do("git", command="git log")).splitlines()
    assert "GIT_ALLOW_PROTOCOL=https:ssh" in said(do("git", command="git fetch")).splitlines()


@pytest.mark.parametrize(("own", "run"), [("", "ssh"), ("corp-ssh -i key", "corp-ssh -i key")])
def test_the_owners_way_to_call_ssh_is_kept_and_the_repositorys_is_not(
    do: Do, project: Path, tmp_path: Path, own: str, run: str
) -> None:
    configure(project, "core.sshCommand", f"touch {tmp_path / 'ran'};")
    configure(project, "remote.origin.url", "ssh://127.0.0.1:9/x")
    if own:
        with (tmp_path / ".gitconfig").open("a") as file:
            file.write(f"[core]\n\tsshCommand = {own}\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ssh", "corp-ssh"):
        (folder / name).write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path / "called"}\nexit 1\n')
        (folder / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        do("git", command="git fetch origin")
    assert f"{run} -oBatchMode=yes" in (tmp_path / "called").read_text().replace(f"{folder}/", "")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "command",
    ["git mv note.txt link/x", "git mv note.txt link", "git mv note.txt -- link/x", "git mv link.txt link/x",
     "git mv a.txt note.txt link", "git mv -- note.txt -- docs/../link/x", "git mv link/secret.txt here"],
)  # fmt: skip
def test_a_file_is_not_moved_out_of_the_project_through_a_link(do: Do, trap: Trap, command: str) -> None:
    before = snapshot(trap.outside)
    outcome = do("git", root=trap.project, command=command)
    assert isinstance(outcome, str), outcome
    assert snapshot(trap.outside) == before


@pytest.mark.parametrize(
    "target",
    [".git/hooks/pre-commit", ".git/commondir", ".git/objects/info/alternates", "sub/.git/hooks/pre-commit",
     "sub/.GIT/commondir", "shortcut/hooks/pre-commit", "shortcut", "bare/hooks/post-receive", "bare",
     "elsewhere/hooks/pre-commit"],
)  # fmt: skip
def test_nothing_is_moved_into_what_is_gits_own(do: Do, project: Path, target: str) -> None:
    git(project, "init", "-q", "sub")
    git(project, "init", "-q", "--bare", "bare")
    git(project, "init", "-q", "--separate-git-dir=elsewhere")
    for folder in (project / "elsewhere", project / "sub" / ".git"):
        (folder / "hooks").mkdir(exist_ok=True)
    (project / "shortcut").symlink_to("elsewhere")
    before = snapshot(project)
    assert isinstance(do("git", command=["git", "mv", "note.txt", target]), str)
    assert isinstance(do("git", command=["git", "mv", "docs", target]), str)
    assert snapshot(project) == before


READS_BEHIND = (
    "git blame k/key", "git blame -- k/key", "git blame HEAD -- k/key", "git grep fake", "git grep fake -- k",
    "git grep fake k/key", "git grep --untracked fake -- k/key", "git diff HEAD:note.txt k/key",
    "git diff HEAD:note.txt -- k/key", "git ls-files -m", "git ls-files -d k", "git ls-files --eol -- k/key",
)  # fmt: skip
OTHER_READS = (
    "git diff -- k/", "git diff", "git diff HEAD", "git diff HEAD:k/key note.txt", "git status", "git show",
    "git log -p", "git stash show -p", "git shortlog", "git ls-files -o k/key", "git ls-files",
    "git clean -n", "git grep --cached mine",
)  # fmt: skip


@pytest.fixture
def behind(project: Path, tmp_path: Path) -> Path:
    """A project in which a link out of it stands where git has a folder; out there is more."""
    (project / "k").mkdir()
    (project / "k" / "key").write_text("mine\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Add a folder")
    (project / "note.txt").write_text("stashed\n")
    git(project, "stash")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_text("fake-secret\n")
    (project / "k" / "key").unlink()
    (project / "k").rmdir()
    (project / "k").symlink_to(tmp_path / "outside")
    return project


@pytest.mark.parametrize("command", READS_BEHIND)
def test_no_file_is_read_through_a_link_that_stands_in_for_a_folder(
    do: Do, behind: Path, command: str
) -> None:
    refusal = do("git", command=command)
    assert isinstance(refusal, str), refusal
    assert "link" in refusal
    assert "fake-secret" not in refusal
    assert isinstance(do("git", directory=behind / "docs", command="git grep fake"), str)


@pytest.mark.parametrize("command", OTHER_READS)
def test_all_other_reads_see_for_themselves_that_it_is_a_link(do: Do, behind: Path, command: str) -> None:
    outcome = do("git", command=command)
    assert "fake-secret" not in str(outcome)
    if command != "git diff -- k/":
        said(outcome)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes no such names")
def test_a_link_behind_a_name_that_is_no_text_is_seen_as_well(do: Do, project: Path, tmp_path: Path) -> None:
    folder = project / os.fsdecode(b'a\xff "b')
    for place in (folder, tmp_path / "outside"):
        place.mkdir()
        (place / "key").write_text("fake-secret\n")
    git(project, "add", ".")
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path / "outside")
    assert "a link where git has a folder" in str(do("git", command="git grep fake"))


def test_grep_finds_what_is_there_though_other_files_are_missing(do: Do, project: Path) -> None:
    (project / "docs" / "read.txt").unlink()
    (project / "link").symlink_to("docs")
    assert "note.txt" in said(do("git", command="git grep one"))


def test_a_link_itself_may_be_moved(do: Do, trap: Trap) -> None:
    said(do("git", root=trap.project, command="git mv link.txt docs/link.txt"))
    assert (trap.project / "docs" / "link.txt").is_symlink()


def test_init_and_clone_make_new_directories_only(do: Do, project: Path, tmp_path: Path) -> None:
    (project / "way-out").symlink_to(tmp_path / "elsewhere")
    for command in ("git init", "git init docs", "git init way-out"):
        assert "is there already" in str(do("git", command=command))
    assert not (tmp_path / "elsewhere").exists()
    said(do("git", command="git init -b main fresh"))
    assert (project / "fresh" / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"


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
    (folder / "git").write_text(
        '#!/bin/sh\n[ "$1" = config ] && exit 1\nfor one in "$@"; do echo "arg:$one"; done\nenv\n'
    )
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("git fetch -p origin main", ["fetch", "--no-recurse-submodules", "-p", "origin", "main"]),
        ("git pull", ["pull", "--ff-only", "--no-recurse-submodules"]),
        (
            "git show HEAD -s",
            [
                "show",
                "--no-ext-diff",
                "--no-textconv",
                "--no-show-signature",
                "--submodule=short",
                "-s",
                "HEAD",
            ],
        ),
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
        for line in ("GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=:",
                     f"GIT_CEILING_DIRECTORIES={project.parent}", f"GIT_DIR={project / '.git'}",
                     f"GIT_WORK_TREE={project}",
                     "GIT_SSH_COMMAND=ssh -oBatchMode=yes"):  # fmt: skip
            assert line in shown.splitlines()
        values = dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("GIT_CONFIG_"))
        count = int(values["GIT_CONFIG_COUNT"])
        config = {values[f"GIT_CONFIG_KEY_{n}"]: values[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}
        assert config["core.hooksPath"] == "/dev/null"
        assert config["core.fsmonitor"] == "false"
        assert config["protocol.ext.allow"] == "never"
