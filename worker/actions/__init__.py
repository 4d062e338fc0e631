"""Every action of this machine. A module in this folder that defines one is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from relay.mistakes import explain
from worker.actions.base import Action
from worker.policy import Rejected


@cache
def catalogue() -> Mapping[str, type[Action]]:
    """Action type → action, in alphabetical order."""
    found: dict[str, type[Action]] = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Action) and value is not Action:
                found[value.action_type] = value
    return dict(sorted(found.items()))


def parse(action_type: str, params: Mapping[str, Any]) -> Action:  # Any: JSON from a caller
    """The action with its parameters. Raises Rejected that names what is not right."""
    kind = catalogue().get(action_type)
    if kind is None:
        raise Rejected(f"There is no action {action_type!r}; there are {', '.join(catalogue())}")
    try:
        return kind.model_validate(dict(params))
    except ValidationError as problem:
        raise Rejected(
            f"The parameters of {action_type} are not right: {explain(problem)}; see docs/LLM_ACTIONS.md"
        ) from None
