"""`claude_code`: let Claude Code work in a project, as far as the project's policy allows."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from relay.announced import Agent, Mode
from relay.protocol import MAX_TIMEOUT_S
from worker.actions.base import Action, Job, Outcome
from worker.actions.claude_code import health, worktree
from worker.actions.claude_code.agent import CHANGES, Ask
from worker.actions.claude_code.cli import MINIMUM, Claude
from worker.actions.claude_code.work import perform
from worker.policy import Policy, Rejected

_NOTES = f"""
It is the Claude Code of that machine, {".".join(map(str, MINIMUM))} or newer, with its owner's login and
settings. The prompt is text and nothing else: a leading `-`, `/cost` or `@/file` in it means nothing. Hooks,
MCP servers and settings that a repository brings along are not used unless the project has
`trust_repo_config = true`; its CLAUDE.md and AGENTS.md are handed over as text.

| mode | may | everything else |
| --- | --- | --- |
| `review` | read the project; Bash for commands that only read | is denied |
| `plan` | the same, and answers with a plan | is denied |
| `ask` | the same as `review` | is shown to its owner, who allows or denies it while it works |
| `edit` | also write files in the directory where it works, not in `.git` or `.claude` | is denied |
| `full` | do anything that its owner could do | |

In mode `ask` the task stays `running`; its summary and the end of its output say what it waits for. Allow
and Deny are in the viewer of that machine, below the tool and all of its input, and no key can press them. No
answer in 5 minutes is a no, and what is longer than 50,000 characters is not asked but denied.

It is `completed` when Claude Code says so itself. A limit, a missing login, trouble with the API make it
`failed` with reason `error`. A cancelled or failed session can be continued. The result has `answer`,
`session_id`, `cost_usd` (of this run, at list prices), `turns`, `denied` (what it was not allowed to do; read
that before you believe the answer), `ended` (`success`, `max_turns`, `max_budget`, `not_logged_in`,
`api_error_429`, …), and in the modes that may change files `files_changed`, `diffstat` and `patch` (at most
60,000 characters), which are git's words and not the assistant's. The page of the task shows the patch.

With `isolation` = `worktree` it works on the branch that the result names (`branch`, like `agent/4033a5b0`).
It begins at the last commit; what is not committed in the checkout is not there. Whatever it leaves is
committed to that branch and to no other, also after a cancel, a time-out or a crash, and a session that goes
on finds it again. Other tasks in the repository run beside it. Look at it with `git diff`, merge or delete
it as you like.
"""
# Whoever may run one of these with any arguments may run anything.
_ANYTHING = frozenset(
    {
        "sh", "bash", "dash", "zsh", "fish", "env", "sudo", "exec", "eval", "xargs", "find", "ssh", "git",
        "make", "python", "python3", "node", "perl", "ruby", "npm", "npx", "uv", "uvx",
    }
)  # fmt: skip
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class ClaudeCode(Action):
    """Give Claude Code a job in a project."""

    action_type: ClassVar[str] = "claude_code"

    prompt: str = Field(min_length=1, max_length=200_000)
    """What it should do, in the user's words."""
    mode: Mode = "review"
    """`review` reads, `plan` proposes, `ask` asks its owner for each step, `edit` may change files,
    `full` may run anything."""
    session: str | None = Field(default=None, pattern=_UUID)
    """Continue this earlier session: the `session_id` of a result."""
    fork: bool = False
    """Continue it as a new branch of the conversation; the earlier one stays as it is."""
    model: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\[\]-]{0,80}$")
    """Which model; the CLI's own choice when absent."""
    max_turns: int = Field(default=30, ge=1, le=500)
    """Stop after so many turns."""
    max_budget_usd: float = Field(default=2.0, ge=0.01, le=100, allow_inf_nan=False)
    """Stop when it has cost so much. It is looked at after each turn, so a turn may go beyond."""
    allowed_tools: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=50)
    """Tools it may use without asking, each as `claude_tools` of the project in `policy.toml` has it."""
    isolation: Literal["none", "worktree"] = "none"
    """`worktree` works on a branch of its own, beside the checkout, from the last commit on."""
    timeout: float = Field(default=1_800.0, gt=0, le=MAX_TIMEOUT_S, allow_inf_nan=False)
    """Seconds after which it is stopped, with everything it started."""

    @field_validator("prompt")
    @classmethod
    def _is_not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("there is nothing to do in it")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.isolation == "worktree" and self.mode not in CHANGES:
            raise ValueError("isolation worktree is for ask, edit and full; the other modes change nothing")
        if self.fork and self.session is None:
            raise ValueError("fork needs the session that it branches off")
        return self

    @classmethod
    def notes(cls) -> str:
        """What the modes mean, and what the result has."""
        return _NOTES

    @property
    def scope(self) -> str:
        return f"claude.{self.mode}"

    def bound(self, rules: Policy, project: str) -> Self:
        """As it is, once its tools are known to be allowed in *project*. Raises Rejected."""
        _check_tools(self.allowed_tools, rules.projects[project].claude_tools)
        return self

    @property
    def preview(self) -> str:
        return self.prompt

    @classmethod
    def follow_up(
        cls, params: Mapping[str, Any], result: Mapping[str, Any], words: str
    ) -> dict[str, Any] | None:  # Any: JSON
        if not result.get("session_id"):
            return None
        kept = {name: value for name, value in params.items() if name != "fork"}
        return {**kept, "prompt": words, "session": result["session_id"]}

    def lane(self, repository: str | None) -> str | None:
        """On a branch of its own it does not touch the checkout. A session goes on once at a time: of two
        that did, the conversation would keep only one, and they would share a branch."""
        if repository is not None and self.isolation != "worktree":
            return repository
        return f"session {self.session.lower()}" if self.session and not self.fork else None

    @classmethod
    def recover(cls, output_dir: Path, marker: str) -> None:
        worktree.recover(output_dir, marker)

    @classmethod
    def look(cls, marker: str) -> Agent:
        found = health.probe(marker)
        return Agent(name=cls.action_type, version=found.version, logged_in=found.is_logged_in)

    def run(self, job: Job) -> Outcome:
        earlier = self.session.lower() if self.session else None
        ask = Ask(
            prompt=self.prompt,
            mode=self.mode,
            # Ours, so that it is known whatever happens, and a session that was cut off can go on.
            session=str(uuid.uuid4()) if self.fork or earlier is None else earlier,
            earlier=earlier,
            model=self.model,
            max_turns=self.max_turns,
            max_budget_usd=self.max_budget_usd,
            tools=tuple(self.allowed_tools),
            is_apart=self.isolation == "worktree",
            is_trusted=job.is_trusted,
        )
        return perform(Claude(), ask, job, self.timeout)


def _check_tools(wanted: list[str], allowed: tuple[str, ...]) -> None:
    """Raises Rejected for a tool that the project's owner has not named, or that is as good as all."""
    for tool in wanted:
        if _is_anything(tool):
            raise Rejected(f"{tool} could run anything, which is what mode full is for; name a narrower tool")
        if tool not in allowed or not re.fullmatch(r"\w[\w-]*(\([^(),\x00-\x1f]+\))?", tool):
            listed = ", ".join(allowed) or "none"
            raise Rejected(f"This project allows no tool {tool!r}; claude_tools in policy.toml has {listed}")


def _is_anything(tool: str) -> bool:
    if tool in {"*", "Bash", "Bash()"}:
        return True
    prefix = re.fullmatch(r"Bash\(([^*]*?)[ :]*\*\)", tool)
    return prefix is not None and all(word in _ANYTHING for word in prefix[1].split())
