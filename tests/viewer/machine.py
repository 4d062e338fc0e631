"""Real records for the viewer's tests, made through the inbox and the models as in real life."""

from __future__ import annotations

import itertools
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relay.protocol import Command, Reason, Status
from tests.door import ask, hand_in, webhook
from worker import clock, models, moves, questions
from worker.inbox import Inbox, open_inbox
from worker.settings import Settings

MACHINE_KEY = "fake-machine-key-for-tests-0000"


class Machine:
    """Records, queue and policy in one folder, and a worker played by the test."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            "MACHINE_KEY": MACHINE_KEY,
            "SQLITE_PATH": str(folder / "tasks.db"),
            "QUEUE_URL": str(folder / "queue.db"),
            "POLICY_PATH": str(folder / "policy.toml"),
        }
        (folder / "project").mkdir(exist_ok=True)
        self.policy = folder / "policy.toml"
        self.policy.write_text(
            f'version = 1\n[projects.home]\npath = "{folder / "project"}"\ngit = "write"\nshell = "full"\n'
            'claude = ["review", "edit"]\nparallel = true\n'
        )
        self.inbox: Inbox = open_inbox(Settings.read(self.environment))
        self._numbers = itertools.count(1)

    def close(self) -> None:
        models.database.close()

    def forget_everything(self) -> None:
        """As on the first day."""
        for table in (models.Task, models.Attempt, models.Event, questions.Question):
            table.delete().execute()
        for log in models.output_dir().glob("*.log"):
            log.unlink()
        own = sqlite3.connect(models.output_dir().with_suffix(".viewer.db"))
        with own:
            own.execute("DELETE FROM seen")
        own.close()
        # Not the same records any more, for whoever remembers something about them.
        clock.Boot.update(origin=clock.Boot.origin + 0.001).execute()

    def current(self, task_id: str) -> models.Task:
        """The task as its row stands now."""
        found = models.get(task_id)
        assert found is not None
        return found

    def asked(self, command: str | list[str] = "make test", **more: Any) -> models.Task:
        """A task that waits. Anything but parameters of the command goes into the command itself."""
        params = more.pop("params", {"command": command})
        caller = more.pop("caller", "phone")
        fields = {"task_id": f"task-{next(self._numbers)}", "action_type": "shell", "params": params, **more}
        return ask(
            self.inbox, Command.model_validate({"ttl": 3600, **fields}), caller=caller, expires_in=3600
        )

    def start(self, task: models.Task, *, since: float = 0) -> models.Task:
        """The worker takes it; it has been running for *since* seconds."""
        running = moves.claim(task.id, "owner", datetime.now(UTC) - timedelta(seconds=since))
        assert running is not None
        return running

    def started(self, command: str = "make test", *, since: float = 0, **more: Any) -> models.Task:
        """A task that runs."""
        return self.start(self.asked(command, **more), since=since)

    def prints(self, task: models.Task, output: str | bytes) -> None:
        """The program prints this."""
        models.output_dir().mkdir(exist_ok=True)
        with models.output_path(task).open("ab") as log:
            log.write(output.encode() if isinstance(output, str) else output)

    def end(self, task: models.Task, returncode: int = 0, **more: Any) -> models.Task:
        """The program ends with this exit status; *more* overrules status, reason, error, headline."""
        failed = returncode != 0
        status = more.get("status", Status.FAILED if failed else Status.COMPLETED)
        result = {"stdout": "", "stderr": "", "returncode": returncode, "headline": more.get("headline")}
        ended = moves.finish(
            task,
            status,
            datetime.now(UTC),
            reason=more.get("reason", Reason.EXIT_STATUS if failed else None),
            error=more.get("error", f"It ended with exit status {returncode}" if failed else None),
            output_data=json.dumps(more.get("output_data", result)),
        )
        assert ended is not None
        return ended

    def ended(self, command: str = "make test", returncode: int = 0, **more: Any) -> models.Task:
        """A task that ran for two seconds and ended."""
        about_the_end = {
            name: more.pop(name)
            for name in ("status", "reason", "error", "headline", "output_data")
            if name in more
        }
        printed, since = more.pop("printed", ""), more.pop("since", 2)
        task = self.started(command, since=since, **more)
        if printed:
            self.prints(task, printed)
        return self.end(task, returncode, **about_the_end)

    def asks(self, task: models.Task, tool: str, params: dict[str, Any], **more: Any) -> int:
        """A running task asks its owner; the number of the question."""
        now = datetime.now(UTC)
        return moves.ask(
            task, tool=tool, line=f"{tool} {next(iter(params.values()))}"[:100],
            params=json.dumps(params),
            fingerprint=f"print-{next(self._numbers)}", asked_at=now,
            **{"why": "", "lapses_at": now + timedelta(minutes=5), **more},
        )  # fmt: skip

    def event(self, name: str = "github.push", payload: Any = None, delivery_id: str | None = None) -> None:
        """A webhook that is no command arrives."""
        named = delivery_id or f"delivery-{next(self._numbers)}"
        pushed = payload or {"ref": "refs/heads/main"}
        hand_in(self.inbox, webhook(name, pushed, delivery_id=named, caller="github"))

    def needs_ok(self, **more: Any) -> models.Task:
        """A task that waits for its owner's word."""
        easy = self.policy.read_text()
        self.policy.write_text(easy + '[approval]\nrequire = ["shell.full", "claude.review"]\n')
        task = self.asked(**more)
        self.policy.write_text(easy)
        assert task.status == Status.AWAITING_APPROVAL
        return task
