"""What a task is called, and what it runs, in words; pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from viewer import words
from worker import models
from worker.inbox import has_action

_TITLE_CHARS = 200
_MOST_READ_CHARS = 65_536
_SAYING = ("command", "prompt")
"""The parameters that say by themselves what was asked for."""


def title(task: models.Task) -> str:
    """One short line: as whoever asked put it, else what runs."""
    return words.shorten(words.plain(task.title or preview(task)), _TITLE_CHARS)


def preview(task: models.Task) -> str:
    """What *task* runs or, when nobody understood it, was to run."""
    params = _not_understood(task)
    return task.preview if params is None else _said(task.action_type, params)


def can_pass(task: models.Task) -> bool:
    """Whether *task* could run at all, if the policy allowed it: there is such an action, and it makes sense
    of the parameters."""
    return has_action(task.action_type) and _not_understood(task) is None


def _not_understood(task: models.Task) -> Mapping[str, object] | None:
    """The parameters of a task of which no action made sense; None for any other."""
    # Then they stand in the place of the preview, as JSON. What has a scope was admitted, whatever it is.
    if task.scope is not None or len(task.preview) > _MOST_READ_CHARS:
        return None
    try:
        params = json.loads(task.preview)
    except ValueError:
        return None
    return params if isinstance(params, dict) else None


def _said(action_type: str, params: Mapping[str, object]) -> str:
    for name in _SAYING:
        value = params.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            return shlex.join(value)
    named = ", ".join(
        f"{words.action_words(name)} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in params.items()
    )
    action = words.action_words(action_type)
    return f"{action}: {named}" if named else f"{action}, without parameters"
