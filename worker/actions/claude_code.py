"""`claude_code`: ask Claude Code to work in a project. The parameters are final; running comes next."""

from __future__ import annotations

import shutil
from typing import ClassVar, Literal

from pydantic import Field

from worker.actions.base import MAX_TIMEOUT_S, Action, Job, Outcome
from worker.environment import environment
from worker.policy import Rejected


class ClaudeCode(Action):
    """Give Claude Code a job in a project. Not available yet: every request is refused kindly."""

    action_type: ClassVar[str] = "claude_code"

    prompt: str = Field(min_length=1, max_length=200_000)
    """What it should do, in the user's words."""
    mode: Literal["review", "plan", "edit", "full"] = "review"
    """`review` reads, `plan` proposes, `edit` may change files, `full` may run anything."""
    session: str | None = Field(default=None, max_length=64)
    """Continue this earlier session."""
    fork: bool = False
    """Continue it as a new branch of the conversation."""
    model: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.:-]{0,63}$")
    """Which model; the CLI's own choice when absent."""
    max_turns: int | None = Field(default=None, ge=1, le=500)
    """Stop after so many turns."""
    max_budget_usd: float | None = Field(default=None, gt=0, le=100, allow_inf_nan=False)
    """Stop when it has cost so much."""
    allowed_tools: list[str] = Field(default_factory=list, max_length=50)
    """Tools it may use without asking, out of those that the machine allows."""
    isolation: Literal["none", "worktree"] = "none"
    """`worktree` works on a branch of its own, beside the checkout."""
    timeout: float = Field(default=1_800.0, gt=0, le=MAX_TIMEOUT_S, allow_inf_nan=False)
    """Seconds after which it is stopped, with everything it started."""

    @property
    def scope(self) -> str:
        return f"claude.{self.mode}"

    @property
    def preview(self) -> str:
        return self.prompt

    def run(self, job: Job) -> Outcome:  # noqa: ARG002 - nothing is run yet
        if shutil.which("claude", path=environment()["PATH"]) is None:
            raise Rejected(
                "Claude Code is not installed on this machine: there is no claude on its PATH; "
                "npm install -g @anthropic-ai/claude-code brings it"
            )
        raise Rejected("This version of ai-webhook cannot run Claude Code yet; git and shell work")
