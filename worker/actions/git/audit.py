"""Does the configuration of a repository name programs or places that cannot be overruled, and does git
accept it at all?

Content filters, merge drivers, hooks in the configuration and the like have free names: there is no
value to force. A repository that has such a key is refused, unless its owner trusts it.

Why this is safe although git reads the files again, after us:

* The list of files is complete: git is told which repository to use (`forced`), the repository's
  own files are two (`Repository.config_files`), and a file that includes others is refused. The
  owner's ~/.gitconfig and the system's file are theirs, and trusted.
* git itself does the reading (`git config --file`), so there is no second parser that could differ.
* An answer is kept as long as device, inode, size, mtime and ctime of every file stay the same; ctime
  cannot be set by programs. A file that was changed less than a moment before is read again each
  time, because a second change could leave all of these as they are.
* Between the audit and git's own reading lie about two milliseconds. Whoever can change the file in
  that time runs as this user already and needs no git; a command cannot, as it writes none of these
  keys, and clones are not audited but made by ourselves, with no configuration of the other side.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.actions.git.repository import Repository
from worker.policy import Rejected

SETTLED_S = 2.0
"""How long a file must have been at rest before what was read of it is believed a second time: the
coarsest clock of a file system in use (FAT)."""
_MAX_KEPT = 500
_MAX_FOUND_CHARS = 50_000
# The bytes of the mode of a submodule in git's index, in every version of its format.
_GITLINK = b"\x00\x00\xe0\x00"

Read = Callable[[tuple[str, ...]], tuple[int, str, str]]
"""Run git with these words; its exit status, stdout and stderr."""

_Stamp = tuple[tuple[int, ...] | None, ...]

# One pattern for all of them, in the extended regular expressions of git. Names are lower case.
_ASKED = (
    r"^(filter\..*\.(clean|smudge|process)|merge\..*\.driver|hook\..*|include\.path|includeif\..*"
    r"|remote\..*\.(uploadpack|receivepack|vcs|proxy|fetch|push|mirror|prunetags)|branch\..*\.mergeoptions"
    r"|pull\.(twohead|octopus)|core\.(gitproxy|worktree|alternaterefscommand|virtualfilesystem|hookspath"
    r"|repositoryformatversion)"
    r"|extensions\..*|url\..*\.(insteadof|pushinsteadof)|credential\.(.*\.)?helper|http\..*"
    r"|submodule\..*\.update|lfs\.(customtransfer|extension|standalonetransferagent).*"
    r"|lfs\..*\.(standalonetransferagent)|(branch|tag)\.sort|blame\.ignorerevsfile|mailmap\.file)$"
)
_OFF = re.compile(r"false|no|off|0", re.IGNORECASE)
_HARMLESS = {
    # git-lfs writes exactly these when it is installed for one repository.
    r"filter\.lfs\.clean": re.compile(r"git-lfs clean -- %f"),
    r"filter\.lfs\.smudge": re.compile(r"git-lfs smudge (--skip )?-- %f"),
    r"filter\.lfs\.process": re.compile(r"git-lfs filter-process( --skip)?"),
    r"hook\..*\.enabled": re.compile(r".*"),
    r"core\.hookspath": re.compile(r".*", re.DOTALL),
    r"core\.repositoryformatversion": re.compile(r"[01]"),
    r"extensions\.(noop|preciousobjects|partialclone|worktreeconfig|relativeworktrees|objectformat"
    r"|compatobjectformat|refstorage)": re.compile(r".*"),
    # Not into branches of one's own: whatever is only there would be lost. So it is said which folders of
    # refs are for what others have, and a star stands only behind one of them.
    r"remote\..*\.fetch": re.compile(
        r"\^.*|\+?[^:+^]+(:|:refs/(remotes|tags|notes|pull|pulls|merge-requests|changes|keep-around)/[^:]+)?"
    ),
    r"remote\..*\.prunetags": _OFF,
    r"remote\..*\.push": re.compile(r"(?![+:]).+"),
    r"remote\..*\.mirror": _OFF,
    r"submodule\..*\.update": re.compile(r"checkout|rebase|merge|none"),
    r"http\.(.*\.)?(version|postbuffer|lowspeedlimit|lowspeedtime|maxrequests|minsessions)": re.compile(
        r".*"
    ),
    r"(branch|tag)\.sort": re.compile(r"(?!.*signature).*"),
    # Where they lead is asked each time (`Finding.files`).
    r"blame\.ignorerevsfile|mailmap\.file": re.compile(r"(?![/~:%])(?!.*\.\.).*"),
}


@dataclass(frozen=True)
class Finding:
    """What an audit found out, besides that nothing is wrong."""

    hooks: str | None = None
    """The value of core.hooksPath."""
    files: tuple[str, ...] = ()
    """Files of the work tree, relative to its top, that git reads besides what it is asked about."""


class Audits:
    """The audits of this process; kept until a file changes. Any number of threads may ask."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._kept: dict[tuple[Repository, bool], tuple[_Stamp, Finding]] = {}

    def check(self, repository: Repository, read: Read, *, is_trusted: bool = False) -> Finding:
        """Raises Rejected when the repository's configuration may not be obeyed, which is not asked when
        it *is_trusted*, or when git does not accept the repository. *read* runs git; it is used only when
        a file has changed since the last look."""
        stamp, key = _stamp(repository), (repository, is_trusted)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        finding = Finding() if is_trusted else _audit(repository, read)
        _check_accepted(repository, read)
        if _stamp(repository) != stamp:
            raise Rejected(f"The git configuration of {repository.top} is being changed just now; ask again")
        if self._is_settled(stamp):
            with self._lock:
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[key] = (stamp, finding)
        return finding

    def _is_settled(self, stamp: _Stamp) -> bool:
        latest = max((times[-1] for times in stamp if times is not None), default=0)
        return self._now() - latest / 1e9 > SETTLED_S


