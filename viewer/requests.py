"""What running tasks ask their owner, as the pages show it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from viewer import records, words
from worker import models, questions


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


def open_in(task: models.Task) -> list[Request]:
    """What *task* asks its owner while it runs, the oldest first."""
    return [
        Request(
            number=one.id,
            tool=words.plain(one.tool),
            inputs=[
                (words.plain(name), _value(value)) for name, value in records.read_json(one.params).items()
            ],
            why=words.plain(one.why),
            asked_at=one.asked_at,
            lapses_at=one.lapses_at,
            fingerprint=one.fingerprint,
        )
        for one in questions.open_in(task)
    ]


def _value(value: object) -> str:
    """An input as people read it: a text as it is, anything else as JSON."""
    return words.plain(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))


def first_line(task: models.Task) -> str | None:
    """What *task* asks, in one line for a list; None when it asks nothing."""
    return next((f"Asks you: {one.line}" for one in questions.open_in(task)), None)
