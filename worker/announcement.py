"""What this machine tells its relay about itself, so that assistants know what they may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from relay.protocol import MAX_PROJECTS, AnnouncedProject
from worker.policy import Policy, PolicyFile, Project, Rejected

_MOST_ALIASES, _MOST_SCOPES, _MOST_COMMANDS, _MOST_CHARS = 20, 100, 200, 100


def announced(rules: PolicyFile) -> list[AnnouncedProject]:
    """Every project of today's policy, without its path; none while the policy cannot be used."""
    try:
        policy = rules.current()
    except Rejected:
        return []
    return [_told(policy, name, project) for name, project in sorted(policy.projects.items())][:MAX_PROJECTS]


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
