"""Where the repository of a directory is, found as git would find it, and only inside the roots."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.policy import Rejected

_MAX_POINTER_BYTES = 8_192
_HEAD_BYTES = 255
# validate_headref in git's setup.c: its own idea of white space, letters of either case, whatever follows.
_HEAD = re.compile(rb"ref:[ \t\n\r]*refs/|[0-9a-fA-F]{40}")

_WORK_TREE = re.compile(rb'^[ \t]*worktree[ \t]*=[ \t]*"?([^"\r\n]+?)"?[ \t]*$', re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """A work tree and what belongs to it; all are real paths. `git_dir` and `common_dir` differ
    in a linked work tree only."""

    top: Path
    git_dir: Path
    common_dir: Path

    def config_files(self) -> tuple[Path, ...]:
        """Every file from which git reads this repository's configuration, unless one of them
        includes others."""
        return (self.common_dir / "config", self.git_dir / "config.worktree")


def find(directory: Path, root: Path, roots: Iterable[Path] = (), *, is_trusted: bool = False) -> Repository:
    """The repository that holds *directory*, which lies in *root*. Nothing above *root* is looked
    at. Its parts must lie in *root* or in one of *roots*, the other directories in which the same
    is allowed, and belong to the worker's user unless *is_trusted*. Raises Rejected."""
    within = (root, *roots)
    for top in (directory, *directory.parents):
        if repository := at(top, within, is_trusted=is_trusted):
            return repository
        if top == root:
            break
    raise Rejected(
        f"{directory} is in no git repository: there is no usable .git in it or above it up to {root}. "
        "git init makes one; bare repositories are not used from afar"
    )


def at(top: Path, roots: tuple[Path, ...], *, is_trusted: bool = False) -> Repository | None:
    """The repository whose work tree begins at *top*; None when git would see none there.
    Raises Rejected when its parts lie in none of *roots*, or belong to somebody else. The first of
    *roots* is the project's own: what lies in another one must know of this work tree."""
    found = _git_dir(top)
    if found is None:
        return None
    repository = Repository(top, *found)
    _check_inside(repository, roots)
    _check_known(repository, roots[0])
    if not is_trusted:
        _check_owner(repository)
    return repository


def lane(top: Path) -> Path | None:
    """What stands for the repository whose work tree begins at *top*: the same for all work trees and
    links that share it, and *top* itself for most. None when git would see none there."""
    found = _git_dir(top)
    if found is None:
        return None
    return found[1].parent if found[1].name == ".git" else found[1]


def nested(top: Path) -> Iterator[Path]:
    """Every directory below *top* that has a .git of its own: submodules and the like."""
    for folder, folders, files in os.walk(top):
        if folder != str(top) and (".git" in folders or ".git" in files):
            yield Path(folder)
        folders[:] = [name for name in folders if name != ".git"]


def is_empty(top: Path) -> bool:
    """Whether the .git at *top* is surely none, for any git: a folder without HEAD, or a file that leads
    nowhere. What `at` does not know and this does not either may be a repository for another git."""
    entry = top / ".git"
    try:
        return not os.path.lexists(entry / "HEAD") if entry.is_dir() else read_start(entry)[:7] != b"gitdir:"
    except FileNotFoundError:
        return True
    except OSError:
        return False


def has_hooks(repository: Repository) -> bool:
    """Whether there are hooks in their usual place."""
    hooks = repository.common_dir / "hooks"
    return hooks.is_dir() and any(not one.name.endswith(".sample") for one in hooks.iterdir())


def read_start(path: Path | str, most_bytes: int = _MAX_POINTER_BYTES) -> bytes:
    """How a file begins. Never waits: a pipe without a writer reads as empty. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(file, most_bytes)
    finally:
        os.close(file)


def _git_dir(top: Path) -> tuple[Path, Path] | None:
    """What top/.git is or points to, and where that keeps what work trees share; None when git
    would not accept it."""
    entry = top / ".git"
    try:
        if entry.is_dir():
            found = Path(os.path.realpath(entry))
        else:
            pointer = read_start(entry)
            if not pointer.startswith(b"gitdir: "):
                return None
            found = Path(os.path.realpath(top / os.fsdecode(pointer[8:].rstrip(b"\r\n"))))
        common = _common_dir(found)
        return (found, common) if _is_git_dir(found, common) else None
    except (OSError, ValueError):
        return None


def _is_git_dir(folder: Path, common: Path) -> bool:
    # As strict as git: commands that work without a repository (git diff a b compares any two
    # files) would else do so when git does not accept what we have found. What its configuration has
    # to do with that, git itself is asked (`audit`).
    for needed in (common / "objects", common / "refs"):
        if not needed.is_dir() or not os.access(needed, os.X_OK):
            return False
    head = folder / "HEAD"
    if head.is_symlink():
        return str(head.readlink()).startswith("refs/")
    return _HEAD.match(read_start(head)[:_HEAD_BYTES]) is not None


def _common_dir(git_dir: Path) -> Path:
    try:
        pointer = read_start(git_dir / "commondir")
    except FileNotFoundError:
        return git_dir
    if not pointer:
        raise ValueError("git does not take an empty one either")
    return Path(os.path.realpath(git_dir / os.fsdecode(pointer.rstrip(b"\r\n"))))


def _check_inside(repository: Repository, roots: tuple[Path, ...]) -> None:
    for part in (repository.git_dir, repository.common_dir):
        if not any(part.is_relative_to(root) for root in roots):
            raise Rejected(
                f"The repository of {repository.top} keeps its data in {part}, outside of the project. "
                "Add the directory that holds it to policy.toml as a project of its own"
            )


def _check_known(repository: Repository, own: Path) -> None:
    # Otherwise one written line in a .git file would let work in one project change another, past its
    # lane and past who may use it. git itself writes down which work tree belongs to what it keeps.
    git_dir, common_dir = repository.git_dir, repository.common_dir
    if git_dir.is_relative_to(own) and common_dir.is_relative_to(own):
        return
    if git_dir == common_dir:
        known = _named_by_config(git_dir)
    else:
        known = _named_by_worktree(git_dir) if git_dir.parent == common_dir / "worktrees" else None
    if known != repository.top:
        raise Rejected(
            f"{repository.top / '.git'} leads to {git_dir}, which belongs to {known or 'no other folder'} by "
            "what git wrote down there. If it was moved, git worktree repair puts that right"
        )


def _named_by_worktree(git_dir: Path) -> Path | None:
    try:
        pointer = os.fsdecode(read_start(git_dir / "gitdir").rstrip(b"\r\n"))
        return Path(os.path.realpath((git_dir / pointer).parent))
    except (OSError, ValueError):
        return None


def _named_by_config(git_dir: Path) -> Path | None:
    # Submodules say it there. That git reads it the same way is for the audit; here counts that
    # somebody who may write in there has named this folder.
    try:
        found = _WORK_TREE.search(read_start(git_dir / "config"))
        return Path(os.path.realpath(git_dir / os.fsdecode(found[1]))) if found else None
    except (OSError, ValueError):
        return None


def _check_owner(repository: Repository) -> None:
    # git checks this only when it looks for the repository by itself.
    for part in (repository.top, repository.git_dir, repository.common_dir):
        owner = part.stat().st_uid
        if owner not in {os.geteuid(), 0}:
            raise Rejected(
                f"{part} belongs to another user (number {owner}) than the worker (number {os.geteuid()}), "
                "who could change what git does; give it to the worker's user (chown), or set "
                "trust_repo_config = true for this project in policy.toml"
            )
