"""Does anything in a git directory lead out of it: links, lists of further object directories, and the
remotes of old that no audit of the configuration sees?

git follows a link in there wherever it leads. An error then shows a line of a file of somebody else,
the message of a commit overwrites one, a line of a log is added to another. So every folder in which
git reads and writes by name is looked through, before each command. What was seen in a folder is kept as
long as the folder stays as it is: its times change with every entry that comes or goes, and ctime cannot
be set by programs. One look at an unchanged folder is one stat, however many refs are in it.

Not looked at: single loose objects (who knows the id of an object has seen it) and hooks, which do not run.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.actions.git.repository import Repository, read_start
from worker.policy import Rejected

SETTLED_S = 2.0
"""How long a folder must have been at rest before what was seen in it is believed a second time."""
MAX_FOLDERS = 5_000
_MAX_KEPT = 20_000
_MAX_ALTERNATES, _MAX_ALTERNATES_BYTES = 50, 65_536
# Below these everything counts, below those the first level; objects are on their own.
_DEEP = frozenset({"refs", "logs"})
_FLAT = frozenset({"info", "sequencer", "rebase-merge", "rebase-apply"})
_LEGACY = frozenset({"remotes", "branches"})
_YOURS = "or set trust_repo_config = true for this project in policy.toml if it is yours"


@dataclass(frozen=True)
class _Folder:
    """What is in a folder: links, and folders, also those that are reached by a link."""

    links: tuple[str, ...]
    folders: tuple[str, ...]
    is_empty: bool


_NONE = _Folder((), (), is_empty=True)
_Stamp = tuple[int, int, int, int]


class Insides:
    """What this process has seen in git directories. Any number of threads may ask."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[_Stamp, _Folder]] = {}

    def check(self, repository: Repository, roots: tuple[str, ...]) -> None:
        """Raises Rejected when something in the repository leads to none of *roots*, real paths, or back
        into its own work tree, or when it has remotes besides those of its configuration."""
        look = _Look(self._seen, repository, roots)
        for base in {str(repository.git_dir), str(repository.common_dir)}:
            look.at_git_dir(base)

    def _seen(self, path: str) -> _Folder:
        try:
            stat = os.stat(path)  # noqa: PTH116 - a Path for each would take longer than the look
        except OSError:
            return _NONE
        stamp = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        folder = _read(path)
        if self._now() - stat.st_ctime > SETTLED_S:
            with self._lock:
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[path] = (stamp, folder)
        return folder


def _read(path: str) -> _Folder:
    links: list[str] = []
    folders: list[str] = []
    is_empty = True
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                is_empty = False
                if entry.is_symlink():
                    links.append(entry.name)
                if entry.is_dir():
                    folders.append(entry.name)
    except OSError as problem:
        raise Rejected(f"{path} cannot be looked through: {problem.strerror}; put that right first") from None
    return _Folder(tuple(links), tuple(folders), is_empty)


class _Look:
    """One look at one repository."""

    def __init__(
        self, seen: Callable[[str], _Folder], repository: Repository, roots: tuple[str, ...]
    ) -> None:
        self._seen = seen
        self._own = (str(repository.git_dir), str(repository.common_dir))
        self._top = str(repository.top)
        self._roots = roots
        self._count = 0

    def at_git_dir(self, base: str) -> None:
        for name in self._folders(base, allowed="hooks"):
            path = f"{base}/{name}"
            if name in _DEEP:
                self._all_below(path)
            elif name in _FLAT:
                self._folders(path)
            elif name == "worktrees":
                for one in self._folders(path):
                    self._folders(f"{path}/{one}")
            elif name == "objects":
                self._objects(path)
            elif name in _LEGACY and not self._seen(path).is_empty:
                raise Rejected(
                    f"{path} has remotes that git fetches from by rules which stand in no configuration; "
                    f"move them there (git remote rename NAME NAME) and empty the folder, {_YOURS}"
                )

    def _folders(self, path: str, allowed: str = "") -> tuple[str, ...]:
        """The folders in *path*, in which no link leads away but the one that is *allowed*."""
        self._count += 1
        if self._count > MAX_FOLDERS:
            raise Rejected(
                f"{self._own[0]} has more than {MAX_FOLDERS} folders of refs and logs, too many to look "
                "through each time; git pack-refs --all and git reflog expire --all make them fewer"
            )
        seen = self._seen(path)
        for name in seen.links:
            real = os.path.realpath(f"{path}/{name}")
            if name != allowed and not self._is_fine(real):
                raise Rejected(
                    f"{path}/{name} is a link to {real}, and git would read or write there; put what it "
                    f"needs in its place, {_YOURS}"
                )
        return seen.folders

    def _all_below(self, path: str) -> None:
        pending = [path]
        while pending:
            one = pending.pop()
            pending += [f"{one}/{name}" for name in self._folders(one)]

    def _objects(self, path: str) -> None:
        for one in self._with_alternates(os.path.realpath(path)):
            folders = self._folders(one)
            for name in ("info", "pack"):
                if name in folders:
                    self._folders(f"{one}/{name}")

    def _with_alternates(self, path: str) -> Iterator[str]:
        """*path*, and every object directory that git adds to it."""
        found = [path]
        for one in found:
            yield one
            for line in _alternates(one):
                real = os.path.realpath(f"{one}/{line}" if not line.startswith("/") else line)
                if line.startswith('"') or not self._is_fine(real):
                    raise Rejected(
                        f"{one}/info/alternates adds the objects in {real}, outside of this project; "
                        "add what they belong to to policy.toml as a project, git repack -ad and remove that "
                        f"file, {_YOURS}"
                    )
                if real not in found:
                    found.append(real)
            if len(found) > _MAX_ALTERNATES:
                raise Rejected(
                    f"{path} has more than {_MAX_ALTERNATES} alternates; git repack -ad needs none"
                )

    def _is_fine(self, real: str) -> bool:
        if _is_in(real, self._own):
            return True
        # A link into the work tree makes git read what it ignores, or overwrite what is not committed.
        return _is_in(real, self._roots) and not _is_in(real, (self._top,))


def _alternates(objects: str) -> list[str]:
    try:
        data = read_start(f"{objects}/info/alternates", _MAX_ALTERNATES_BYTES)
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise Rejected(f"{objects}/info/alternates cannot be read: {problem.strerror}") from None
    if len(data) == _MAX_ALTERNATES_BYTES:
        raise Rejected(f"{objects}/info/alternates is too long; git repack -ad, then it can go")
    return [line for line in os.fsdecode(data).split("\n") if line and not line.startswith("#")]


def _is_in(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in folders)
