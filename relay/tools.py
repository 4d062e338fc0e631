"""What an assistant can do through this relay, told so that it can act on it.

Plain functions: `relay.mcp` serves them, `relay.instructions` describes them. Signatures and their
field descriptions become the tools' schemas, `relay.offers` narrows those to what is allowed."""

from __future__ import annotations

import uuid
from contextvars import ContextVar
from typing import Annotated, Any, Literal

from pydantic import Field

from relay import control, store, webhook
from relay.announced import Mode
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.offers import May, Offers, name_commands, name_modes
from relay.projects import MachineProjects, known
from relay.protocol import CANCEL, COMMAND, RETRY
from relay.tables import Task
from relay.tasks import TaskView, give, view, wait_until_final
from relay.tool import (
    Common,
    EarlierTask,
    MachineName,
    OfStatus,
    Project,
    Projects,
    RequestId,
    Seconds,
    TaskLine,
    Tasks,
    Title,
    Tool,
    allows_added_actions,
    allows_claude,
    allows_claude_to_change,
    allows_git,
    allows_git_to_change,
    allows_shell,
)

WAIT_S = 25.0
"""How long a call waits for the result; then it answers with the handle. Assistants give up at 45."""
CALLER: ContextVar[str] = ContextVar("caller")
"""Whose key or token came with the request that a tool runs for."""
_MOST_NAMES = 6  # more would not be listened to
AGAIN = "Call get_task with task_id {task_id}; it waits up to 25 seconds for the result."


