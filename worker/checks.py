"""What `make doctor` makes of what it saw: each verdict is one sentence with the way out (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from relay.protocol import Reason, Status
from worker.policy import Policy

TITLE = "make doctor"
"""The title of the doctor's own commands; they do not count as use of a front door."""
OLDEST_GIT = (2, 38)
"""From this one on git can be kept out of bare repositories that somebody hid in a project."""
SLOW_S = 2.0


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  #: it works, and should be thought about
    PROBLEM = "problem"  #: something does not work, or is open to others


@dataclass(frozen=True)
class Finding:
    """One line of the report: *subject* is a word, *text* one sentence with the way out."""

    level: Level
    subject: str
    text: str


@dataclass(frozen=True)
class Door:
    """A way in, by the caller's name: when it was used last (None: never) and how often."""

    name: str
    used_at: datetime | None = None
    times: int = 0


def ok(subject: str, text: str) -> Finding:
    """As it should be."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str) -> Finding:
    """It works; *text* says what to think about."""
    return Finding(Level.WARNING, subject, text)


def problem(subject: str, text: str) -> Finding:
    """It does not work, or is open to others; *text* says the way out."""
    return Finding(Level.PROBLEM, subject, text)


def of_modes(modes: Mapping[str, int]) -> Iterator[Finding]:
    """*modes*: path → permission bits of each file of ours that is there."""
    open_ones = {path: mode for path, mode in modes.items() if mode & 0o077}
    for path, mode in open_ones.items():
        fix = "go=" if mode & 0o100 else "600"
        yield problem("files", f"{path} is open to others on this machine ({mode:o}): chmod {fix} {path}")
    if modes and not open_ones:
        yield ok("files", f"Only you can read {', '.join(modes)}.")


def of_names(given: Collection[str], known: Collection[str]) -> Iterator[Finding]:
    """Settings that `.env` gives and nothing reads."""
    for name in sorted(set(given) - set(known)):
        yield warning("settings", f".env sets {name}, which nothing reads; .env.example has every name.")


def of_policy(policy: Policy, *, is_public: bool, callers: Collection[str] | None) -> Iterator[Finding]:
    """What the policy lets in. *is_public*: the relay can be reached from other machines. *callers*:
    every name that a caller can have, None when that is not known here."""
    names = ", ".join(sorted(policy.projects))
    if not names:
        yield problem(
            "policy", "policy.toml names no project, so nothing may run; examples/policy.toml has one."
        )
    else:
        yield ok("policy", f"policy.toml can be used; it knows {names}.")
    if is_public:
        yield from _unasked(policy)
    for name, project in sorted(policy.projects.items()):
        if project.trust_repo_config:
            yield warning(
                "policy",
                f"In {name} the repository's own hooks and settings run (trust_repo_config); keep it "
                "only if you would run every commit of it blindly.",
            )
    for name in sorted(policy.callers.keys() - set(callers)) if callers is not None else ():
        yield warning(
            "policy",
            f"policy.toml limits the caller {name}, but no key has that name and it never called; "
            "look at the spelling, or the real one is not limited.",
        )


def _unasked(policy: Policy) -> Iterator[Finding]:
    """What runs from anywhere without a person's yes, although it can do anything."""
    asked = policy.approval.require
    for name, project in sorted(policy.projects.items()):
        if project.shell == "full" and "shell.full" not in asked:
            yield warning(
                "policy",
                f"Whoever has a key of your public relay may run any shell command in {name}, unasked; "
                'set shell = "named" there, or add "shell.full" to [approval] require.',
            )
        if "full" in project.claude and "claude.full" not in asked:
            yield warning(
                "policy",
                f"Whoever has a key of your public relay may let Claude Code do anything in {name}, "
                'unasked; take "full" from claude there, or put "claude.full" back into [approval] require.',
            )


def of_keys(keys: Mapping[str, str], *, is_public: bool) -> Iterator[Finding]:
    """*keys*: API key → caller."""
    if is_public and "default" in keys.values():
        yield warning(
            "keys",
            "A key of your public relay has no name; give every caller its own "
            "(API_KEY=owner=…,phone=…), so that one can be taken away.",
        )


