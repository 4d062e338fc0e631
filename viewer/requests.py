"""What tasks ask their owner, before they start and while they run, as the pages show it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from relay.protocol import Status
from viewer import records, words
from worker import models, questions

_IN_COMMAND = frozenset({"command", "prompt", "name", "values", "project", "working_dir"})


@dataclass(frozen=True)
class Request:
    """What a running task wants to do and may not do unasked: all of it, never cut."""

    number: int
    tool: str
    inputs: list[tuple[str, str]]
    """Name and value of each."""
    why: str
    asked_at: datetime
    lapses_at: datetime
    fingerprint: str


@dataclass(frozen=True)
class Question:
    """What a person is asked before a task starts: exactly what would run, never cut."""

    command: str
    directory: str
    scope: str
    further: list[tuple[str, str]]
    why: str
    lapses_at: datetime
    fingerprint: str


def question(task: models.Task) -> Question | None:
    """What *task* asks before it starts; None when it asks nothing."""
    if task.status != Status.AWAITING_APPROVAL or task.fingerprint is None:
        return None
    return Question(
        command=words.plain(task.preview),
        directory=words.plain(task.directory or ""),
        scope=task.scope or "",
        further=beside_the_command(task),
        why=words.plain(task.approval or ""),
        lapses_at=task.expires_at,
        fingerprint=task.fingerprint,
    )


def open_in(task: models.Task) -> list[Request]:
    """What *task* asks its owner while it runs, the oldest first."""
    return [
        Request(
            number=one.id,
            tool=words.plain(one.tool),
            inputs=_readable(records.read_json(one.params)),
            why=words.plain(one.why),
            asked_at=one.asked_at,
            lapses_at=one.lapses_at,
            fingerprint=one.fingerprint,
        )
        for one in questions.open_in(task)
    ]


def beside_the_command(task: models.Task) -> list[tuple[str, str]]:
    """What was asked for that neither the command of *task* nor its directory shows, as name and value:
    the conversation that it goes on with, tools, limits."""
    return _readable(
        {
            name.replace("_", " "): value
            for name, value in records.read_json(task.input_data).items()
            if name not in _IN_COMMAND
        }
    )


def _readable(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values as people read them: a text as it is, anything else as JSON."""
    return [
        (
            words.plain(name),
            words.plain(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)),
        )
        for name, value in values.items()
    ]


def first_line(task: models.Task) -> str | None:
    """What *task* asks, in one line for a list; None when it asks nothing."""
    return next((f"Asks you: {one.line}" for one in questions.open_in(task)), None)
