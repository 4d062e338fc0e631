"""Which files changed while an assistant worked: from git, not from its words.

git runs as the `git` action runs it, with its rules, its forced environment and its checks."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from worker.actions.base import Job
from worker.actions.git import Git
from worker.actions.git.inquiry import unquoted
from worker.policy import Rejected
from worker.process import CannotStart
from worker.redact import MAX_SECRET_CHARS, Redactor

_Stamp = tuple[int, int, int] | None
_MOST_PATHS = 50
_MOST_LISTED = 500
_MOST_PATCH = 60_000
"""Characters: what somebody reads on a phone, and what a row may hold."""
_REST = "[the rest is left out]\n"


@dataclass(frozen=True)
class Changes:
    """What is different from before; all None when git could not say."""

    files: list[str] | None
    """Paths below the top of the repository, in order; at most 500."""
    diffstat: str | None
    """`git diff --stat` of them against the commit from before, and a line for each new file."""
    patch: str | None = None
    """The same as `git diff` shows it, new files whole; the end of a long one is left out."""


@dataclass(frozen=True)
class State:
    """A work tree at one moment: which files differ from the last commit, and how they look."""

    top: Path
    commit: str | None
    """None when there is none yet."""
    files: Mapping[str, tuple[str, _Stamp]]


def look(job: Job, *, files: bool = True) -> State | None:
    """How the work tree is now; None where there is no repository. Without *files* nothing is said
    about them, which is quicker.

    Raises Rejected when git must not be used here, which holds for an assistant as well: it asks git
    by itself, and git would start what the repository's configuration names."""
    top = next((one for one in (job.directory, *job.directory.parents) if (one / ".git").exists()), None)
    if top is None or (top != job.root and job.root not in top.parents):
        return None
    here = replace(job, log=Path(os.devnull), directory=top)
    commit = _git(here, "log", "--max-count=1", "--format=oneline")
    listed = _git(here, "status", "--porcelain", "--untracked-files=all") if files else ""
    if listed is None:
        return None
    states = {path: (state, _stamp(top / path)) for state, path in _paths(listed)}
    return State(top, commit.split()[0] if commit else None, states)


def since(before: State | None, job: Job) -> Changes:
    """What has changed since *before*. Never raises Rejected: the work is done, and has its result."""
    # Also after a cancel, which says stop to everything.
    job = replace(job, stop=lambda: False)
    try:
        after = look(job) if before else None
    except _REFUSALS:
        after = None
    if before is None or after is None:
        return Changes(None, None)
    here = replace(job, log=Path(os.devnull), directory=before.top)
    files = {
        path
        for path in before.files.keys() | after.files.keys()
        if before.files.get(path) != after.files.get(path)
    }
    if before.commit and after.commit != before.commit:
        names = _told(here, "diff", "--name-only", before.commit, after.commit or "HEAD") or ""
        files |= {_unquoted(name) for name in names.splitlines()}
    listed = sorted(files)[:_MOST_LISTED]
    return Changes(listed, _diffstat(here, before, after, listed), _patch(here, before, after, listed))


def between(job: Job, top: Path, base: str, tip: str) -> Changes:
    """What differs between two commits of the repository at *top*. Never raises Rejected."""
    here = replace(job, log=Path(os.devnull), directory=top, stop=lambda: False)
    names = _told(here, "diff", "--name-only", base, tip)
    known = _told(here, "diff", "--stat", base, tip)
    patch = _told(here, "diff", base, tip)
    files = None if names is None else sorted(map(_unquoted, names.splitlines()))[:_MOST_LISTED]
    return Changes(files, known, None if patch is None else _cut(patch))


def _diffstat(job: Job, before: State, after: State, files: list[str]) -> str:
    if not files:
        return ""
    # Not all of many: a command line has its limits, and so has a page.
    paths = ["--", *files] if len(files) <= _MOST_PATHS else []
    known = _told(job, "diff", "--stat", before.commit, *paths) if before.commit else None
    new = [f" {path} | new\n" for path in files if after.files.get(path, ("",))[0] == "??"]
    return (known or "") + "".join(new)


def _patch(job: Job, before: State, after: State, files: list[str]) -> str:
    if not files:
        return ""
    paths = ["--", *files] if len(files) <= _MOST_PATHS else []
    known = _told(job, "diff", before.commit, *paths) if before.commit else None
    parts, room = [known or ""], _MOST_PATCH
    for path in (path for path in files if after.files.get(path, ("",))[0] == "??"):
        room -= len(parts[-1])
        if room <= 0:
            break
        parts.append(_as_new(before.top, path, room, job.redactor))
    return _cut("".join(parts))


def _as_new(top: Path, path: str, most: int, redactor: Redactor | None) -> str:
    """A file that git does not know yet, as a patch would show it."""
    head = f"diff --git a/{path} b/{path}\nnew file\n"
    try:
        # Neither a link, which may lead out of the repository, nor a pipe, which nobody may ever fill.
        opened = os.open(top / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(opened, "rb") as file:
            # A little more: a secret across the cut must be recognised before it is cut.
            raw = file.read(most + 2 * MAX_SECRET_CHARS) if stat.S_ISREG(os.fstat(opened).st_mode) else b"\0"
    except OSError:
        raw = b"\0"
    if b"\0" in raw:
        return f"{head}It is no text\n"
    text = raw.decode("utf-8", "replace")
    text = redactor.clean(text) if redactor else text
    lines = text[:most].splitlines()
    added = "".join(f"+{line}\n" for line in lines) + (_REST if len(text) > most else "")
    return f"{head}--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n{added}"


def _cut(patch: str) -> str:
    return patch if len(patch) <= _MOST_PATCH else f"{patch[:_MOST_PATCH]}\n{_REST}"


_REFUSALS = (Rejected, CannotStart, OSError)


def _told(job: Job, *words: str) -> str | None:
    """`_git`, afterwards: whatever keeps git from telling, the work is done and must not be lost for it."""
    try:
        return _git(job, *words)
    except _REFUSALS:
        return None


def _git(job: Job, *words: str) -> str | None:
    """What git printed; None when it did not like it. The one place where `worker.actions.git` is used."""
    outcome = Git(command=["git", *words], timeout=30).run(job)
    data = outcome.output_data
    return str(data["stdout"]) if data.get("returncode") == 0 else None


def _paths(listed: str) -> list[tuple[str, str]]:
    """State and path of each line of `git status --porcelain`; of a renamed file both paths."""
    found = []
    for line in listed.splitlines():
        state, names = line[:2], [line[3:]]
        if "R" in state or "C" in state:
            # Names with spaces are quoted.
            both = re.findall(r'"(?:[^"\\]|\\.)*"|[^" ]+', line[3:])
            names = [both[0], both[-1]]
        found += [(state, _unquoted(name)) for name in names]
    return found


def _unquoted(name: str) -> str:
    """A name as people read it; what is no text in it is replaced."""
    return unquoted(name).decode("utf-8", "replace")


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.lstat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_mode)
