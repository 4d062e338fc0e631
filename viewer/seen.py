"""Which results somebody has looked at, and how soon: one row per attempt, at the first look."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from viewer import records
from viewer.own import OwnFile
from worker import models


class Seen:
    """First looks. What ended before the viewer kept count is neither new nor counted."""

    def __init__(self, own: OwnFile, now: Callable[[], datetime]) -> None:
        self._own = own
        self._now = now
        self.since = datetime.fromisoformat(own.mark("since", now().isoformat()))

    def look(self, task: models.Task, through: str) -> None:
        """Somebody looks at the result of *task* on a *through* ("phone" or "laptop"); only the
        first look at an attempt that has ended counts."""
        if task.completed_at is None:
            return
        after_s = max(0.0, (self._now() - task.completed_at).total_seconds())
        with self._own.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO seen (task_id, attempt, ended_at, after_s, through) "
                "VALUES (?, ?, ?, ?, ?)",
                (task.id, task.attempt, task.completed_at.isoformat(" "), after_s, through),
            )

    def unseen(self, tasks: Iterable[models.Task]) -> set[str]:
        """The ids of those *tasks* that have ended and that nobody has looked at."""
        ended = {t.id: t.attempt for t in tasks if t.completed_at and t.completed_at >= self.since}
        among = f"SELECT task_id, attempt FROM seen WHERE task_id IN ({models.placeholders(ended)})"  # noqa: S608 - our own words
        found = self._own.connection.execute(among, list(ended))
        return {task_id for task_id, _ in ended.items() - set(found.fetchall())}

    def latest(self) -> int:
        """Grows with every first look."""
        found = self._own.connection.execute("SELECT max(number) FROM seen").fetchone()
        return int(found[0] or 0)

    def looks(self, since: str) -> dict[tuple[str, int], tuple[float, str]]:
        """For attempts that ended after *since*, by task and number: seconds from the end to the first
        look, and on what."""
        text = "SELECT task_id, attempt, after_s, through FROM seen WHERE ended_at >= ?"
        found = self._own.connection.execute(text, (since,)).fetchall()
        return {(task_id, attempt): (after_s, through) for task_id, attempt, after_s, through in found}

    def forget(self) -> None:
        """Drop what ended before everything that the records still have."""
        if oldest := records.oldest_end():
            with self._own.writing() as connection:
                connection.execute("DELETE FROM seen WHERE ended_at < ?", (oldest,))