def of_answer(setting: str, status: int) -> Finding | None:
    """What the relay said to a key of ours; None when it took it."""
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return problem(
            "keys",
            f"The relay does not take {setting} from .env ({status}); copy the one that the relay was "
            "started with, and start the listener and the worker again.",
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return problem(
            "keys", f"The relay wants a pause before it looks at {setting} (429); try again in a minute."
        )
    return None


def of_machine(machines: Sequence[Mapping[str, Any]], name: str) -> Finding:
    """*machines*: the relay's answer about all of them. *name*: what this one is called."""
    mine = next((one for one in machines if one["name"] == name), None)
    if mine is None:
        known = ", ".join(one["name"] for one in machines)
        return problem(
            "machine", f"The relay knows {known}, not {name}; put MACHINE_NAME or MACHINE_KEY right."
        )
    if mine["online"]:
        busy, queued = count(mine["busy"], "task"), mine["queued"]
        return ok("machine", f"{name} is connected; {busy} running, {queued} waiting for a free worker.")
    return problem(
        "machine",
        f"{name} is not connected, with {count(mine['waiting'], 'webhook')} waiting for it; start the "
        "listener (make run, or make listener), and read what it prints.",
    )


def of_door(status: int, address: str) -> Finding | None:
    """What `/mcp` at *address* said to us; None when this relay has none."""
    if status == HTTPStatus.NOT_FOUND:
        return None
    if status == HTTPStatus.MISDIRECTED_REQUEST:
        return warning(
            "door",
            f"Assistants are turned away at {address}/mcp, because the relay does not know this address: "
            f"set PUBLIC_URL={address} there.",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem("door", f"{address}/mcp answers with {status}; the relay's log says why.")
    return ok("door", f"Assistants can come in at {address}/mcp.")


def of_chain(task: Mapping[str, Any], seconds: float) -> Finding:
    """*task*: the relay's view of the no-op, *seconds* after it was posted."""
    took = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} seconds"
    there = f"A command went to the worker and its result came back in {took}"
    if task["status"] == Status.COMPLETED:
        slow = warning("chain", f"{there}; that is slow, look at the connection and at what else runs.")
        return ok("chain", f"{there}.") if seconds < SLOW_S else slow
    error = str(task["error"]).rstrip(".")
    if task["reason"] == Reason.REJECTED:
        return warning("chain", f"{there}, but it was refused: {error}.")
    if task["status"] == Status.FAILED:
        return problem("chain", f"{there}, but it failed: {error}.")
    why = {"offline": "the machine went offline", "busy": "another task must end first"}
    stuck = why.get(task["waiting_for"] or "", f"it is {task['status']}")
    return problem(
        "chain",
        f"A command had no result after {took}: {stuck}; the worker's and the listener's lines say more.",
    )


def of_git(version: tuple[int, ...]) -> Finding:
    """*version*: as git says it, such as (2, 39, 5)."""
    shown, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST_GIT))
    if version < OLDEST_GIT:
        return warning("git", f"git {shown} is old; {oldest} or newer keeps more out, so update it.")
    return ok("git", f"git {shown}.")


def doors(used: Collection[Door], names: Collection[str]) -> list[Door]:
    """Every way in: those *used*, latest first, then those of the *names* that never were."""
    latest = sorted((door for door in used if door.used_at), key=lambda door: str(door.used_at), reverse=True)
    unused = sorted(set(names) - {door.name for door in latest})
    return latest + [Door(name) for name in unused]


def door_line(door: Door, now: datetime) -> str:
    """One line of the table of front doors."""
    if door.used_at is None:
        return f"{door.name:<12} never"
    return f"{door.name:<12} {_ago(now - door.used_at):<16} {count(door.times, 'time')}"


def _ago(passed: timedelta) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if (number := round(passed.total_seconds() / length)) >= 1:
            return f"{count(number, unit)} ago"
    return "just now"


def count(number: int, unit: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {unit}" + ("" if number == 1 else "s")
