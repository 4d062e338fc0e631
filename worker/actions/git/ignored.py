"""Would a command overwrite files that git ignores? It does so silently: nobody has a copy of .env.

switch, checkout and a merge that only goes forward are told not to. A merge of two lines, cherry-pick,
revert, rebase and stash have no such option, so the names that they would write are found out before, as
a list that is never too short, and compared with what is on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.actions.base import Job
from worker.actions.git.inquiry import names, or_refuse
from worker.actions.git.parse import Verdict
from worker.actions.git.places import named
from worker.actions.git.repository import Repository
from worker.policy import Rejected

_PLAIN = ("--name-only", "--no-renames", "--no-relative", "--no-ext-diff")
_LOG = ("-c", "log.showRoot=true", "log", *_PLAIN, "--format=", "--no-notes", "--diff-merges=separate")
_TREES = ("diff-tree", "-r", *_PLAIN)


def check_ignored(job: Job, verdict: Verdict, repository: Repository) -> None:
    """Raises Rejected when *verdict* would overwrite or remove a file that git ignores."""
    find = _WRITTEN.get(verdict.subcommand)
    if find is None or "--abort" in verdict.argv:
        return
    command = _Command(job, verdict, repository)
    command.refuse_loss(find(command))


def check_fetched(job: Job, verdict: Verdict, repository: Repository, commits: Iterable[str]) -> None:
    """The same for a pull that is to put *commits* below or above the checkout's own."""
    command = _Command(job, verdict, repository)
    for one in commits:
        command.refuse_loss(command.new_in(one))
        if "--rebase" in verdict.argv:
            command.refuse_loss(
                command.names(*_LOG, "--diff-filter=d", "HEAD", f"^{one}", "--", of=("HEAD",))
            )


@dataclass(frozen=True)
class _Command:
    """A command, and what git says about it."""

    job: Job
    verdict: Verdict
    repository: Repository

    def names(self, *words: str, of: Iterable[str] = (), given: bytes = b"") -> list[str]:
        """The names that git lists; none when one of *of* is no commit, of which git will tell itself."""
        found = names(self.job, self.verdict, self.repository, words, given)
        if found is None and not all(self.is_commit(one) for one in of):
            return []
        return or_refuse(found, f"what git {self.verdict.subcommand} would change")

    def is_commit(self, name: str) -> bool:
        words = ("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return bool(names(self.job, self.verdict, self.repository, words))

    def new_in(self, *commits: str) -> Iterator[str]:
        """What is in one of *commits* and not in the checkout's own."""
        for one in commits:
            words = (*_TREES, "--diff-filter=A", "HEAD", one, "--")
            found = names(self.job, self.verdict, self.repository, words)
            if found is None:
                # Or nothing is committed yet; then all of it is new.
                found = self.names("ls-tree", "-r", "--name-only", "--full-tree", one, of=(one,))
            yield from found

    def refuse_loss(self, written: Iterable[str]) -> None:
        """Raises Rejected when one of the names that are *written* is ignored, and there."""
        if lost := next(self._lost(written), None):
            raise Rejected(
                f"git {self.verdict.subcommand} would overwrite {lost}, which git ignores and has no copy "
                "of; move it away first"
            )

    def _lost(self, written: Iterable[str]) -> Iterator[str]:
        """Of the names that are *written*, or that stand in their way, those that git ignores."""
        top = self.repository.top
        there = dict.fromkeys(found for name in written if (found := _in_the_way(top, name)))
        if not there:
            return
        # Quoted as C does, so that there is no name which cannot be given.
        lines = ("".join(f"\\{byte:03o}" for byte in os.fsencode(name)) for name in there)
        given = "".join(f'"{line}"\n' for line in lines).encode()
        yield from self.names("check-ignore", "--stdin", given=given)
        for name in there:
            if (top / name).is_dir():
                # A folder goes when everything that is left in it is ignored.
                options = ("--others", "--ignored", "--exclude-standard")
                yield from self.names("ls-files", *options, "--", f":(top,literal){name}")


def _in_the_way(top: Path, name: str) -> str | None:
    """What of *name* is there, and would have to go: itself, or what is no folder on the way to it."""
    place = str(top)
    *folders, last = name.split("/")
    for folder in folders:
        place = f"{place}/{folder}"
        if os.path.islink(place) or not os.path.isdir(place):  # noqa: PTH112, PTH114 - thousands of names
            break
    else:
        place = f"{place}/{last}"
    return place[len(str(top)) + 1 :] if os.path.lexists(place) else None


def _by_merge(command: _Command) -> Iterator[str]:
    for one in named(command.verdict):
        new = set(command.new_in(one))
        # Only few are there at all, and of these most were there before and deleted here: they stay so.
        there = [name for name in new if _in_the_way(command.repository.top, name)]
        if there and not command.is_commit("HEAD"):
            yield from there
        elif there:
            bases = command.names("merge-base", "--all", "HEAD", one, of=(one,))
            changed = (command.names(*_TREES, "--diff-filter=d", base, one, "--") for base in bases)
            yield from {name for some in changed for name in some}.intersection(there)


def _by_picking(command: _Command) -> list[str]:
    words = named(command.verdict)
    return command.names(*_LOG, "--no-walk=unsorted", "--diff-filter=d", *words, "--", of=words)


def _by_reverting(command: _Command) -> list[str]:
    words = named(command.verdict)
    return command.names(*_LOG, "--no-walk=unsorted", "--diff-filter=a", *words, "--", of=words)


def _by_rebase(command: _Command) -> Iterator[str]:
    options, words = command.verdict.argv[2:], named(command.verdict)
    upstream, branch = (*words, *("@{upstream}", "HEAD")[len(words) :])
    onto = [word.removeprefix("--onto=") for word in options if word.startswith("--onto=")]
    yield from command.new_in(*(onto or [upstream]), branch)
    # What is picked again may have been deleted later.
    again = (branch,) if "--root" in options else (branch, f"^{upstream}")
    yield from command.names(*_LOG, "--diff-filter=d", *again, "--", of=(branch, upstream))


def _by_stash(command: _Command) -> list[str]:
    verb, *words = named(command.verdict) or [""]
    if verb not in {"apply", "pop"}:
        # What was taken out of the index only comes back as it is in the last commit.
        return command.names("diff-index", "--cached", *_PLAIN, "--diff-filter=D", "HEAD", "--", of=("HEAD",))
    stash = f"stash@{{{words[0] if words else 0}}}" if not words or words[0].isdigit() else words[0]
    return command.names(*_TREES, "--diff-filter=d", f"{stash}^1", stash, "--", of=(stash,))


_WRITTEN: dict[str, Callable[[_Command], Iterable[str]]] = {
    "merge": _by_merge, "cherry-pick": _by_picking, "revert": _by_reverting, "rebase": _by_rebase,
    "stash": _by_stash,
}  # fmt: skip
