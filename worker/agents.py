"""Which assistants can be called on this machine. The worker looks now and then and writes it down; the
listener, which starts no programs, tells the relay what is written."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from peewee import BooleanField, TextField

from relay.announced import Agent
from worker.models import STORE_ERRORS, Table, UTCField
from worker.moves import WRITING


class Found(Table):
    """An assistant as it was found last."""

    name = TextField(primary_key=True)
    version = TextField(null=True)
    logged_in = BooleanField(null=True)
    looked_at = UTCField()

    class Meta:
        table_name = "agents"


def record(agent: Agent, now: datetime) -> None:
    """Write down what was found, instead of what was found before."""
    with WRITING:
        Found.insert(**agent.model_dump(), looked_at=now).on_conflict_replace().execute()


def known() -> list[Agent]:
    """What was found last, by name; nothing while the records cannot be read."""
    rows: list[Found] = []
    with suppress(*STORE_ERRORS):
        rows = Found.run("SELECT * FROM agents ORDER BY name")
    return [Agent(name=row.name, version=row.version, logged_in=row.logged_in) for row in rows]
