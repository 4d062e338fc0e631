"""May this run here? One answer, asked when a command is accepted and again when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker import actions, policy, projects
from worker.actions.base import Action
from worker.policy import Policy
from worker.projects import Place


@dataclass(frozen=True)
class Admission:
    """An action that may run, and where."""

    action: Action
    place: Place


def admit(rules: Policy, action_type: str, params: Mapping[str, Any]) -> Admission:  # Any: JSON
    """Check parameters, directory and policy. Raises Rejected with a sentence for the caller."""
    action = actions.parse(action_type, params)
    place = projects.resolve(rules, action.project, action.working_dir)
    policy.check(place.name, place.project, action.scope)
    return Admission(action, place)
