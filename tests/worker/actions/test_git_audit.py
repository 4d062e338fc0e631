"""Which repositories git may be used in: where they are, whose they are, and what they would start."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.protocol import Status
from tests.chain import git
from tests.traps import UNSTOPPABLE, Trap, configure
from worker.actions.base import Outcome
from worker.actions.git import audit
from worker.actions.git.audit import SETTLED_S, Audits
from worker.actions.git.repository import Repository, at, find, is_empty, nested
from worker.policy import Rejected

pytestmark = pytest.mark.usefixtures("identity")
Do = Callable[..., Outcome]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Leaves a file behind when it is run."""
    path = tmp_path / "program.sh"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\ncat\n")
    path.chmod(0o755)
    return path


def is_fine(outcome: Outcome | str) -> bool:
    return isinstance(outcome, Outcome) and outcome.status is Status.COMPLETED


# What a repository configures


@pytest.mark.parametrize("key", UNSTOPPABLE)
@pytest.mark.parametrize("command", ["git status", "git add ."])
def test_a_repository_that_names_what_cannot_be_overruled_is_refused(
    do: Do, project: Path, tmp_path: Path, program: Path, key: str, command: str
) -> None:
    (project / ".gitattributes").write_text("*.txt filter=trap merge=trap\n")
    (project / "note.txt").write_text("changed\n")
    configure(project, key, UNSTOPPABLE[key].replace("PROGRAM", str(program)))
    refusal = str(do("git", command=command))
    assert "git configuration of" in refusal
    assert "trust_repo_config = true" in refusal
    assert key.rpartition(".")[2].lower() in refusal
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["filter.trap.clean", "filter.a\xffb.clean"])
def test_such_a_filter_would_indeed_have_been_run_by_a_mere_status(
    project: Path, tmp_path: Path, program: Path, key: str
) -> None:
    name = key.split(".")[1].encode("latin-1")
    (project / ".gitattributes").write_bytes(b"*.txt filter=" + name + b"\n")
    (project / "note.txt").write_text("two\n")
    configure(project, key, str(program))
    subprocess.run(["git", "status"], cwd=project, check=True, capture_output=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("filter.lfs.clean", "git-lfs clean -- %f"), ("filter.lfs.smudge", "git-lfs smudge -- %f"),
        ("filter.lfs.smudge", "git-lfs smudge --skip -- %f"),
        ("filter.lfs.process", "git-lfs filter-process"), ("filter.lfs.required", "true"),
        ("core.hooksPath", ".husky/_"), ("core.repositoryFormatVersion", "1"),
        ("extensions.worktreeConfig", "true"), ("core.worktree", "../"), ("lfs.url", "https://example.com/lfs"),
        ("branch.main.remote", "origin"), ("branch.main.merge", "refs/heads/main"),
        ("remote.origin.url", "git@example.com:a/b.git"),
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ("remote.origin.fetch", "refs/heads/main"),
        ("remote.origin.fetch", "+refs/pull/*/head:refs/remotes/origin/pr/*"),
        ("remote.origin.fetch", "+refs/notes/*:refs/notes/*"), ("remote.origin.fetch", "^refs/heads/wip/*"),
        ("remote.origin.fetch", "refs/tags/*:refs/tags/*"), ("remote.origin.pruneTags", "off"),
        ("remote.origin.push", "HEAD:refs/for/main"), ("remote.origin.mirror", "false"),
        ("submodule.sub.update", "rebase"), ("submodule.sub.active", "true"), ("http.postBuffer", "1000000"),
        ("branch.sort", "-committerdate"), ("blame.ignoreRevsFile", ".git-blame-ignore-revs"),
        ("user.name", "Somebody"), ("merge.conflictStyle", "diff3"), ("diff.word.textconv", "program"),
        ("alias.clean", "!program"), ("vendor.some.command", "program"), ("credential.username", "x"),
    ],
)  # fmt: skip
def test_what_is_common_and_harmless_is_not_refused(do: Do, project: Path, key: str, value: str) -> None:
    configure(project, key, value)
    assert is_fine(do("git", command="git status"))


