"""A task, an earlier attempt, an event: what their rows look like to people, and in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup

from relay.protocol import FINAL, MOVES, Reason, Status
from viewer import live, markdown, records, requests, titles, words
from viewer.words import State
from worker import models

_LINE_CHARS = 240
_BADLY = {status for status in FINAL if Status.PENDING in MOVES[status]}
_MANY_BLOCKS, _NEVER_RAN = 20, {Reason.REJECTED, Reason.EXPIRED}
_TEXT_CHARS = 16_384
"""Longer parameters and payloads are cut on a page; the whole is a link away."""


@dataclass(frozen=True)
class Run:
    """One attempt of a task."""

    attempt: int
    status: Status
    state: State
    error: str | None
    """One sentence for a failed attempt, also when its record has none."""
    reason: str | None
    exit_status: int | None
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it runs and when it never did."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Card:
    """A task in the list, and the upper half of its page."""

    id: str
    seq: int
    rev: int
    title: str
    command: str
    """What runs, whole unless it is very long."""
    line: str | None
    """The one line that says most: the error, else the result, else the command."""
    line_is_command: bool
    action: str
    caller: str
    created_at: datetime
    run: Run
    can_run_again: bool
    can_stop: bool

    @property
    def is_ended(self) -> bool:
        return self.run.status.is_final


@dataclass(frozen=True)
class Answer:
    """What an assistant answered, as it wrote it and as HTML."""

    text: str
    html: Markup


@dataclass(frozen=True)
class Output:
    """What an attempt printed, as far as a page shows it."""

    blocks: list[Markup]
    """Of lines, as HTML from `viewer.ansi`."""
    piece: live.Piece

    @property
    def unfinished(self) -> Markup:
        """The last line, when it has not ended yet."""
        return Markup(self.piece.unfinished)  # noqa: S704 - escaped by ansi

    @property
    def size(self) -> int:
        return self.piece.size

    @property
    def shown(self) -> int:
        """How many bytes of it the page has."""
        return self.piece.place.seen - self.piece.begin

    @property
    def is_empty(self) -> bool:
        return self.size == 0

    @property
    def is_cut(self) -> bool:
        return self.piece.begin > 0

    @property
    def is_long(self) -> bool:
        """Whether a browser should lay it out piece by piece."""
        return len(self.blocks) > _MANY_BLOCKS

    @property
    def fits(self) -> bool:
        """Whether "Show everything" can show it."""
        return self.size <= live.INLINE_BYTES


def run_of(row: models.Task | models.Attempt) -> Run:
    """The attempt that *row* holds."""
    status = Status(row.status)
    reason = words.REASONS.get(Reason(row.reason)) if row.reason else None
    exit_status = records.result(row).get("returncode")
    return Run(
        attempt=row.attempt,
        status=status,
        state=words.DECLINED if records.is_declined(row.reason, row.error) else words.STATES[status],
        error=words.plain(row.error or reason or "It failed") if status is Status.FAILED else row.error,
        reason=reason,
        exit_status=exit_status if isinstance(exit_status, int) else None,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )


def card(task: models.Task) -> Card:
    """What *task* shows everywhere."""
    run, asks = run_of(task), requests.first_line(task)
    if asks:
        run = replace(run, state=words.STATES[Status.AWAITING_APPROVAL])
    preview = titles.preview(task)
    command = words.plain(preview[:_TEXT_CHARS])
    if (rest := len(preview) - _TEXT_CHARS) > 0:
        command += f"\n[{rest} more characters]"
    headline = records.result(task).get("headline") or asks
    said = run.error or (words.plain(str(headline)) if headline else None)
    # Without a title the command is the title already.
    line = said or (command if task.title else None)
    return Card(
        id=task.id,
        seq=task.seq,
        rev=task.rev,
        title=titles.title(task),
        command=command,
        line=words.shorten(line, _LINE_CHARS) if line else None,
        line_is_command=said is None,
        action=words.action_words(task.action_type),
        caller=task.caller,
        created_at=task.created_at,
        run=run,
        can_run_again=run.status in _BADLY and titles.can_pass(task),
        can_stop=run.status in {Status.PENDING, Status.RUNNING},
    )


def answer(task: models.Task) -> Answer | None:
    """What an assistant answered; None for other actions, and when it said nothing."""
    text = records.result(task).get("answer")
    return Answer(text, markdown.render(text)) if isinstance(text, str) and text.strip() else None


def silence(task: models.Task) -> str:
    """What stands where the output of *task* would, while there is none."""
    if holder := records.holder(task):
        # A lane is the path of a repository, or the name of something else.
        works = (
            "works in the same repository" if str(task.lane).startswith("/") else "has the same conversation"
        )
        return f"Waiting until “{titles.title(holder)}” has ended: it {works}."
    return words.NOT_RUN if task.reason in _NEVER_RAN else words.SILENCE[Status(task.status)]


def output(task: models.Task, row: models.Task | models.Attempt, most: int) -> Output:
    """The last *most* bytes of what the attempt *row* of *task* printed."""
    with records.open_output(task, row) as log:
        piece = live.read_tail(log, ended=records.is_ended(row.status), most=most)
    return Output([Markup(block) for block in live.blocks(piece.html)], piece)  # noqa: S704 - escaped by ansi


def pretty(text: str) -> tuple[str, bool]:
    """JSON *text* for reading, and whether it was cut because it is long."""
    if len(text) <= _TEXT_CHARS:
        text = json.dumps(records.read_json(text), indent=2, ensure_ascii=False)
    return words.plain(text[:_TEXT_CHARS]), len(text) > _TEXT_CHARS


def as_json(task: models.Task) -> dict[str, Any]:  # Any: JSON
    """The documented shape of a task at /api/tasks and /api/task/<id>."""
    return {
        "id": task.id,
        "action_type": task.action_type,
        "status": task.status,
        "reason": task.reason,
        "title": task.title,
        "input_data": records.read_json(task.input_data),
        "output_data": records.read_json(task.output_data),
        "error": task.error,
        "created_at": _iso(task.created_at),
        "started_at": _iso(task.started_at),
        "completed_at": _iso(task.completed_at),
        "attempt": task.attempt,
        "caller": task.caller,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
