"""Puts what a running program asks to the machine's owner: it is written down, the viewer shows it, and
the answer is looked for in the same row."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from worker import models, moves
from worker.actions.base import Answer, Question, Request
from worker.models import Task
from worker.redact import Redactor

log = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""No answer for so long is a no."""
LOOK_S = 0.3
"""How often the row is looked at."""


class Asker:
    """Asks for one attempt of one task."""

    def __init__(
        self,
        task: Task,
        redactor: Redactor,
        now: Callable[[], datetime],
        steady: Callable[[], datetime],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """*task* as it was claimed. *now* is for what people read, *steady* for the deadline."""
        self._task = task
        self._redactor = redactor
        self._now = now
        self._steady = steady
        self._patience = timedelta(seconds=patience_s)

    def ask(self, request: Request) -> Question:
        """Put *request* to the owner. Where it cannot be written down nobody can say yes."""
        lapses_at, clean = self._steady() + self._patience, self._redactor.clean
        # Only known secrets are taken out of what is shown to be allowed: `PASSWORD=a;rm -rf ~` must not be
        # shown as `PASSWORD=[redacted]`.
        shown = self._redactor.clean_json(dict(request.params), self._redactor.clean_known)
        try:
            number = moves.ask(
                self._task,
                tool=clean(request.tool),
                line=clean(request.line),
                params=json.dumps(shown, ensure_ascii=False),
                why=clean(request.why),
                fingerprint=_fingerprint(self._task, request),
                asked_at=self._now(),
                lapses_at=lapses_at,
            )
        except models.STORE_ERRORS as problem:
            log.warning("What task %s asks cannot be recorded (%s), so it is a no.", self._task.id, problem)
            return _Unasked()
        log.info("Task %s asks for an OK in the viewer.", self._task.id)
        return _Asked(number, lapses_at, self._steady)


class _Asked:
    """A question in its row."""

    def __init__(self, number: int, lapses_at: datetime, steady: Callable[[], datetime]) -> None:
        self._number = number
        self._lapses_at = lapses_at
        self._steady = steady
        self._looked = time.monotonic()

    def answer(self) -> Answer | None:
        has_lapsed = self._steady() >= self._lapses_at
        if time.monotonic() - self._looked < LOOK_S and not has_lapsed:
            return None
        self._looked = time.monotonic()
        try:
            # Whoever is first decides, also at the last moment: somebody's yes or this no.
            word = moves.answer_of(self._number, otherwise=Answer.NONE if has_lapsed else None)
        except models.STORE_ERRORS:
            return None
        return Answer(word) if word else None

    def withdraw(self) -> None:
        try:
            moves.answer_of(self._number, otherwise=Answer.NONE)
        except models.STORE_ERRORS as problem:
            # It closes by itself when the attempt ends.
            log.warning("A question cannot be taken back now (%s).", problem)


class _Unasked:
    """What could not be asked."""

    def answer(self) -> Answer:
        return Answer.NONE

    def withdraw(self) -> None:
        pass


def _fingerprint(task: Task, request: Request) -> str:
    exactly = [task.id, task.attempt, task.directory, request.tool, dict(request.params)]
    return hashlib.sha256(json.dumps(exactly, sort_keys=True).encode()).hexdigest()