@pytest.mark.parametrize(
    "refspec",
    ["+refs/*:refs/*", "refs/*:refs/*", "+refs/heads/*:refs/heads/*", "+refs/heads/main:main", "+*:*",
     "refs/heads/*:refs/h*", "refs/heads/*:refs/*/x", "refs/heads/main:refs/stash", "refs/heads/main:HEAD",
     "refs/heads/*:refs/*emotes/x", "refs/heads/*:REFS/REMOTES/*", ":refs/heads/main", "refs/x:refs/remotes"],
)  # fmt: skip
def test_a_fetch_into_refs_of_ones_own_is_refused(do: Do, project: Path, refspec: str) -> None:
    configure(project, "remote.origin.fetch", refspec)
    for command in ("git fetch", "git status"):
        assert "sets remote.origin.fetch" in str(do("git", command=command))


def test_a_fetch_keeps_branches_and_tags_that_only_this_machine_has(do: Do, served: Path) -> None:
    git(served, "branch", "mine")
    git(served, "tag", "mine")
    git(served, "config", "fetch.pruneTags", "true")
    git(served, "config", "remote.origin.prune", "true")
    assert is_fine(do("git", root=served, command="git fetch --prune"))
    assert is_fine(do("git", root=served, command="git pull -p"))
    shown = do("git", root=served, command=["git", "branch", "-a", "--format=%(refname)"])
    assert "refs/heads/mine" in str(shown)
    assert "mine" in str(do("git", root=served, command="git tag"))


def test_a_repository_whose_owner_trusts_it_runs_its_filters_and_for_writing_its_hooks(
    do: Do, project: Path, tmp_path: Path, program: Path
) -> None:
    (project / ".gitattributes").write_text("*.txt filter=trap\n")
    configure(project, "filter.trap.clean", str(program))
    hook = project / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'hooked'}\n")
    hook.chmod(0o755)
    (project / "new.txt").write_text("new\n")
    assert "trust_repo_config" in str(do("git", command="git add ."))
    assert is_fine(do("git", command="git add .", is_trusted=True))
    assert (tmp_path / "ran").exists()
    assert is_fine(do("git", command="git commit -m text", is_trusted=True))
    assert (tmp_path / "hooked").exists()


def test_a_configuration_that_git_cannot_read_is_refused(do: Do, project: Path) -> None:
    (project / ".git" / "config").write_text("[core\n")
    assert "git cannot read" in str(do("git", command="git status"))


def test_something_bad_does_not_hide_in_much_that_is_harmless(do: Do, project: Path, program: Path) -> None:
    for number in range(3_000):
        configure(project, f"remote.r{number}.push", "HEAD:refs/for/main")
        if number == 1_500:
            configure(project, "filter.trap.clean", str(program))
    assert "too many settings" in str(do("git", command="git status"))


def test_the_configuration_of_a_work_tree_is_looked_at_too(do: Do, project: Path, program: Path) -> None:
    (project / ".git" / "config.worktree").write_text(f'[filter "x"]\n\tclean = {program}\n')
    assert "filter.x.clean" in str(do("git", command="git status"))


def test_the_values_of_the_configuration_stay_out_of_the_log(do: Do, project: Path, tmp_path: Path) -> None:
    configure(project, "remote.origin.push", "fake-secret")
    assert is_fine(do("git", command="git status"))
    assert "fake-secret" not in (tmp_path / "log").read_text()


@pytest.fixture
def with_submodule(trap: Trap, program: Path) -> Trap:
    (trap.project / "sub" / ".gitattributes").write_text("*.txt filter=trap\n")
    configure(trap.project / "sub", "filter.trap.clean", str(program))
    return trap


