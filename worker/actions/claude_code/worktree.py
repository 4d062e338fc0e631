"""A work tree and a branch of its own for a session, beside the checkout that its owner works in.

What an assistant leaves there is committed to the branch `agent/…` however its run ended, and the work
tree goes away: the branch can be looked at, merged and deleted from afar, a folder could not. A session
that goes on finds its branch again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.actions.base import Job
from worker.actions.claude_code import changes
from worker.actions.claude_code.agent import Ask
from worker.actions.claude_code.changes import Changes, State
from worker.policy import Rejected
from worker.process import Completed

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


@contextmanager
def branched(job: Job, before: State | None, ask: Ask) -> Iterator[Branch]:
    """A branch in a work tree of its own, for the block. *before*: the checkout as it is, which
    also says that git may be used in it. Raises Rejected when there can be none."""
    if before is None or before.commit is None:
        raise Rejected(
            "isolation worktree needs a git repository with a commit; leave it out, or commit first"
        )
    name, folder = _name(ask.session), job.log.parent / "worktrees" / ask.session
    git = _git(job, before.top, {})
    is_new = _begin(git, name, folder, ask)
    directory = folder / job.directory.relative_to(before.top)
    # Where its data is, before anybody works there: what a .git in it says later does not matter.
    data = git("-C", str(folder), "rev-parse", "--absolute-git-dir").stdout.strip()
    inside = _git(job, folder, {"GIT_DIR": data, "GIT_WORK_TREE": str(folder)})
    base = inside("rev-parse", "HEAD").stdout.strip()
    branch = Branch(name, replace(job, root=folder, directory=directory))
    try:
        if not directory.is_dir():
            raise Rejected(
                f"{job.directory} is not in the last commit, so it is not in a work tree of its own"
            )
        if before.files:
            job.note(f"On branch {name}, beside the checkout: what is not committed there is not here.")
        yield branch
    finally:
        inside("add", "-A")
        inside("commit", "-q", "--no-verify", "-m", _message(ask))
        tip = inside("rev-parse", "HEAD").stdout.strip()
        git("worktree", "remove", "--force", str(folder))
        # Had somebody bent its .git, git would leave it to us.
        shutil.rmtree(folder, ignore_errors=True)
        git("worktree", "prune")
        if is_new and tip == base:
            git("branch", "-D", name)
            branch.is_kept = False
        branch.changed = changes.between(job, before.top, base, tip)


def _begin(git: _Git, name: str, folder: Path, ask: Ask) -> bool:
    """Make the work tree; whether the branch is new. One that a dead worker left is used as it is."""
    if folder.exists():
        return False
    git("worktree", "prune")
    exists = _has(git, name)
    if exists:
        added = git("worktree", "add", "-q", str(folder), name)
    else:
        fork = _name(ask.earlier) if ask.earlier and ask.earlier != ask.session else ""
        start = fork if fork and _has(git, fork) else "HEAD"
        added = git("worktree", "add", "-q", "-b", name, str(folder), start)
    if added.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        why = " ".join(added.stderr.split())[:200]
        raise Rejected(f"git could not make a work tree for branch {name}: {why}")
    return not exists


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
