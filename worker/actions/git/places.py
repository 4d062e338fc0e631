"""Where the paths of a command lead to on this disk: what its words alone cannot tell."""

from __future__ import annotations

import os
from pathlib import Path

from worker.actions.base import Job
from worker.actions.git.parse import Verdict
from worker.actions.git.repository import Repository
from worker.actions.git.values import is_in_git_dir
from worker.policy import Rejected

_GITS = ("HEAD", "objects", "refs")


def check_paths(job: Job, verdict: Verdict, repository: Repository | None) -> None:
    """Raises Rejected when git would follow a path of *verdict* to where no command has business."""
    if verdict.subcommand == "mv" and repository is not None:
        _check_moved(job, verdict, repository)


def _named(verdict: Verdict) -> list[str]:
    """The words that are no options: paths, and where there are any, revisions."""
    words = verdict.argv[2:]
    paths = words[words.index("--") + 1 :] if "--" in words else ()
    before = words[: len(words) - len(paths)]
    return [*(word for word in before if not word.startswith("-")), *paths]


def _check_moved(job: Job, verdict: Verdict, repository: Repository) -> None:
    # git mv does not look whether a path leads through a link, and looks whether it may be tracked only
    # after it has moved the file.
    named = _named(verdict)
    for word in named:
        place = job.directory / word
        # A link may be moved itself; as the last word, what it points to is where things go.
        real = Path(os.path.realpath(place if word == named[-1] else place.parent))
        if not real.is_relative_to(job.root):
            raise Rejected(f"git mv stays inside the project; a link makes {word!r} lead to {real}")
        if is_in_git_dir(str(real.relative_to(job.root))) or _is_gits(real, job.root, repository):
            raise Rejected(
                f"git mv touches nothing of git's own, and {word!r} leads to {real}; name another place"
            )


def _is_gits(real: Path, root: Path, repository: Repository) -> bool:
    """Whether *real* is or lies in a git directory, whatever that is called: a bare repository, or where
    a .git file points to."""
    own = {repository.git_dir, repository.common_dir}
    inside = [one for one in (real, *real.parents) if one.is_relative_to(root)]
    return any(one in own or all((one / name).exists() for name in _GITS) for one in inside)
