"""From what a caller says to a directory in which something may run."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from relay.names import spoken_key
from worker.policy import Policy, Project, Rejected, check


@dataclass(frozen=True)
class Place:
    """A directory inside a project. `root` and `directory` are real paths."""

    name: str
    project: Project
    root: Path
    directory: Path


def resolve(policy: Policy, project: str | None, working_dir: str | None) -> Place:
    """The place that *project* (a name or an alias) and *working_dir* (absolute, or relative to
    the project) mean together; both may be None when there is one project only.

    Asked when a command is accepted and again when it starts, because a directory may have
    become a link meanwhile. Raises Rejected with the way out."""
    if working_dir is not None:
        _refuse_strange(working_dir)
        if working_dir.startswith("/"):
            return _find(policy, project, working_dir)
    name = _choose(policy, project)
    root = _root(name, policy.projects[name])
    if working_dir is None:
        return Place(name, policy.projects[name], root, root)
    return _inside(name, policy.projects[name], root, root / working_dir)


def roots(policy: Policy, scope: str, caller: str) -> tuple[Path, ...]:
    """The real directories of all projects in which *caller* may ask for *scope*, whether they are there
    or not."""
    found = (one for name, one in policy.projects.items() if _may(policy, name, scope, caller))
    return tuple(Path(_real(one)) for one in found)


def _may(policy: Policy, name: str, scope: str, caller: str) -> bool:
    try:
        check(policy, name, scope, caller)
    except Rejected:
        return False
    return True


def _choose(policy: Policy, project: str | None) -> str:
    listed = _listed(policy)
    if project is None:
        if len(policy.projects) == 1:
            return next(iter(policy.projects))
        if not policy.projects:
            raise Rejected("This machine has no project yet; its owner adds one to policy.toml")
        raise Rejected(f"Which project? This machine knows {listed}")
    wanted = spoken_key(project)
    names = policy.spoken.get(wanted, ())
    if len(names) == 1:
        return names[0]
    if names:
        raise Rejected(f"{project!r} can mean {' or '.join(sorted(names))}; say which")
    raise Rejected(f"There is no project {project!r}{_perhaps(policy, wanted)}; this machine knows {listed}")


def _listed(policy: Policy) -> str:
    return ", ".join(sorted(policy.projects)) or "none"


def _perhaps(policy: Policy, wanted: str) -> str:
    """A question that names what sounds like *wanted*, never a guess."""
    alike = get_close_matches(wanted, policy.spoken, n=3, cutoff=0.7)
    near = sorted({name for key in alike for name in policy.spoken[key]})
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _find(policy: Policy, project: str | None, working_dir: str) -> Place:
    """The project that holds an absolute directory; the innermost when they are nested."""
    names = [_choose(policy, project)] if project is not None else list(policy.projects)
    places: list[Place] = []
    problem = Rejected(f"{working_dir} lies in no project; this machine knows {_listed(policy)}")
    for name in names:
        try:
            root = _root(name, policy.projects[name])
            places.append(_inside(name, policy.projects[name], root, Path(working_dir)))
        except _Missing:
            raise
        except Rejected as refusal:
            problem = refusal if project is not None else problem
    if not places:
        raise problem
    return max(places, key=lambda place: len(place.root.parts))


class _Missing(Rejected):
    """The directory itself is not there, whatever project it would lie in."""


def _refuse_strange(working_dir: str) -> None:
    if not working_dir or any(unicodedata.category(char) in {"Cc", "Cs"} for char in working_dir):
        raise Rejected("working_dir is empty or holds control characters; give a plain path")
    if working_dir.startswith("~") or "$" in working_dir:
        raise Rejected(f"working_dir {working_dir!r} is not expanded; write the path out")
    if ".." in working_dir.split("/"):
        raise Rejected(f"working_dir {working_dir!r} goes up with ..; give the path without it")


def _root(name: str, project: Project) -> Path:
    root = Path(_real(project))
    # Not Path.is_dir: a folder that may not be looked at, or a mount that has gone, is no reason to raise.
    if not os.path.isdir(root):  # noqa: PTH112
        raise Rejected(f"The folder of project {name}, {project.path}, is not there; see policy.toml")
    return root


def _real(project: Project) -> str:
    # Not Path.expanduser: one project with an impossible path must not stop all others.
    return os.path.realpath(os.path.expanduser(project.path))  # noqa: PTH111


def _inside(name: str, project: Project, root: Path, wanted: Path) -> Place:
    directory = Path(os.path.realpath(wanted))
    # Asked first: what is there and what is not outside of the projects is nobody's business.
    if directory != root and root not in directory.parents:
        raise Rejected(f"{wanted} lies outside project {name} ({root})")
    if not os.path.lexists(directory):
        raise _Missing(f"There is no directory {wanted} in project {name}")
    if not os.path.isdir(directory):  # noqa: PTH112 - as above
        raise _Missing(f"{wanted} is not a directory")
    if any(part.startswith(".") for part in directory.relative_to(root).parts):
        raise Rejected(f"{wanted} is a hidden directory; those are not for commands")
    return Place(name, project, root, directory)