def test_the_filters_of_a_submodule_stop_writing_but_not_reading(
    do: Do, with_submodule: Trap, tmp_path: Path
) -> None:
    root = with_submodule.project
    for command in ("git add .", "git stash", "git commit -am x"):
        assert "sub sets filter.trap.clean" in str(do("git", root=root, command=command))
    for command in ("git status", "git diff", "git log -p", "git ls-files -m"):
        assert is_fine(do("git", root=root, command=command))
    assert not (tmp_path / "ran").exists()


def capitals(folder: Path) -> None:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    )
    (folder / ".git" / "HEAD").write_text(done.stdout.upper())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (capitals, "sub sets filter.trap.clean"),
        (lambda folder: (folder / ".git" / "HEAD").write_text("no ref\n"), "may be one for git"),
        (lambda folder: (folder / ".git" / "HEAD").unlink(), None),
        (lambda folder: (folder / ".git" / "refs").rename(folder / ".git" / "away"), "may be one for git"),
    ],
)
def test_a_submodule_that_is_not_understood_is_not_taken_for_harmless(
    do: Do, with_submodule: Trap, tmp_path: Path, change: Callable[[Path], object], said: str | None
) -> None:
    root = with_submodule.project
    change(root / "sub")
    for command in ("git add .", "git stash", "git commit -am x"):
        outcome = do("git", root=root, command=command)
        assert said in outcome if said else isinstance(outcome, Outcome), outcome
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "sure"),
    [("gitdir: nowhere\n", False), ("gitdir:nowhere\n", False), ("", True), ("something\n", True)],
)
def test_a_file_that_leads_nowhere_is_surely_no_repository(tmp_path: Path, text: str, sure: bool) -> None:
    (tmp_path / ".git").write_text(text)
    assert is_empty(tmp_path) is sure


