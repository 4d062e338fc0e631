"""A machine as it might look after a month of use, the same each time: for screens, and to look around."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import Any

from relay.protocol import Reason, Status
from tests.viewer.machine import Machine
from viewer.own import OwnFile
from viewer.seen import Seen
from worker import models, moves

ANSWER = """## The `timezone` test passes now

The test compared a **naive** datetime with an aware one. I changed two files:

| File | Change |
| --- | --- |
| `app/clock.py` | `now()` returns an aware UTC datetime |
| `tests/test_timezone.py` | freeze time through the fixture |

```python
def now() -> datetime:
    return datetime.now(UTC)
```

All 214 tests pass in 9.3 s. One thing to decide: the old helper is still used in
`scripts/`. Shall I remove it?
"""
FAILURE = "\n".join(
    [
        "\x1b[1m============================= test session starts ==============================\x1b[0m",
        "platform linux -- Python 3.11.7, pytest-9.2.0",
        "collected 214 items",
        "",
        *(f"tests/test_api_{n:02}.py \x1b[32m{'.' * (7 + n % 5)}\x1b[0m  [{4 * n:3}%]" for n in range(24)),
        "tests/test_webhook.py \x1b[32m...\x1b[31mF\x1b[32m..\x1b[0m  [100%]",
        "",
        "\x1b[31mE   AssertionError: expected 202, got 500\x1b[0m",
        "tests/test_webhook.py:48: AssertionError",
        "\x1b[31m============ \x1b[1m1 failed\x1b[0m, \x1b[32m213 passed\x1b[31m in 9.31s ===========\x1b[0m",
        "",
    ]
)
STATUS = """On branch main
Your branch is up to date with 'origin/main'.

