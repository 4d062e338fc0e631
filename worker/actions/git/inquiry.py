"""Questions of our own to git, before it does what it was asked: nothing of them gets into the log."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from worker.actions.base import Job
from worker.actions.git.forced import environment
from worker.actions.git.parse import Verdict
from worker.actions.git.repository import Repository
from worker.manners import Manners
from worker.policy import Rejected

NOWHERE = Path(os.devnull)
_PATIENCE_S = 20


def ask(job: Job, verdict: Verdict, words: Sequence[str]) -> tuple[int, str, str]:
    """What git says to *words*, in the place and with the rights of *verdict* but in no repository that
    was chosen for it: exit status, stdout, stderr."""
    # LC_ALL=C: in other locales a name that is no text in it would escape every pattern.
    env = {**environment(verdict, None), "LC_ALL": "C"}
    done = _quiet(job).run(("git", *words), timeout=_PATIENCE_S, env=env)
    return done.returncode, done.stdout, done.stderr


def names(
    job: Job, verdict: Verdict, repository: Repository, words: Sequence[str], given: bytes = b""
) -> list[str] | None:
    """The names of files that git prints for *words* in *repository*, all of them, relative to its top.
    *given* is what git reads. None when git has no answer, as for a commit that is not there."""
    lines: list[str] = []

    def keep(line: str) -> str:
        lines.append(line)
        return ""

    # Quoted, every name is ASCII: what is no UTF-8 does not get lost on the way.
    argv = ("git", "-c", "core.quotePath=true", *words)
    manners = Manners(stdin=given or None, translate=keep)
    env = environment(verdict, repository)
    done = replace(_quiet(job), directory=repository.top).run(
        argv, timeout=_PATIENCE_S, env=env, manners=manners
    )
    if done.returncode not in {0, 1} or (done.returncode == 1 and done.stderr):
        return None
    return [os.fsdecode(unquoted(line)) for line in lines if line]


def or_refuse(found: list[str] | None, what: str) -> list[str]:
    """*found*, or Rejected when git could not tell."""
    if found is None:
        raise Rejected(f"git cannot tell {what}; see what git status says, and put it right first")
    return found


def _quiet(job: Job) -> Job:
    # Not into the task's log: configuration may hold passwords.
    return replace(job, log=NOWHERE, stop=lambda: False, redactor=None)


def unquoted(name: str) -> bytes:
    """The name of a file as it is: git quotes unusual ones like C does, in bytes."""
    if not (name.startswith('"') and name.endswith('"') and len(name) > 1):
        return name.encode()
    return re.sub(
        rb'\\([0-7]{3}|["\\abfnrtv])',
        lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else _ESCAPES.get(m[1], m[1]),  # noqa: PLR2004
        name[1:-1].encode(),
    )


_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