def test_without_submodules_in_the_index_no_folder_is_searched(
    do: Do, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.actions.git.nested", lambda top: pytest.fail("searched"))
    assert is_fine(do("git", command="git add ."))


def test_a_commit_says_that_the_repositorys_hooks_were_skipped(do: Do, project: Path) -> None:
    (project / "new.txt").write_text("new\n")
    said = do("git", command="git add .")
    assert "hooks" not in said.output_data
    hooks = project / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    said = do("git", command="git commit -m 'Add a file'")
    assert (said.headline, said.output_data["hooks"]) == (
        "Committed on main: Add a file. Hooks were skipped.",
        "skipped",
    )
    assert "hooks" not in do("git", command="git log").output_data
    (hooks / "pre-commit").unlink()
    configure(project, "core.hooksPath", ".husky/_")
    assert do("git", command="git tag x").output_data["hooks"] == "skipped"


# Once is enough, until something changes


class Counted:
    """Stands between the audit and git, and counts."""

    def __init__(self, project: Path) -> None:
        self.repository = find(project, project)
        self.times = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        self.times += 1
        env = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(["git", *words], capture_output=True, text=True, env=env, check=False)
        self.meanwhile()
        return done.returncode, done.stdout, done.stderr


def test_an_unchanged_configuration_is_read_once(project: Path) -> None:
    counted = Counted(project)
    audits = Audits(lambda: (project / ".git" / "config").stat().st_ctime + SETTLED_S + 1)
    for _ in range(5):
        audits.check(counted.repository, counted)
    # Once for what it says, once for whether git accepts it.
    assert counted.times == 2


@pytest.mark.parametrize("how", ["append", "replace", "same size and time", "another file"])
def test_every_change_of_the_configuration_is_noticed(project: Path, how: str) -> None:
    counted = Counted(project)
    config = project / ".git" / "config"
    configure(project, "user.name", "aaaa")
    audits = Audits(lambda: config.stat().st_ctime + SETTLED_S + 1)
    audits.check(counted.repository, counted)
    before = config.stat()
    bad = '[hook "x"]\n\tcommand = y\n'
    if how == "append":
        config.write_text(config.read_text() + bad)
    elif how == "replace":
        (project / "other").write_text(bad)
        (project / "other").rename(config)
    elif how == "same size and time":
        config.write_text(bad.ljust(before.st_size, "\n"))
        os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (config.stat().st_size, config.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    else:
        (project / ".git" / "config.worktree").write_text(bad)
    with pytest.raises(Rejected, match=r"hook\.x\.command"):
        audits.check(counted.repository, counted)


def test_what_was_changed_a_moment_ago_is_read_again_each_time(project: Path) -> None:
    counted = Counted(project)
    audits = Audits(lambda: (project / ".git" / "config").stat().st_ctime + SETTLED_S / 2)
    for _ in range(3):
        audits.check(counted.repository, counted)
    assert counted.times == 6


def test_a_change_while_it_is_read_is_refused(project: Path) -> None:
    counted = Counted(project)
    counted.meanwhile = lambda: configure(project, "hook.x.command", "y")
    with pytest.raises(Rejected, match="is being changed just now"):
        Audits().check(counted.repository, counted)


def test_a_refusal_is_never_kept(project: Path) -> None:
    counted = Counted(project)
    config = project / ".git" / "config"
    good = config.read_text()
    audits = Audits(lambda: config.stat().st_ctime + SETTLED_S + 1)
    configure(project, "hook.x.command", "y")
    for _ in range(2):
        with pytest.raises(Rejected):
            audits.check(counted.repository, counted)
    config.write_text(good)
    audits.check(counted.repository, counted)


def test_the_memory_of_audits_is_bounded_and_may_be_shared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_MAX_KEPT", 3)
    audits = Audits(lambda: 2**40)
    others = [Repository(Path(f"/{n}"), Path(f"/{n}/.git"), Path(f"/{n}/.git")) for n in range(20)]
    threads = [threading.Thread(target=audits.check, args=(one, lambda words: (0, "", ""))) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(audits._kept) <= 3


# Where it is


def test_a_repository_that_keeps_its_data_outside_is_refused(do: Do, project: Path, tmp_path: Path) -> None:
    (project / ".git").rename(tmp_path / "elsewhere.git")
    for make in (
        lambda: (project / ".git").write_text(f"gitdir: {tmp_path / 'elsewhere.git'}\n"),
        lambda: (project / ".git").symlink_to(tmp_path / "elsewhere.git"),
    ):
        make()
        refusal = str(do("git", command="git status"))
        assert "outside of the project" in refusal
        assert "policy.toml" in refusal
        (project / ".git").unlink()


def test_a_linked_work_tree_needs_its_repository_to_be_allowed_as_well(
    do: Do, project: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(project, "worktree", "add", "-q", str(linked))
    assert "outside of the project" in str(do("git", root=linked, command="git status"))
    outcome = do("git", root=linked, roots=(project,), command="git status")
    assert outcome.headline == "On branch linked, nothing to commit."
    inside = project / "inside"
    git(project, "worktree", "add", "-q", str(inside))
    assert is_fine(do("git", directory=inside, command="git log -1"))


def test_what_lies_in_another_project_must_know_the_work_tree_that_leads_to_it(
    do: Do, project: Path, tmp_path: Path
) -> None:
    linked, thief = tmp_path / "linked", tmp_path / "thief"
    git(project, "worktree", "add", "-q", str(linked))
    thief.mkdir()
    common, own = project / ".git", project / ".git" / "worktrees" / "linked"
    for make in (
        lambda: (thief / ".git").write_text(f"gitdir: {common}\n"),
        lambda: (thief / ".git").write_text(f"gitdir: {own}\n"),
        lambda: (thief / ".git").symlink_to(common),
        lambda: (thief / ".git").symlink_to(own),
    ):
        make()
        for command in ("git log", "git commit --allow-empty -m x"):
            refusal = str(do("git", root=thief, roots=(project,), command=command))
            assert "by what git wrote down there" in refusal
            assert "git worktree repair" in refusal
        (thief / ".git").unlink()
    # A repository of its own that takes all but its HEAD from another one.
    git(thief, "init", "-q", "-b", "main")
    (thief / ".git" / "commondir").write_text(f"{common}\n")
    assert "by what git wrote down" in str(do("git", root=thief, roots=(project,), command="git log"))
    assert is_fine(do("git", root=linked, roots=(project,), command="git commit --allow-empty -m x"))


def test_a_submodule_may_be_a_project_of_its_own(do: Do, project: Path) -> None:
    git(project, "init", "-q", "source")
    git(project / "source", "commit", "-q", "--allow-empty", "-m", "Inner commit")
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./source", "sub")
    outcome = do("git", root=project / "sub", roots=(project,), command="git log")
    assert outcome.headline == "The latest commit says: Inner commit."
    git(project / "sub", "config", "--unset", "core.worktree")
    assert "by what git wrote down" in str(
        do("git", root=project / "sub", roots=(project,), command="git log")
    )


def test_a_submodule_is_a_repository_of_its_own(do: Do, project: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    (source / "x").write_text("x")
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "Inner commit")
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), "sub")
    assert list(nested(project)) == [project / "sub"]
    outcome = do("git", directory=project / "sub", command="git log")
    assert outcome.headline == "The latest commit says: Inner commit."
    assert is_fine(do("git", command="git add ."))
    assert is_fine(do("git", command="git commit -m text"))


def test_a_repository_of_somebody_else_is_refused(
    do: Do, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_711)
    if (project / ".git").stat().st_uid == 0:
        os.chown(project / ".git", 4_712, -1)
    assert "belongs to another user" in str(do("git", command="git status"))
    assert isinstance(do("git", command="git status", is_trusted=True), Outcome)


def test_a_bare_repository_is_none_from_afar(do: Do, project: Path) -> None:
    git(project, "init", "-q", "--bare", "bare")
    refusal = do("git", root=project / "bare", command="git log")
    assert "bare repositories are not used" in str(refusal)


@pytest.mark.parametrize("broken", ["HEAD", "objects", "refs"])
def test_what_git_would_not_accept_as_a_repository_is_none(do: Do, project: Path, broken: str) -> None:
    # Without a repository, git diff compares any two files, and obeys no rule of a project.
    (project / ".git" / broken).rename(project / ".git" / "away")
    assert "is in no git repository" in str(do("git", command="git diff note.txt docs/read.txt"))


@pytest.mark.parametrize("shut", ["objects", "refs"])
def test_what_git_may_not_enter_is_no_repository_either(
    do: Do, project: Path, monkeypatch: pytest.MonkeyPatch, shut: str
) -> None:
    # Not by its mode: to root everything is open.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != shut)
    assert at(project, (project,)) is None


V0, V1 = "[core]\nrepositoryformatversion=0\n", "[core]\nrepositoryformatversion=1\n"


@pytest.mark.parametrize(
    "config",
    [f"{V1}[extensions]\nrefstorage=files\n", f"{V1}[extensions]\nrelativeworktrees=true\n",
     f"{V0}[extensions]\nobjectformat=sha1\n", f"{V1}[extensions]\nobjectformat=md5\n",
     f"{V1}[extensions]\ncompatobjectformat=sha256\n"],
)  # fmt: skip
@pytest.mark.parametrize("is_trusted", [False, True])
def test_a_format_that_this_git_does_not_know_never_makes_it_compare_any_two_files(
    do: Do, project: Path, tmp_path: Path, config: str, is_trusted: bool
) -> None:
    outside(project, tmp_path)
    (project / ".git" / "config").write_text(config)
    accepted = subprocess.run(["git", "rev-parse"], cwd=project, check=False, capture_output=True)
    outcome = do("git", command="git diff link/secret.txt note.txt", is_trusted=is_trusted)
    assert "fake-secret" not in str(outcome)
    if accepted.returncode != 0:
        assert isinstance(outcome, str), outcome


@pytest.mark.parametrize("key", ["blame.ignoreRevsFile", "mailmap.file"])
def test_what_the_configuration_has_git_read_does_not_lead_out(
    do: Do, project: Path, tmp_path: Path, key: str
) -> None:
    outside(project, tmp_path)
    (project / "revs").write_text("")
    commands = ("git blame note.txt", "git shortlog -s")
    configure(project, key, "revs")
    assert all(is_fine(do("git", command=command)) for command in commands)
    configure(project, key, "docs/more")
    # What was read of the configuration is kept, where it leads is not.
    (project / "docs" / "more").symlink_to("../revs")
    assert all(is_fine(do("git", command=command)) for command in commands)
    for target in (project / "link" / "secret.txt", tmp_path / "outside" / "secret.txt", "../.git/config"):
        (project / "docs" / "more").unlink()
        (project / "docs" / "more").symlink_to(target)
        for command in commands:
            refusal = str(do("git", command=command))
            assert "has git read docs/more, a link to" in refusal
            assert "fake-secret" not in refusal


@pytest.mark.parametrize(
    "value", [":(optional)/etc/passwd", "%(prefix)/etc/passwd", "~/x", "../x", "a/../../x"]
)
@pytest.mark.parametrize("key", ["blame.ignoreRevsFile", "mailmap.file"])
def test_what_the_configuration_has_git_read_is_named_plainly(
    do: Do, project: Path, key: str, value: str
) -> None:
    configure(project, key, value)
    assert f"sets {key.lower()}" in str(do("git", command="git log"))


HEADS = (
    b"ref: refs/heads/main\n", b"ref:refs/heads/main", b"ref:\t \r\nrefs/heads/main\n", b"ref: refs/",
    b"ref:" + b" " * 246 + b"refs/heads/main", b"ref:" + b" " * 247 + b"refs/heads/main",
    b"ref:" + b" " * 300 + b"refs/heads/main", b"ref:\x0crefs/heads/main\n", b"ref:\x0brefs/heads/main\n",
    b"ref:\x85refs/heads/main", b"ref: refs\n", b"REF: refs/heads/main", b" ref: refs/heads/main", b"",
    b"a" * 40, b"A" * 40 + b"\n", b"aB" * 20 + b"rest", b"a" * 39, b"g" * 40, b"0" * 64, b"\x00",
    b"ref: refs/\x00",
    b"ref:\x00refs/heads/main",
)  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_accepted_exactly_where_git_accepts_it(project: Path, tmp_path: Path, head: bytes) -> None:
    (project / ".git" / "HEAD").write_bytes(head)
    env = {**os.environ, "GIT_DIR": str(project / ".git")}
    done = subprocess.run(["git", "rev-parse", "--git-dir"], env=env, check=False, capture_output=True)
    assert (at(project, (project,)) is not None) == (done.returncode == 0)


def outside(project: Path, tmp_path: Path) -> None:
    """A link that leads out of the project, to a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("fake-secret\n")
    (project / "link").symlink_to(tmp_path / "outside")


@pytest.mark.parametrize("head", [one for one in HEADS if one])
def test_whatever_is_in_head_two_files_are_never_compared_outside(
    do: Do, project: Path, tmp_path: Path, head: bytes
) -> None:
    outside(project, tmp_path)
    (project / ".git" / "HEAD").write_bytes(head)
    assert "fake-secret" not in str(do("git", command="git diff link/secret.txt note.txt"))


def test_the_work_tree_is_the_one_that_was_found_whatever_the_environment_says(
    do: Do, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert do("git", command="git status").headline == "On branch main, nothing to commit."
    shown = do("git", directory=project / "docs", command="git rev-parse --show-toplevel")
    assert str(shown.output_data["stdout"]).strip() == str(project)
