"""`make doctor`: looks at every link of the chain, and sends a command through all of them.

Everything it says was seen: it asks the relay with the real keys, the lock for the worker, and waits for
the result of a real command. It repairs nothing, and makes no file."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TextIO

from dotenv import dotenv_values
from pydantic import ValidationError

from relay.env import parse_keys
from relay.mistakes import explain
from worker import checks, links
from worker.actions.base import Job
from worker.actions.claude_code import health
from worker.checks import Finding, Level, ok, problem, warning
from worker.policy import Policy, Rejected
from worker.policy_file import PolicyFile
from worker.process import CannotStart
from worker.settings import ChainSettings

_MARKER = f"doctor:{os.getpid()}-1"
_COLOUR = {Level.OK: "\x1b[32m", Level.WARNING: "\x1b[33m", Level.PROBLEM: "\x1b[31m"}


def main() -> None:
    """Print what was found, line by line as it is found; exit status 1 when there is a problem."""
    try:
        sys.exit(_report())
    except (BrokenPipeError, KeyboardInterrupt):
        # Whoever listened has gone; Python would complain about that once more at its end.
        os._exit(1)


def _report() -> int:
    counts = dict.fromkeys(Level, 0)
    settings, first = _settings()
    for found in chain([first], _examine(settings)):
        counts[found.level] += 1
        _say(_line(found, sys.stdout))
    if settings:
        _say(_doors(settings))
    problems, warnings = counts[Level.PROBLEM], counts[Level.WARNING]
    _say(f"\n{checks.count(problems, 'problem')}, {checks.count(warnings, 'warning')}.")
    return 1 if problems else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - talking to a person at a terminal


def _line(found: Finding, to: TextIO) -> str:
    word = f"{found.level:<8}"
    if to.isatty() and "NO_COLOR" not in os.environ:
        word = f"{_COLOUR[found.level]}{word}\x1b[0m"
    return f"{word} {found.subject:<9} {found.text}"


def _settings() -> tuple[ChainSettings | None, Finding]:
    try:
        return ChainSettings.read(), ok("settings", "All settings that are needed are there.")
    except ValidationError as mistakes:
        is_there = Path(".env").exists()
        way = (
            "put it right in .env (docs/CONFIGURATION.md)"
            if is_there
            else "make run writes a .env with fresh keys"
        )
        return None, problem("settings", f"{explain(mistakes)}; {way}.")
    except (OSError, ValueError) as mistake:
        return None, problem("settings", f".env cannot be read ({mistake}).")


def _examine(settings: ChainSettings | None) -> Iterator[Finding]:
    """Every finding, in the order in which a command travels."""
    yield from _files(settings)
    policy = None
    try:
        policy = PolicyFile(settings.policy_path if settings else Path("policy.toml")).current()
    except Rejected as refusal:
        yield problem("policy", f"{refusal}.")
    if policy and settings:
        yield from _judge_policy(policy, settings)
    yield from _programs(policy)
    if settings:
        yield from links.examine(settings, policy)
    else:
        yield problem("chain", "Relay, machine and worker were not looked at: that needs the settings.")


def _doors(settings: ChainSettings) -> str:
    names = {*parse_keys(settings.api_key.get_secret_value(), "default").values(), *links.signed_in(settings)}
    listed = checks.doors(links.used_doors(settings.sqlite_path), names)
    now = datetime.now(UTC)
    title = f"\nFront doors, as this machine saw them in the last {settings.retention_days:g} days:"
    return "\n".join([title, *(f"  {checks.door_line(door, now)}" for door in listed)])


def _files(settings: ChainSettings | None) -> Iterator[Finding]:
    paths = [Path(".env")]
    if settings:
        beside = (".output", ".devices.db", ".viewer.db")
        paths += [settings.policy_path, settings.sqlite_path, Path(settings.queue_url)]
        paths += [settings.sqlite_path.with_suffix(suffix) for suffix in beside]
        paths += [settings.relay_sqlite_path] if settings.relay_is_here else []
    yield from checks.of_modes(
        {str(path): stat.S_IMODE(path.stat().st_mode) for path in paths if path.exists()}
    )
    try:
        given = dotenv_values(".env")
    except (OSError, ValueError):
        return
    if Path(".env.example").is_file():
        yield from checks.of_names(given, dotenv_values(".env.example"))
    kept, _ = _ask("git", "ls-files", "--error-unmatch", ".env")
    if kept == 0:
        yield problem("files", ".env, with your keys, is in git: git rm --cached .env, and make new keys.")


def _judge_policy(policy: Policy, settings: ChainSettings) -> Iterator[Finding]:
    is_public = settings.relay_is_public
    keys = parse_keys(settings.api_key.get_secret_value(), "default")
    callers = {*keys.values(), "github", *(door.name for door in links.used_doors(settings.sqlite_path))}
    # A relay elsewhere has its own list of keys.
    yield from checks.of_policy(
        policy, is_public=is_public, callers=callers if settings.relay_is_here else None
    )
    yield from checks.of_keys(keys, is_public=is_public)
    if settings.relay_is_here and is_public and settings.public_url is None:
        yield warning(
            "settings", "PUBLIC_URL is not set, so assistants are turned away at /mcp; docs/DEPLOY.md."
        )
    for name, project in sorted(policy.projects.items()):
        if not Path(os.path.expanduser(project.path)).is_dir():  # noqa: PTH111 - must not raise
            yield problem("policy", f"The folder of {name}, {project.path}, is not there; put path right.")


def _programs(policy: Policy | None) -> Iterator[Finding]:
    status, said = _ask("git", "--version")
    if found := re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said):
        yield checks.of_git(tuple(int(part) for part in found.groups() if part))
    else:
        yield problem(
            "git", f"git does not work ({said.strip() or status}); install it, for example: apt install git"
        )
    if policy and any(project.claude for project in policy.projects.values()):
        yield _claude()


def _claude() -> Finding:
    found = health.probe(_MARKER)
    if found.program is None or found.problem:
        return warning("claude", f"{found.problem}.")
    login = {True: ", logged in", None: ", which does not say whether it is logged in"}.get(
        found.is_logged_in
    )
    return ok("claude", f"Claude Code {found.version}{login}: {found.program}.")


def _ask(*argv: str) -> tuple[int | None, str]:
    """Exit status and output of a short question to a program; None and the reason when it is not there."""
    try:
        done = _job(Path.cwd()).run(argv, timeout=10)
    except CannotStart as reason:
        return None, str(reason)
    return done.returncode, done.stdout


def _job(folder: Path) -> Job:
    return Job(folder, folder, Path(os.devnull), _MARKER, lambda: False)


if __name__ == "__main__":
    main()
