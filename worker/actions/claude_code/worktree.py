"""A work tree and a branch of its own for a session, beside the checkout that its owner works in.

What an assistant leaves there is committed to the branch `agent/…` however its run ended, and the work
tree goes away: the branch can be looked at, merged and deleted from afar, a folder could not. A session
that goes on finds its branch again, and a worker that starts puts away what a dead one left. Nothing is
taken away before it is committed."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from worker.actions.base import Job
from worker.actions.claude_code import changes
from worker.actions.claude_code.agent import Ask
from worker.actions.claude_code.changes import Changes, State
from worker.policy import Rejected
from worker.process import CannotStart, Completed

log = logging.getLogger(__name__)

_PATIENCE_S = 120.0
_CONFIG = {
    "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.editor": ":", "commit.gpgsign": "false",
    "gc.auto": "0", "maintenance.auto": "false", "submodule.recurse": "false",
}  # fmt: skip
_IDENTITY = {"NAME": "Claude Code", "EMAIL": "noreply@anthropic.com"}
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "",  # nothing of it needs a network
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _IDENTITY.items()},
    "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    **{f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(_CONFIG)},
    **{f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(_CONFIG.values())},
}

_Git = Callable[..., Completed]


@dataclass
class Branch:
    """Where a session works; `changed` is filled in when the work tree has gone."""

    name: str
    job: Job
    is_kept: bool = True
    """Whether it is still there: a new one on which nothing happened is deleted."""
    changed: Changes = field(default=Changes(None, None))


@dataclass(frozen=True)
class _Tree:
    """A work tree, as it is written down beside it before there is one: what is in it says nothing about
    where it belongs."""

    top: str
    """Of the repository that it belongs to."""
    branch: str
    base: str
    """The commit from which this run began."""
    is_new: bool
    """Whether the branch was made for it."""
    message: str


@contextmanager
def branched(job: Job, before: State | None, ask: Ask) -> Iterator[Branch]:
    """A branch in a work tree of its own, for the block. *before*: the checkout as it is, which
    also says that git may be used in it. Raises Rejected when there can be none."""
    if before is None or before.commit is None:
        raise Rejected(
            "isolation worktree needs a git repository with a commit; leave it out, or commit first"
        )
    folder = _shelf(job.log.parent) / ask.session
    git = _git(job, before.top, {})
    tree = _begin(git, before.top, folder, ask)
    directory = folder / job.directory.relative_to(before.top)
    branch = Branch(tree.branch, replace(job, root=folder, directory=directory))
    try:
        if not directory.is_dir():
            raise Rejected(
                f"{job.directory} is not in the last commit, so it is not in a work tree of its own"
            )
        if before.files:
            job.note(
                f"On branch {tree.branch}, beside the checkout: what is not committed there is not here."
            )
        yield branch
    finally:
        tip = None
        # The work is done and has its result, whatever became of the repository meanwhile.
        with suppress(OSError, CannotStart):
            tip = _put_away(job, tree, folder)
        if tip is None:
            job.note(f"What it left could not be committed and is still in {folder}")
        branch.is_kept = tip is None or not (tree.is_new and tip == tree.base)
        if tip is not None:
            branch.changed = changes.between(job, before.top, tree.base, tip)


def recover(output_dir: Path, marker: str) -> None:
    """Put away the work trees that a dead worker left below *output_dir*, where nobody works now."""
    for note in sorted(_shelf(output_dir).glob("*.json")):
        folder = note.with_suffix("")
        try:
            tree = _Tree(**json.loads(note.read_text(encoding="utf-8")))
            top = Path(tree.top)
            job = Job(top, top, Path(os.devnull), marker, lambda: False)
            # Its configuration may have been changed meanwhile.
            changes.look(job, files=False)
            tip = _put_away(job, tree, folder)
        except (OSError, TypeError, ValueError, Rejected, CannotStart) as problem:
            log.warning("The work tree %s is left as it is (%s).", folder, problem)
            continue
        if tip is None:
            log.warning("The work tree %s is left as it is: it could not be committed.", folder)
        else:
            log.info("The work tree of an earlier worker is put away; its work is on %s.", tree.branch)


def _shelf(output_dir: Path) -> Path:
    # The records are usually beside the worker, and git runs elsewhere.
    return output_dir.absolute() / "worktrees"


def _begin(git: _Git, top: Path, folder: Path, ask: Ask) -> _Tree:
    """Make the work tree, and write down what it is. One that a dead worker left is used as it is."""
    name = _name(ask.session)
    exists, start = _has(git, name), "HEAD"
    if exists:
        start = name
    elif ask.earlier and ask.earlier != ask.session and _has(git, _name(ask.earlier)):
        start = _name(ask.earlier)
    base = git("rev-parse", "--verify", f"{start}^{{commit}}").stdout.strip()
    tree = _Tree(str(top), name, base, not exists, _message(ask))
    if folder.exists() and _data(git, folder) is None:
        raise Rejected(f"{folder} is in the way, with work of another repository; look at it, then delete it")
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    _note(folder).write_text(json.dumps(asdict(tree)), encoding="utf-8")
    if folder.exists():
        return tree
    git("worktree", "prune")
    made = [str(folder), name] if exists else ["-b", name, str(folder), start]
    added = git("worktree", "add", "-q", *made)
    if added.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        _note(folder).unlink()
        why = " ".join(added.stderr.split())[:200]
        raise Rejected(f"git could not make a work tree for branch {name}: {why}")
    return tree


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _put_away(job: Job, tree: _Tree, folder: Path) -> str | None:
    """Commit what is in the work tree to its branch, then take it away, and its branch if there is nothing on
    it. Returns the last commit; None, and nothing is taken away, when not all of it could be committed."""
    git = _git(job, Path(tree.top), {})
    if folder.exists() and not _is_committed(job, git, tree, folder):
        return None
    git("worktree", "remove", "--force", str(folder))
    # Had somebody bent its .git, git would leave it to us.
    shutil.rmtree(folder, ignore_errors=True)
    git("worktree", "prune")
    tip = git("rev-parse", "--verify", "-q", f"refs/heads/{tree.branch}").stdout.strip() or tree.base
    if tree.is_new and tip == tree.base:
        git("branch", "-D", tree.branch)
    _note(folder).unlink(missing_ok=True)
    return tip


def _is_committed(job: Job, git: _Git, tree: _Tree, folder: Path) -> bool:
    """Whether all that is in the work tree is on its branch now."""
    data = _data(git, folder)
    if data is None:
        return False
    # Of a git that was ended in the middle: nobody works here any more.
    with suppress(OSError):
        (data / "index.lock").unlink()
    inside = _git(job, folder, {"GIT_DIR": str(data), "GIT_WORK_TREE": str(folder)})
    inside("add", "-A")
    inside("commit", "-q", "--no-verify", "-m", tree.message)
    left = inside("status", "--porcelain")
    # Of a repository inside it git keeps the name of a commit, and nothing of what is in it.
    inner = " 160000 " in inside("diff", "--raw", tree.base, "HEAD").stdout
    return left.returncode == 0 and not left.stdout.strip() and not inner


def _data(git: _Git, folder: Path) -> Path | None:
    """Where the repository keeps what it knows of the work tree. Asked of the repository: a .git in the work
    tree itself could lead anywhere by now."""
    common = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir").stdout.strip() or os.devnull)
    for pointer in common.glob("worktrees/*/gitdir"):
        # Not the real path of .git itself: a link there leads wherever it was put.
        place = (pointer.parent / pointer.read_text(encoding="utf-8").strip()).parent
        if os.path.realpath(place) == os.path.realpath(folder):
            return pointer.parent
    return None


def _has(git: _Git, name: str) -> bool:
    return git("rev-parse", "--verify", "-q", f"refs/heads/{name}").returncode == 0


def _name(session: str) -> str:
    return f"agent/{session[:8]}"


def _message(ask: Ask) -> str:
    first = next(line.strip() for line in ask.prompt.splitlines() if line.strip())
    return f"{first[:72]}\n\nClaude Code, asked through ai-webhook; session {ask.session}"


def _git(job: Job, top: Path, more: Mapping[str, str]) -> _Git:
    # Not the git action: it has no work trees, and these words are ours.
    here = replace(job, directory=top, log=Path(os.devnull), stop=lambda: False)
    return lambda *words: here.run(["git", *words], timeout=_PATIENCE_S, env={**_ENVIRONMENT, **more})
