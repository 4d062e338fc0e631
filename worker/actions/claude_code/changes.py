"""Which files changed while an assistant worked: from git, not from its words.

git runs as the `git` action runs it, with its rules, its forced environment and its checks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from worker.actions.base import Job
from worker.actions.git import Git
from worker.policy import Rejected
from worker.process import CannotStart

_Stamp = tuple[int, int, int] | None
_MOST_PATHS = 50
_MOST_LISTED = 500


@dataclass(frozen=True)
class Changes:
    """What is different from before; both None when git could not say."""

    files: list[str] | None
    """Paths below the top of the repository, in order; at most 500."""
    diffstat: str | None
    """`git diff --stat` of them against the commit from before, and a line for each new file."""


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
    except (Rejected, CannotStart):
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
        names = _git(here, "diff", "--name-only", before.commit, after.commit or "HEAD") or ""
        files |= {_unquoted(name) for name in names.splitlines()}
    listed = sorted(files)[:_MOST_LISTED]
    return Changes(listed, _diffstat(here, before, after, listed))


def between(job: Job, top: Path, base: str, tip: str) -> Changes:
    """What differs between two commits of the repository at *top*. Never raises Rejected."""
    here = replace(job, log=Path(os.devnull), directory=top, stop=lambda: False)
    try:
        names = _git(here, "diff", "--name-only", base, tip)
        known = _git(here, "diff", "--stat", base, tip)
    except (Rejected, CannotStart):
        return Changes(None, None)
    files = None if names is None else sorted(map(_unquoted, names.splitlines()))[:_MOST_LISTED]
    return Changes(files, known)


def _diffstat(job: Job, before: State, after: State, files: list[str]) -> str:
    if not files:
        return ""
    # Not all of many: a command line has its limits, and so has a page.
    paths = ["--", *files] if len(files) <= _MOST_PATHS else []
    known = _git(job, "diff", "--stat", before.commit, *paths) if before.commit else None
    new = [f" {path} | new\n" for path in files if after.files.get(path, ("",))[0] == "??"]
    return (known or "") + "".join(new)


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
    """A name as it is: git quotes unusual ones like C does, in bytes."""
    if not (name.startswith('"') and name.endswith('"') and len(name) > 1):
        return name
    raw = re.sub(
        rb'\\([0-7]{3}|["\\abfnrtv])',
        lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else _ESCAPES.get(m[1], m[1]),  # noqa: PLR2004
        name[1:-1].encode(),
    )
    return raw.decode("utf-8", "replace")


_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.lstat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_mode)
