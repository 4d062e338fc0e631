"""`git pull`, in two steps: what it would write is known only once it is here.

git pull knows no --no-overwrite-ignore. So it is fetched first. Going forward is then what git itself
does next, a merge of what came; for a rebase git pull is run after all, and asks the remote once more,
since where a rebase begins is something that it alone knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from worker.actions.base import Job
from worker.actions.git.ignored import check_fetched
from worker.actions.git.parse import Verdict
from worker.actions.git.places import named
from worker.actions.git.repository import Repository, read_start
from worker.process import Completed

Run = Callable[[tuple[str, ...], float, Mapping[str, str]], Completed]
"""Run git with these words, for so many seconds at most, with so much more in its environment."""

_FETCHING = frozenset({"-p", "--prune", "-t", "--tags", "-q", "--quiet", "-v", "--verbose"})
_MERGING = frozenset({"-q", "--quiet", "-v", "--verbose"})
_MOST_BYTES = 65_536
# Those to be merged stand first, and have nothing between their tabs.
_TO_MERGE = re.compile(rb"^([0-9a-f]{40,64})\t\t", re.MULTILINE)


def pull(job: Job, verdict: Verdict, repository: Repository, timeout: float, run: Run) -> Completed:
    """Fetch, and what follows unless it would overwrite what git ignores. Raises Rejected then."""
    options = verdict.argv[2:]
    asked = [one for one in options if one in _FETCHING]
    fetch = ("git", "fetch", "--no-recurse-submodules", *asked, *named(verdict))
    fetched = run(fetch, timeout, {})
    if fetched.returncode != 0:
        return fetched
    commits = _to_merge(repository)
    check_fetched(job, verdict, repository, commits)
    left = max(1.0, timeout - fetched.seconds)
    if not commits or "--rebase" in options:
        return run(verdict.argv, left, {})
    said = [one for one in options if one in _MERGING]
    merge = ("git", "merge", "--ff-only", "--no-edit", "--no-overwrite-ignore", *said, *commits)
    return run(merge, left, {"GIT_REFLOG_ACTION": "pull"})


def _to_merge(repository: Repository) -> tuple[str, ...]:
    try:
        text = read_start(repository.git_dir / "FETCH_HEAD", _MOST_BYTES)
    except FileNotFoundError:
        return ()
    return tuple(found.decode() for found in _TO_MERGE.findall(text))
