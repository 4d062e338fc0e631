"""What this machine tells its relay about itself, so that assistants know what they may ask for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import PydanticUserError, ValidationError

from relay.announced import MAX_ACTIONS, MAX_PROJECTS, Agent, Announced, AnnouncedAction, AnnouncedProject
from relay.mistakes import explain
from worker.actions.base import Action
from worker.policy import Policy, Project, Rejected
from worker.policy_file import PolicyFile

log = logging.getLogger(__name__)

BUILT_IN = frozenset({"git", "shell", "claude_code"})
_MOST_ALIASES, _MOST_SCOPES, _MOST_COMMANDS, _MOST_CHARS = 20, 100, 200, 100


def announced(rules: PolicyFile, catalogue: Mapping[str, type[Action]], agents: list[Agent]) -> Announced:
    """Every project of today's policy, without its path, the actions of *catalogue* that somebody
    added, and *agents*. Of projects and actions nothing while the policy cannot be used."""
    try:
        policy = rules.current()
    except Rejected:
        return Announced(projects=[], agents=agents)
    projects = [_told(policy, name, project) for name, project in sorted(policy.projects.items())]
    actions = list(_added(tuple(sorted(catalogue.items()))))
    return Announced(projects=projects[:MAX_PROJECTS], actions=actions, agents=agents)


# It is asked every two seconds, and what the code says changes with a restart only: schemas are made once,
# and what is wrong with one is said once.
@lru_cache(8)
def _added(catalogue: tuple[tuple[str, type[Action]], ...]) -> tuple[AnnouncedAction, ...]:
    added: list[AnnouncedAction] = []
    for name, action in catalogue:
        if name in BUILT_IN:
            continue
        try:
            about = (action.__doc__ or name).strip().partition("\n\n")[0][:1_000]
            schema = action.model_json_schema()
            added.append(AnnouncedAction(name=name, description=about, parameters=schema))
        except (PydanticUserError, ValidationError) as problem:
            # It can still be asked for; the machine must not stay away because of it.
            why = explain(problem) if isinstance(problem, ValidationError) else str(problem).splitlines()[0]
            log.warning("The action %s cannot be told to the relay (%s).", name, why)
    return tuple(added[:MAX_ACTIONS])


def _told(policy: Policy, name: str, project: Project) -> AnnouncedProject:
    named = policy.named(name) if project.shell != "off" else {}
    return AnnouncedProject(
        name=name,
        aliases=_fitting(project.aliases, _MOST_ALIASES),
        git=project.git,
        shell=project.shell,
        commands={one: sorted(command.holes) for one, command in list(named.items())[:_MOST_COMMANDS]},
        claude=list(project.claude),
        allow=_fitting(project.allow, _MOST_SCOPES),
    )


def _fitting(words: Sequence[str], most: int) -> list[str]:
    # Cut, not refused: a policy with a hundred aliases is valid, and its machine must stay connected.
    return [word for word in words if len(word) <= _MOST_CHARS and word.isprintable()][:most]