class Toolbox:
    """The tools of one relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def all(self) -> list[Tool]:
        """Every tool, in the order in which an assistant should get to know them."""
        return [
            Tool("List projects", self.list_projects, changes=False),
            Tool("Show a repository's state", self.repo_status, allows_git, changes=False),
            Tool("Run git", self.run_git, allows_git, allows_git_to_change),
            Tool("Run a command", self.run_shell, allows_shell, narrow=name_commands),
            Tool("Ask Claude Code", self.ask_claude_code, allows_claude, allows_claude_to_change, name_modes),
            Tool("Look at a task", self.get_task, changes=False),
            Tool("List tasks", self.list_tasks, changes=False),
            Tool("Stop a task", self.cancel_task),
            Tool("Run a task again", self.retry_task),
        ]

    def offers(self) -> Offers:
        """What may be asked for at this moment."""
        return Offers(known(self._relay))

    async def list_projects(self) -> Projects:
        """Which machines and projects there are, whether they are online, and what may be asked for in
        each project: git (off, read, write), shell (off, named commands, full), modes of Claude Code.
        Begin here."""
        machines = known(self._relay)
        step = "Use a project's name as project in the other tools."
        return Projects(summary=" ".join(map(_sentence, machines)), next_step=step, machines=machines)

    async def repo_status(self, project: Project = None, machine: MachineName = None) -> TaskView:
        """The state of a project's repository: branch, changed files, ahead or behind. Changes nothing."""
        params = {"command": ["git", "status"]}
        return await self._do(allows_git, "git", params, project, machine)

    async def run_git(
        self,
        command: Annotated[
            list[str],
            Field(min_length=1, max_length=200, description='Such as ["git", "log", "--oneline", "-5"].'),
        ],
        project: Project = None,
        machine: MachineName = None,
        title: Title = None,
        request_id: RequestId = None,
    ) -> TaskView:
        """Run one git command in a project: look (log, diff, show, branch) or, where the project allows
        git write, change (add, commit, switch, pull, push). Some commands wait for the owner's approval
        on the machine. There is no shell: no pipes, no &&."""
        words = command if command[0] == "git" else ["git", *command]
        named = {"title": title, "request_id": request_id}
        return await self._do(allows_git, "git", {"command": words}, project, machine, **named)

    async def run_shell(
        self,
        command: Annotated[
            str | None, Field(min_length=1, max_length=16_384, description="Runs under /bin/sh.")
        ] = None,
        name: Annotated[
            str | None, Field(max_length=32, description="Instead: a command that the owner has named.")
        ] = None,
        values: Annotated[
            dict[str, str] | None, Field(description="What to fill into the named command.")
        ] = None,
        project: Project = None,
        machine: MachineName = None,
        timeout: Seconds = None,  # noqa: ASYNC109 - the word of the action
        title: Title = None,
        request_id: RequestId = None,
    ) -> TaskView:
        """Run a command in a project on the user's own machine, such as its tests. Use repo_status or
        run_git for git."""
        params = {"command": command, "name": name, "values": values, "timeout": timeout}
        named = {"title": title, "request_id": request_id}
        return await self._do(allows_shell, "shell", params, project, machine, **named)

    async def ask_claude_code(
        self,
        prompt: Annotated[
            str, Field(min_length=1, max_length=200_000, description="The job, in the user's words.")
        ],
        mode: Annotated[
            Mode,
            Field(
                description="review reads, plan proposes, ask lets the user allow each step in the viewer, "
                "edit changes files, full may run anything."
            ),
        ] = "review",
        session: Annotated[
            str | None, Field(description="Go on with this earlier session, the session id of a result.")
        ] = None,
        isolation: Annotated[
            Literal["none", "worktree"], Field(description="worktree works on a branch of its own.")
        ] = "none",
        project: Project = None,
        machine: MachineName = None,
        title: Title = None,
        request_id: RequestId = None,
    ) -> TaskView:
        """Give Claude Code, on the user's own machine, a job in a project: review a change, explain code,
        plan, fix. It takes minutes; tell the user that it runs, and ask get_task later."""
        params = {"prompt": prompt, "mode": mode, "session": session, "isolation": isolation}
        named = {"title": title, "request_id": request_id}
        return await self._do(allows_claude, "claude_code", params, project, machine, **named)

    async def get_task(self, task_id: EarlierTask) -> TaskView:
        """How a task is going and what came of it. Waits up to 25 seconds for it to end."""
        return await self._look(task_id)

    async def list_tasks(
        self,
        status: OfStatus = None,
        machine: MachineName = None,
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> Tasks:
        """The newest tasks, newest first, each with one sentence."""
        found = await self._relay.writer.run(store.list_tasks, status, machine, limit)
        lines = [TaskLine.model_validate(view(self._relay, one).model_dump()) for one in found]
        summary = f"The newest of {len(lines)}: {lines[0].summary}" if lines else "There are no tasks."
        return Tasks(summary=summary, next_step="Call get_task for the output of one.", tasks=lines)

    async def cancel_task(self, task_id: EarlierTask) -> TaskView:
        """Stop a task that waits or runs, with everything that it started."""
        await self._needed(task_id)
        await control.give_order(self._relay, task_id, CANCEL, CALLER.get())
        return await self._look(task_id)

    async def retry_task(self, task_id: EarlierTask, request_id: RequestId = None) -> TaskView:
        """Run a failed or cancelled task again. Only when the user asks for it."""
        await self._needed(task_id)
        await control.give_order(self._relay, task_id, RETRY, CALLER.get(), request_id)
        return await self._look(task_id)

    async def run_added(self, action: str, arguments: dict[str, Any]) -> TaskView:  # Any: JSON
        """Run an action that a machine's owner added. The machine knows what its *arguments* must be;
        raises ValidationError for those that every tool takes."""
        common = Common.model_validate(arguments)
        params = {name: value for name, value in arguments.items() if name not in Common.model_fields}
        machine = common.machine or self.offers().machine_for(action)
        named = {"title": common.title, "request_id": common.request_id}
        return await self._do(allows_added_actions, action, params, common.project, machine, **named)

    async def _do(
        self,
        may: May,
        action_type: str,
        params: dict[str, Any],  # Any: JSON
        project: str | None,
        machine: str | None,
        title: str | None = None,
        request_id: str | None = None,
    ) -> TaskView:
        """Accept a command exactly as POST /webhook does, and wait for its result."""
        project, machine = self.offers().find(project, machine, may)
        given = {name: value for name, value in {**params, "project": project}.items() if value is not None}
        data = {"action_type": action_type, "machine": machine, "title": title, "params": given}
        payload = {"type": COMMAND, "data": data}
        post = webhook.Post(CALLER.get(), COMMAND, payload, request_id or uuid.uuid4().hex)
        task, duplicate = await webhook.accept_command(self._relay, post, webhook.read_command(payload))
        return await self._look(task.task_id, duplicate=duplicate)

    async def _look(self, task_id: str, *, duplicate: bool = False) -> TaskView:
        task = await self._needed(task_id)
        if self._relay.hub.is_online(task.machine):
            task = await wait_until_final(self._relay, task_id, WAIT_S)
        return give(self._relay, task, duplicate=duplicate, again=AGAIN)

    async def _needed(self, task_id: str) -> Task:
        task = await self._relay.writer.run(store.get_task, task_id)
        if task is None:
            raise Problem(Code.NOT_FOUND, f"There is no task {task_id!r}; list_tasks shows those there are")
        return task


def _sentence(one: MachineProjects) -> str:
    """A machine for the ear: "laptop, which is offline, has garden and house."."""
    names = [project.name for project in one.projects or ()]
    if one.projects is None:
        has = "has not said what it allows"
    elif len(names) > _MOST_NAMES:
        has = f"has {len(names)} projects"
    else:
        has = "has " + (" and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "no projects")
    return f"{one.machine}, which is {'online' if one.online else 'offline'}, {has}."
