"""Which results callers were given, as the relay tells with its heartbeats: an assistant reads them to its
owner, who then has no need to look. The listener writes them down, the viewer counts them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from peewee import CompositeKey, IntegerField, TextField

from relay.protocol import Fetched
from worker.models import Table, UTCField
from worker.moves import together


class Fetch(Table):
    """The first time that the result of an attempt was given to somebody."""

    task_id = TextField()
    attempt = IntegerField()
    fetched_at = UTCField()

    class Meta:
        table_name = "fetches"
        primary_key = CompositeKey("task_id", "attempt")


def record(fetched: Sequence[Fetched], now: datetime) -> None:
    """Write down those that are not known yet."""
    rows = [
        {"task_id": one.task_id, "attempt": one.attempt, "fetched_at": now - timedelta(seconds=one.ago_s)}
        for one in fetched
    ]
    with together():
        Fetch.insert_many(rows).on_conflict_ignore().execute()


def forget(before: datetime) -> None:
    """Drop what was fetched before *before*: its tasks had ended by then."""
    with together():
        Fetch.delete().where(Fetch.fetched_at < before).execute()