def has_submodules(repository: Repository) -> bool:
    """Whether the index names another repository inside this one. May say True wrongly, never False."""
    files = [repository.git_dir / "index", *repository.git_dir.glob("sharedindex.*")]
    return any(_GITLINK in path.read_bytes() for path in files if path.is_file())


def _stamp(repository: Repository) -> _Stamp:
    return tuple(_of(path) for path in repository.config_files())


def _of(path: Path) -> tuple[int, ...] | None:
    try:
        # Links are followed, as git does.
        stat = path.stat()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise Rejected(f"{path} cannot be read: {problem.strerror}") from None
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns)


def _audit(repository: Repository, read: Read) -> Finding:
    found: list[tuple[str, str]] = []
    for path in repository.config_files():
        if path.exists():
            found += _keys(repository, path, read)
    files = tuple(value for key, value in found if key in {"blame.ignorerevsfile", "mailmap.file"} and value)
    return Finding(dict(found).get("core.hookspath"), files)


def _check_accepted(repository: Repository, read: Read) -> None:
    # It depends on the version of git which formats and extensions it knows, and where it knows one not,
    # git diff a b compares any two files, through links as well.
    place = (f"--git-dir={repository.git_dir}", f"--work-tree={repository.top}")
    status, stdout, stderr = read((*place, "rev-parse", "--git-dir"))
    if status != 0:
        raise Rejected(
            f"git does not accept {repository.git_dir} as a repository: "
            f"{' '.join((stderr or stdout).split())[:200]}; put it right, or use the git that made it"
        )


def _keys(repository: Repository, path: Path, read: Read) -> list[tuple[str, str]]:
    status, stdout, stderr = read(
        ("config", "--no-includes", "--file", str(path), "-z", "--get-regexp", _ASKED)
    )
    if status not in {0, 1} or (status == 1 and stderr):
        raise Rejected(f"git cannot read {path}: {(stderr or stdout).strip()[:200]}; put it right first")
    if len(stdout) > _MAX_FOUND_CHARS:
        # Of a long output only head and tail are kept, so something could hide in between.
        raise Rejected(f"{path} has too many settings that would have to be looked at; shorten it first")
    found: list[tuple[str, str]] = []
    for entry in filter(None, stdout.split("\0")):
        key, _, value = entry.partition("\n")
        _judge(repository, key, value)
        found.append((key, value))
    return found


def _judge(repository: Repository, key: str, value: str) -> None:
    if key == "core.worktree":
        # Submodules have it. It is overruled; elsewhere it tells of another work tree than is shown.
        if os.path.realpath(repository.git_dir / value) == str(repository.top):
            return
    elif any(re.fullmatch(name, key) and one.fullmatch(value) for name, one in _HARMLESS.items()):
        return
    shown = "".join(char if char.isprintable() else "?" for char in key)[:100]
    raise Rejected(
        f"The git configuration of {repository.top} sets {shown}, which can start a program, send data "
        "elsewhere or overwrite work, and cannot be overruled. Remove it (git config --unset), or set "
        "trust_repo_config = true for this project in policy.toml if it is yours"
    )
