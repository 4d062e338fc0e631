"""What the statistics ask the records: all that has ended in a period. It reads much, so not for polls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from relay.protocol import Reason
from viewer.records import rows


class Ended(NamedTuple):
    """An ended task, as far as statistics go. Times are seconds since 1970."""

    action: str
    status: str
    reason: str | None
    attempt: int
    preview: str
    created_at: float
    started_at: float | None
    ended_at: float
    was_asked: bool
    was_approved: bool

    @property
    def is_refused(self) -> bool:
        """Whether validation, policy or its owner said no."""
        return self.reason == Reason.REJECTED

    @property
    def has_run(self) -> bool:
        # What the policy of the day forbids when its turn comes was started, and nothing was run.
        return self.started_at is not None and not self.is_refused

    @property
    def seconds(self) -> float | None:
        """How long it ran; None when it never did."""
        return None if self.started_at is None else self.ended_at - self.started_at


def ended(since: datetime | None) -> list[Ended]:
    """Every task that has ended, or ended after *since*."""
    return [Ended._make(row) for row in rows(_ENDED, _text(since))]


def fetched(since: datetime) -> dict[tuple[str, int], float]:
    """For attempts that ended after *since*, by task and number: seconds from the end to the moment
    at which a caller was given the result."""
    return {
        (task_id, attempt): max(0.0, after_s) for task_id, attempt, after_s in rows(_FETCHED, _text(since))
    }


def fetches() -> int:
    """Grows with every result that a caller was given."""
    return int(rows("SELECT coalesce(max(rowid), 0) FROM fetches")[0][0])


def asked_since(since: datetime | None) -> int:
    """How many tasks were asked for, or asked for after *since*."""
    return int(rows("SELECT count(*) FROM tasks WHERE created_at >= ?", _text(since))[0][0])


_UNIX = "(julianday({}) - 2440587.5) * 86400"
_ENDED = f"""SELECT action_type, status, reason, attempt, substr(preview, 1, 40),
{_UNIX.format("created_at")}, {_UNIX.format("started_at")}, {_UNIX.format("completed_at")},
approval IS NOT NULL, approved IS NOT NULL
FROM tasks WHERE completed_at >= ?"""  # noqa: S608 - our own words
_FETCHED = f"""SELECT id, tasks.attempt,
{_UNIX.format("fetched_at")} - {_UNIX.format("completed_at")}
FROM fetches JOIN tasks ON tasks.id = fetches.task_id AND tasks.attempt = fetches.attempt
WHERE completed_at >= ?"""  # noqa: S608 - our own words


def _text(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") if at else ""
