"""What running tasks ask their owner: may I do exactly this? This module reads; `worker.moves` changes.

A row of its own and not a status: the task goes on running, and a late answer must find its question
closed, whatever became of the task."""

from __future__ import annotations

from peewee import AutoField, IntegerField, TextField

from relay.protocol import Status
from worker.models import Table, Task, UTCField


class Question(Table):
    """One request of one attempt. It is open while `answer` is empty and that attempt runs."""

    id = AutoField()
    task_id = TextField(index=True)
    attempt = IntegerField()
    tool = TextField()
    line = TextField()  #: all of it in one line
    params = TextField()  #: all of it, JSON, without secrets
    why = TextField()  #: why it has to be asked; may be empty
    fingerprint = TextField()  #: stands for exactly what would be done
    asked_at = UTCField()
    lapses_at = UTCField()  #: on the steady clock; no answer until then is a no
    answer = TextField(null=True)  #: the first that was given: yes, no, none

    class Meta:
        table_name = "questions"


def open_in(task: Task) -> list[Question]:
    """What *task*, as it was read, waits for an answer to; the oldest first."""
    if task.status != Status.RUNNING:
        return []
    which = "task_id = ? AND attempt = ? AND answer IS NULL ORDER BY id"
    return Question.run(f"SELECT * FROM questions WHERE {which}", task.id, task.attempt)  # noqa: S608 - our own words
