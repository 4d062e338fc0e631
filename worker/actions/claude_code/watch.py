"""A run while it goes on: its events as lines for the log, and what has to be remembered of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from worker.actions.base import Job
from worker.actions.claude_code.agent import Agent, Clean, Event, Kind
from worker.actions.claude_code.requests import Requests
from worker.manners import Dialogue

LINGER_S = 10.0
"""How long a program may stay after its result; what it had to say is said."""
SILENCE_S = 60.0
"""After so long without a sign of life the log says so; then after twice as long, and so on."""
_MOST_DENIED = 100

_MARKS = {
    Kind.SESSION: "", Kind.TOOL: "▸ ", Kind.DONE: "  ✓ ", Kind.TROUBLE: "  ✗ ", Kind.NOTICE: "  ! ",
}  # fmt: skip


_UNSHOWN = {Kind.RESULT, Kind.DENIED, Kind.ASKS, Kind.WITHDRAWN}


class Watch:
    """Hears what a program says, and asks ten times a second whether it should end."""

    def __init__(
        self,
        agent: Agent,
        job: Job,
        dialogue: Dialogue | None = None,
        begun: Mapping[str, Any] | None = None,  # Any: JSON
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*dialogue*: what it reads, when it may ask while it works. *begun*: what shall be known of it from
        the moment on at which there is something to go on with."""
        self._agent = agent
        self._job = job
        self._requests = Requests(agent, job, dialogue) if dialogue else None
        self._begun = begun
        self._clean: Clean = job.redactor.clean_json if job.redactor else lambda value: value
        self._now = now
        self._heard_at = now()
        self._told_s = 0.0
        self.silent_s = 0.0
        """For how long it had not said anything when it was last looked at."""
        self.results: list[Mapping[str, Any]] = []  # Any: JSON
        self.denied: list[str] = []
        self.text = ""
        self.has_lingered = False
        """Whether it was told to end because it stayed after its result."""
        self._is_done = False

    def hear(self, line: str) -> str:
        """A line of its stdout; what the log says instead."""
        self._heard_at, self._told_s = self._now(), 0.0
        return "".join(map(self._take, self._agent.parse(line, str(self._job.directory), self._clean)))

    def stop(self) -> bool:
        """Whether it must end now, because somebody wants that or because it lingers."""
        if self._job.stop():
            return True
        if self._requests:
            self._requests.pass_on()
            if self._requests.are_open:
                # It is silent because we are.
                self._heard_at = self._now()
        self.silent_s = silent = self._now() - self._heard_at
        if silent >= max(SILENCE_S, 2 * self._told_s):
            self._told_s = silent
            self._job.note(f"  … no output for {silent:.0f} s")
        self.has_lingered = self._is_done and silent > LINGER_S
        return self.has_lingered

    def end(self) -> None:
        """It is gone; whatever it asked last, nobody waits for the answer."""
        if self._requests:
            self._requests.end()

    def _take(self, event: Event) -> str:
        """Remember an event, or deal with what it asks; what the log says."""
        if self._requests and event.kind is Kind.ASKS:
            return f"{self._requests.add(event)}\n"
        if self._requests and event.kind is Kind.WITHDRAWN:
            self._requests.withdraw(event.data["id"])
        if self._begun and event.kind is Kind.SESSION:
            self._job.keep(self._begun)
        self._remember(event)
        return _shown(event)

    def _remember(self, event: Event) -> None:
        if event.kind is Kind.RESULT:
            self.results.append(event.data)
            self._is_done = True
            self.end()
        elif event.kind is Kind.DENIED:
            if event.text not in self.denied and len(self.denied) < _MOST_DENIED:
                self.denied.append(event.text)
        else:
            # A task in the background that ends may begin another turn, with another result.
            self._is_done = False
            if event.kind is Kind.TEXT and not event.is_nested:
                self.text = event.text


def _shown(event: Event) -> str:
    if event.kind in _UNSHOWN:
        return ""
    indent = "    " if event.is_nested else ""
    lines = f"{_MARKS.get(event.kind, '')}{event.text}".split("\n")
    return "".join(f"{indent}{line}\n" for line in lines)