Changes not staged for commit:
\t\x1b[31mmodified:   app/clock.py\x1b[0m
\t\x1b[31mmodified:   tests/test_timezone.py\x1b[0m
"""
RUNNING = "".join(
    f"\x1b[2m14:27:{n:02}\x1b[0m \x1b[36m{name:<11}\x1b[0m {text}\n"
    for n, (name, text) in enumerate(
        [
            ("setup", "node 20.20, pnpm 9.14"), ("install", "resolved 812 packages"),
            ("install", "\x1b[32mdone\x1b[0m in 6.2 s"), ("lint", "\x1b[32mno problems\x1b[0m in 143 files"),
            ("typecheck", "\x1b[32mno problems\x1b[0m"), ("unit", "\x1b[32m318 passed\x1b[0m, 2 skipped"),
            ("build", "vite v7.1 building for production ..."), ("build", "1 204 modules transformed"),
            ("build", "\x1b[33mwarn\x1b[0m chunk editor.js is larger than 500 kB"),
            ("build", "\x1b[32mbuilt\x1b[0m in 11.8 s"), ("e2e", "starting 2 browsers"),
            ("e2e", "login.spec.ts \x1b[32mok\x1b[0m (2.1 s)"),
            ("e2e", "editor.spec.ts \x1b[32mok\x1b[0m (4.8 s)"),
            ("e2e", "sync.spec.ts ..."),
        ]
    )
)  # fmt: skip

Fields = dict[str, Any]


def seed(machine: Machine, now: datetime) -> dict[str, str]:
    """Fill the records as if it were *now*. Returns the ids of the tasks that are worth a look."""
    _month(machine, now)
    _looked_at(now)
    minutes = iter((150, 94, 71, 52, 38, 21, 12, 4, 3, 1))

    def add(task_id: str, action: str, title: str, preview: str, **more: Any) -> str:
        asked = now - timedelta(minutes=next(minutes))
        return _add(machine, task_id, action, title, preview, asked, **more)

    add(
        "disk-space",
        "shell",
        "How much disk is left on the laptop?",
        "df -h /",
        seconds=0.1,
        headline="212 GB of 476 GB are free",
        printed="/dev/nvme0n1p2  476G  264G  212G  56% /\n",
    )
    add(
        "review-dotfiles",
        "claude_code",
        "Review my last commit in dotfiles for bugs",
        "Review my last commit for bugs",
        seconds=71,
        data={"answer": "No bugs found.", "ended": "success"},
        headline="No bugs found. One alias shadows a builtin.",
    )
    add(
        "pull-notes",
        "git",
        "Pull notes-app",
        "git pull --ff-only",
        seconds=2.1,
        status=Status.FAILED,
        error="git says that your branch and origin/main have diverged; merge or rebase at the machine",
        returncode=128,
        printed="fatal: Not possible to fast-forward, aborting.\n",
    )
    add(
        "webhook-endpoint",
        "shell",
        "Run the tests of billing-api",
        "pytest -q",
        seconds=121,
        attempt=2,
        status=Status.FAILED,
        error="It ended with exit status 1: 1 failed, 213 passed",
        returncode=1,
        printed=FAILURE,
    )
    add(
        "old-branches",
        "git",
        "Delete branches that are merged",
        "git branch --delete feature/login",
        status=Status.CANCELLED,
    )
    add(
        "fix-timezone",
        "claude_code",
        "Fix the failing timezone test in billing-api",
        "Fix the failing timezone test",
        seconds=94,
        data={"answer": ANSWER, "ended": "success"},
        headline="2 files changed. The timezone test passes now.",
        printed="● I will look at the test first.\n▸ Read tests/test_timezone.py\n▸ Edit app/clock.py\n"
        "▸ Bash pytest -q\n\x1b[32m214 passed\x1b[0m in 9.31s\n"
        "── completed after 94 s · 11 turns · $0.2140\n",
    )
    add(
        "git-status",
        "git",
        "What is the state of billing-api?",
        "git status",
        seconds=0.03,
        headline="On branch main, two files changed",
        printed=STATUS,
    )
    add(
        "home-lab-tests",
        "shell",
        "Run all checks of notes-app",
        "pnpm run check",
        status=Status.RUNNING,
        printed=RUNNING,
    )
    add("build-docs", "shell", "Build the docs", "make docs", status=Status.PENDING)
    add(
        "push-notes",
        "git",
        "Push notes-app to production",
        "git push origin main",
        status=Status.AWAITING_APPROVAL,
    )
    for number, name in enumerate(("push", "pull_request", "workflow_run")):
        machine.event(
            name, {"action": "completed", "repository": {"full_name": "ada/notes-app"}, "number": number}
        )
    return {
        "failed": "webhook-endpoint",
        "answer": "fix-timezone",
        "running": "home-lab-tests",
        "asks": "push-notes",
    }


def _add(  # noqa: PLR0917 - it reads as a row
    machine: Machine, task_id: str, action: str, title: str, preview: str, asked: datetime,
    status: Status = Status.COMPLETED, seconds: float = 0, printed: str = "", returncode: int = 0,
    headline: str | None = None, error: str | None = None, attempt: int = 1, data: Fields | None = None,
) -> str:  # fmt: skip
    is_waiting = status in {Status.PENDING, Status.AWAITING_APPROVAL}
    started = None if is_waiting else asked + timedelta(seconds=0.2)
    ended = started + timedelta(seconds=seconds) if started and status.is_final else None
    result = {"stdout": "", "stderr": "", "returncode": returncode, "headline": headline, **(data or {})}
    asks = status is Status.AWAITING_APPROVAL
    task = moves.insert(
        asked,
        id=task_id,
        action_type=action,
        status=status,
        title=title,
        preview=preview,
        digest=task_id,
        attempt=attempt,
        caller="phone",
        directory="/home/ada/notes-app",
        started_at=started,
        completed_at=ended,
        error=error,
        project="notes-app",
        scope="git.approval",
        expires_at=asked + timedelta(hours=24),
        input_data=json.dumps({"command": preview, "project": "notes-app"}),
        output_data=json.dumps(result) if ended else None,
        reason=Reason.EXIT_STATUS if status is Status.FAILED else None,
        approval="git that may publish or destroy work always needs your OK" if asks else None,
        fingerprint="f" * 64 if asks else None,
    )
    assert task is not None
    if printed:
        machine.prints(task, printed)
    if attempt > 1:
        models.Attempt.create(
            task_id=task.id, attempt=1, status=Status.FAILED, reason=Reason.TIMED_OUT,
            error="It ran longer than 30 seconds and was stopped",
            started_at=asked - timedelta(minutes=5), completed_at=asked - timedelta(minutes=4.5),
        )  # fmt: skip
    return task.id


def _looked_at(now: datetime) -> None:
    """What its owner has opened so far: most of it, mostly on the phone and soon."""
    dice, moment = random.Random(3), Clock(now)
    own = OwnFile(models.output_dir().with_suffix(".viewer.db"))
    own.mark("since", (now - timedelta(days=31)).isoformat())
    seen = Seen(own, moment)
    for task in models.Task.run("SELECT * FROM tasks ORDER BY seq"):
        moment.time = task.completed_at + timedelta(seconds=dice.lognormvariate(4.6, 0.9))
        if dice.random() < 0.72:
            seen.look(task, "phone" if dice.random() < 0.7 else "laptop")


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.time = at

    def __call__(self) -> datetime:
        return self.time


_USUAL = (
    ("git", "Check git status", "git status", 0.03),
    ("git", "What did I commit yesterday?", "git log --oneline -10", 0.05),
    ("git", "Pull everything", "git pull --ff-only", 1.8),
    ("shell", "Run the tests", "make test", 41),
    ("shell", "Is the backup there?", "ls -la /var/backups", 0.1),
    ("claude_code", "Review the open pull request", "Review the open pull request", 88),
    ("claude_code", "Tidy the imports", "Tidy the imports", 64),
)


def _month(machine: Machine, now: datetime) -> None:
    """Thirty days of ordinary work, busier on working days."""
    dice = random.Random(7)
    for day in range(30, 0, -1):
        morning = (now - timedelta(days=day)).replace(hour=7, minute=0)
        for number in range(dice.randint(2, 6) if morning.weekday() >= 5 else dice.randint(8, 19)):
            action, title, command, typical = dice.choice(_USUAL)
            failed = dice.random() < 0.11
            seconds = typical * dice.lognormvariate(0, 0.5)
            asked = morning + timedelta(minutes=dice.uniform(0, 840))
            _add(machine, f"task-{day}-{number}", action, title, command, asked, seconds=seconds,
                 status=Status.FAILED if failed else Status.COMPLETED, returncode=int(failed),
                 error="It ended with exit status 1" if failed else None)  # fmt: skip
