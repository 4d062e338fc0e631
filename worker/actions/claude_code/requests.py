"""What an assistant asks while it works: put to the machine's owner, and answered on its stdin."""

from __future__ import annotations

import json
from collections.abc import Mapping

from worker.actions.base import Answer, Job, Question, Request
from worker.actions.claude_code.agent import Agent, Event
from worker.manners import Dialogue

MAX_ASKED_CHARS = 50_000
"""What is longer is not asked: nobody should allow on a phone what they cannot look through."""

_MOST_LEVELS = 20

_REFUSALS: Mapping[Answer, tuple[str, str]] = {
    Answer.NO: ("  ✗ denied", "The owner of this machine said no."),
    Answer.NONE: ("  ✗ nobody answered, which is a no", "Nobody answered in time, and that is a no."),
}
"""What the log says, and what the assistant is told."""
_TOO_LONG = (
    f"This has more than {MAX_ASKED_CHARS} characters, or lists within lists within lists: too much to be "
)
_TOO_LONG += "shown to somebody on a phone. Do it in smaller steps."
_NOBODY = "There is nobody here who could be asked."


class Requests:
    """The requests of one run that wait for an answer."""

    def __init__(self, agent: Agent, job: Job, dialogue: Dialogue) -> None:
        self._agent = agent
        self._job = job
        self._dialogue = dialogue
        self._open: list[tuple[Event, Question]] = []

    @property
    def are_open(self) -> bool:
        """Whether it waits for a person."""
        return bool(self._open)

    def add(self, event: Event) -> str:
        """An ASKS; what the log says to that."""
        tool, params, why = (event.data[name] for name in ("tool", "params", "why"))
        if self._job.ask is None or not _can_be_shown(params):
            refusal = _NOBODY if self._job.ask is None else _TOO_LONG
            self._dialogue.say(self._agent.reply(event, refusal))
            return f"  ✗ {refusal}"
        self._open.append((event, self._job.ask(Request(tool, event.text, params, why))))
        return f"  ? waits for Allow in the viewer on this machine: {event.text}"

    def withdraw(self, number: object) -> None:
        """A WITHDRAWN: nobody needs to answer the one with this id."""
        for event, question in self._open:
            if event.data["id"] == number:
                question.withdraw()
        self._open = [one for one in self._open if one[0].data["id"] != number]

    def pass_on(self) -> None:
        """Hand over the answers that have come, and whatever else is to be said. Call it often."""
        for one in self._open[:]:
            event, question = one
            answer = question.answer()
            if answer is None:
                continue
            self._open.remove(one)
            note, refusal = _REFUSALS.get(answer, ("  ✓ allowed", None))
            self._job.note(f"{note}: {event.text}")
            self._dialogue.say(self._agent.reply(event, refusal))
        self._dialogue.push()

    def end(self) -> None:
        """It has its result and asks nothing more."""
        for _, question in self._open:
            question.withdraw()
        self._open = []
        self._dialogue.end()


def _can_be_shown(params: object) -> bool:
    return _is_flat(params, _MOST_LEVELS) and len(json.dumps(params, ensure_ascii=False)) <= MAX_ASKED_CHARS


def _is_flat(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_flat(one, levels - 1) for one in inner)
