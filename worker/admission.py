"""May this run here, for this caller, and must a person say yes first? One answer, asked when a
command is accepted, when it is run again, and when it starts."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.protocol import Status
from worker import actions, policy, projects
from worker.actions.base import Action
from worker.actions.git import repository
from worker.policy import READS, Policy, Rejected
from worker.policy_file import PolicyFile
from worker.projects import Place

log = logging.getLogger(__name__)

FAULT = "The machine met a fault of its own when it looked at this; its worker's log has the details"


@dataclass(frozen=True)
class Admission:
    """An action that may run, and where."""

    action: Action
    place: Place
    rules: Policy
    caller: str

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every directory of this machine in which the caller may ask for the same."""
        return projects.roots(self.rules, self.action.scope, self.caller)

    @property
    def fingerprint(self) -> str:
        """Stands for exactly what would run and where: an approval is for this and nothing else."""
        exactly = [self.action.action_type, self.action.model_dump(mode="json"), self.action.preview]
        where = [str(self.place.directory), self.action.scope]
        return hashlib.sha256(json.dumps([*exactly, *where], sort_keys=True).encode()).hexdigest()

    @property
    def lane(self) -> str | None:
        """What it must hold alone while it runs: the repository that it may change, by the real path
        that all of its work trees share, unless the action says otherwise. None when it may run beside
        anything."""
        return self.action.lane(self._repository)

    @property
    def _repository(self) -> str | None:
        """None when it changes nothing, or its project lets tasks run beside each other."""
        if self.action.scope in READS or self.place.project.parallel:
            return None
        inside = [self.place.directory, *self.place.directory.parents]
        inside = [one for one in inside if one == self.place.root or self.place.root in one.parents]
        found = (repository.lane(one) for one in inside)
        return str(next(filter(None, found), self.place.root))


def admit(rules: Policy, caller: str, action_type: str, params: Mapping[str, Any]) -> Admission:  # Any: JSON
    """Check parameters, directory and policy. Raises Rejected with a sentence for the caller."""
    action = actions.parse(action_type, params)
    place = projects.resolve(rules, action.project, action.working_dir)
    policy.check(rules, place.name, action.scope, caller)
    bound = action.bound(rules, place.name)
    if bound.timeout > rules.limits.max_timeout_s:
        most = f"{rules.limits.max_timeout_s:g}"
        raise Rejected(f"The timeout of {bound.timeout:g} seconds is too long; policy.toml allows {most}")
    return Admission(bound, place, rules, caller)


@dataclass(frozen=True)
class Verdict:
    """What the machine says to a command: run it, ask a person first, or no."""

    preview: str
    """What would run, for people to read."""
    refusal: str | None = None
    """Why it may not run; None: it may."""
    approval: str | None = None
    """Why a person must say yes first; None when nobody need."""
    expire_s: float = 0.0
    """How long that question stands."""
    most_bytes: int = 0
    """How much it may print."""
    admission: Admission | None = None
    """None when it may not run."""

    @property
    def status(self) -> Status:
        """Where a task begins that may run."""
        return Status.AWAITING_APPROVAL if self.approval else Status.PENDING

    def columns(self) -> dict[str, str | None]:
        """What of it is kept in the task's row."""
        found = self.admission
        if found is None:
            return {"preview": self.preview, "approval": None, "fingerprint": None, "lane": None}
        return {
            "preview": self.preview,
            "project": found.place.name,
            "directory": str(found.place.directory),
            "scope": found.action.scope,
            "lane": found.lane,
            "approval": self.approval,
            "fingerprint": found.fingerprint if self.approval else None,
        }


def judge(
    rules: PolicyFile, caller: str, action_type: str, params: Mapping[str, Any], age_s: float, waiting: int
) -> Verdict:
    """The verdict of today's policy on a command that was asked for *age_s* seconds ago, while
    *waiting* others wait to be started."""
    try:
        today = rules.current()
        _check_room(today, waiting)
        found = admit(today, caller, action_type, params)
    except Rejected as refusal:
        return Verdict(_asked(action_type, params), refusal=str(refusal))
    except OSError as problem:
        # A volume of somebody else's, a mount that has gone.
        why = f"This machine cannot look at the folder ({problem.strerror}); see to it there"
        return Verdict(_asked(action_type, params), refusal=why)
    except Exception:
        # The edge of what people add: a command that its action cannot judge must not come again and again.
        log.exception("A command for %s cannot be judged.", action_type)
        return Verdict(json.dumps(dict(params), ensure_ascii=False), refusal=FAULT)
    asks = policy.needs_approval(today, found.action.scope, age_s)
    most_bytes = today.limits.max_output_mb * 1_048_576
    return Verdict(found.action.preview, None, asks, today.approval.expire_s, most_bytes, found)


def _asked(action_type: str, params: Mapping[str, Any]) -> str:  # Any: JSON
    """What was asked for, for people to read, though it will not run."""
    try:
        return actions.parse(action_type, params).preview
    except Rejected:
        return json.dumps(dict(params), ensure_ascii=False)


def _check_room(rules: Policy, waiting: int) -> None:
    if waiting >= rules.limits.max_waiting:
        raise Rejected(f"{waiting} tasks wait already, and policy.toml allows no more; cancel some, or wait")
