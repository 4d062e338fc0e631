"""Where the paths of a command lead to on this disk: what its words alone cannot tell."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from worker.actions.base import Job
from worker.actions.git.inquiry import names, or_refuse
from worker.actions.git.parse import Verdict
from worker.actions.git.repository import Repository
from worker.actions.git.values import is_in_git_dir
from worker.policy import Rejected

_GITS = ("HEAD", "objects", "refs")
_LOOKING = frozenset({"-m", "--modified", "-d", "--deleted", "-k", "--killed", "--eol"})


def check_paths(job: Job, verdict: Verdict, repository: Repository) -> None:
    """Raises Rejected when git would follow a path of *verdict* to where no command has business. Most
    sub-commands look themselves whether a folder on the way to a file is a link; these do not."""
    if verdict.subcommand == "mv":
        _check_moved(job, verdict, repository)
    elif verdict.subcommand in {"blame", "diff"}:
        # diff only where one side is a file and the other one not: git diff HEAD:a b.
        _check_direct(job, verdict)
    elif _reads_tracked(verdict):
        _check_tracked(job, verdict, repository)


def check_configured(repository: Repository, files: Iterable[str]) -> None:
    """Raises Rejected when one of *files*, which the configuration has git read, is not below the top."""
    for name in files:
        real = Path(os.path.realpath(repository.top / name))
        if not real.is_relative_to(repository.top) or is_in_git_dir(str(real.relative_to(repository.top))):
            raise Rejected(
                f"The git configuration of {repository.top} has git read {name}, a link to {real}; name "
                "a file of the project there, or set trust_repo_config = true for it in policy.toml"
            )


def _reads_tracked(verdict: Verdict) -> bool:
    """Whether git opens, by the names in its index, whatever stands there now."""
    words = verdict.argv[2:]
    options = {*(words[: words.index("--")] if "--" in words else words)}
    if verdict.subcommand == "grep":
        return "--cached" not in options
    return verdict.subcommand == "ls-files" and not _LOOKING.isdisjoint(options)


def _check_direct(job: Job, verdict: Verdict) -> None:
    for word in named(verdict):
        if link := _link_on_the_way(job.directory, word):
            raise Rejected(
                f"{word!r} leads through the link {link}, and git {verdict.subcommand} would follow it; "
                "name a path without links"
            )


def _check_tracked(job: Job, verdict: Verdict, repository: Repository) -> None:
    # For git, files behind a link are gone, so they are among what it misses; everything else is as it
    # is tracked. That is quick where git looks at all files anyway.
    missed = names(
        job, verdict, repository, ("diff-files", "--name-only", "--no-relative", "--diff-filter=DU")
    )
    for name in or_refuse(missed, "which files are missing"):
        if link := _link_on_the_way(repository.top, name):
            raise Rejected(
                f"git {verdict.subcommand} would read {name} through {link}, a link where git has a folder; "
                "put the folder back or commit the link, or look at what is staged (git grep --cached)"
            )


def _link_on_the_way(start: Path, path: str) -> Path | None:
    """The first link among the folders that lead from *start* to *path*."""
    place = start
    for part in path.split("/")[:-1]:
        place = place / part
        if place.is_symlink():
            return place
    return None


def named(verdict: Verdict) -> list[str]:
    """The words of *verdict* that are no options: verbs, revisions, paths."""
    words = verdict.argv[2:]
    paths = words[words.index("--") + 1 :] if "--" in words else ()
    before = words[: len(words) - len(paths)]
    return [*(word for word in before if not word.startswith("-")), *paths]


def _check_moved(job: Job, verdict: Verdict, repository: Repository) -> None:
    # git mv does not look whether a path leads through a link, and looks whether it may be tracked only
    # after it has moved the file.
    words = named(verdict)
    for word in words:
        place = job.directory / word
        # A link may be moved itself; as the last word, what it points to is where things go.
        real = Path(os.path.realpath(place if word == words[-1] else place.parent))
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
    # A work tree may lie in a bare repository; only from there on up everything is git's.
    end = repository.top if real.is_relative_to(repository.top) else root
    inside = [one for one in (real, *real.parents) if one.is_relative_to(end)]
    return any(one in own or all((one / name).exists() for name in _GITS) for one in inside)
