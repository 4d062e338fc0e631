"""The relay's file."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay import endings, store, tables
from relay.protocol import Report, Status
from relay.tables import CannotOpen, Delivery, Task


@pytest.fixture(autouse=True)
def database(tmp_path: Path) -> Iterator[None]:
    tables.open_database(tmp_path / "relay.db").connect()
    yield
    tables.database.close()


def delivery(number: int, **changes: Any) -> store.NewDelivery:
    values = {
        "delivery_id": f"d{number}", "event": "note", "payload": "{}", "digest": "same", "caller": "phone",
        "accepted_at": float(number), "expires_at": float(number) + 60,
    }  # fmt: skip
    return store.NewDelivery(**{**values, **changes})


def task(task_id: str, machine: str = "laptop") -> store.NewTask:
    return store.NewTask(task_id, "git", None, machine)


def report(task_id: str, **news: Any) -> Report:
    return Report.model_validate({"task_id": task_id, "rev": 1, "attempt": 1, "status": "completed", **news})


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store.accept_event(delivery(1), ["laptop"])
    for path in tmp_path.glob("relay.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("this is a letter, not a database, and long enough to be one " * 20)
    with pytest.raises(CannotOpen, match="RELAY_SQLITE_PATH"):
        tables.open_database(tmp_path / "other.db")


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="nowhere"):
        tables.open_database(tmp_path / "nowhere" / "relay.db")


def test_what_waits_is_found_by_its_partial_index() -> None:
    plan = tables.database.execute_sql(
        "EXPLAIN QUERY PLAN SELECT * FROM deliveries "
        "WHERE machine = 'laptop' AND state = 'waiting' ORDER BY seq"
    ).fetchall()
    assert "deliveries_waiting" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_what_waits_for_a_machine_is_found_without_looking_at_the_rest() -> None:
    plan = tables.database.execute_sql(
        "EXPLAIN QUERY PLAN UPDATE deliveries SET state = 'delivered' "
        "WHERE delivery_id IN (?, ?) AND machine = ? AND state = 'waiting'", ("a", "b", "laptop")
    ).fetchall()  # fmt: skip
    assert "delivery_id" in str(plan)


def sent(limit: int = 32, skip: tuple[int, ...] = ()) -> list[Delivery]:
    """Send what waits for the laptop, as a session does."""
    return store.load([seq for seq, _ in store.waiting("laptop", skip=skip, limit=limit)])


def test_every_send_is_counted_and_what_is_on_its_way_is_left_out() -> None:
    for number in range(5):
        store.accept_event(delivery(number), ["laptop", "tower"])
    first = sent(limit=2)
    assert [one.delivery_id for one in first] == ["d0", "d1"]
    assert [one.sends for one in first] == [0, 0], "the envelope adds this time"
    rest = sent(skip=tuple(one.seq for one in first))
    assert [one.delivery_id for one in rest] == ["d2", "d3", "d4"]
    assert [one.sends for one in Delivery.find("machine = 'laptop' ORDER BY seq")] == [1] * 5
    assert [one.sends for one in Delivery.find("machine = 'tower'")] == [0] * 5
    assert store.waiting("laptop", skip=[], limit=0) == []
    assert store.load([]) == []


def test_what_did_not_leave_does_not_count_as_sent() -> None:
    for number in range(2):
        store.accept_event(delivery(number), ["laptop"])
    store.not_sent([one.seq for one in sent()][1:])
    assert [one.sends for one in Delivery.find("true ORDER BY seq")] == [1, 0]
    store.not_sent([one.seq for one in Delivery.find("true")])
    assert [one.sends for one in Delivery.find("true")] == [0, 0]


def test_what_waits_is_measured_in_bytes() -> None:
    store.accept_event(delivery(1, payload='{"a": "ü😀"}'), ["laptop"])
    ((seq, size),) = store.waiting("laptop", skip=[], limit=32)
    assert size == len('{"a": "ü😀"}'.encode())
    assert store.load([seq])[0].size == size


def test_what_was_taken_back_between_the_look_and_the_send_is_not_sent() -> None:
    for number in range(3):
        store.accept_event(delivery(number), ["laptop"])
    seqs = [seq for seq, _ in store.waiting("laptop", skip=[], limit=32)]
    Delivery.change("state = 'dropped'", "delivery_id = 'd1'")
    assert [one.delivery_id for one in store.load(seqs)] == ["d0", "d2"]
    assert [one.sends for one in Delivery.find("true ORDER BY seq")] == [1, 0, 1]


def test_an_acknowledgement_counts_for_one_machine() -> None:
    store.accept_event(delivery(1), ["laptop", "tower"])
    store.acknowledge("laptop", ["d1", "never-seen"])
    assert (store.count_waiting("laptop"), store.count_waiting("tower")) == (0, 1)
    assert store.waiting("laptop", skip=[], limit=10) == []


def test_the_machines_news_goes_before_the_relays_own_verdict() -> None:
    store.accept_command(delivery(1), task("t"))
    endings.refuse("laptop", "d1", "no", 5.0)
    store.put_report("laptop", report("t", status="completed", output="it ran"))
    found = store.get_task("t")
    assert found is not None
    assert (found.status, found.error, found.output) == (Status.COMPLETED, None, "it ran")


def test_a_body_of_github_under_a_new_id_is_known_for_a_day() -> None:
    by_github = {"caller": "github", "digest": "body"}
    assert store.accept_event(delivery(1, **by_github), ["laptop"]) is False
    assert store.accept_event(delivery(2, **by_github), ["laptop"]) is True
    assert store.accept_event(delivery(1 + store.DAY_S, **by_github), ["laptop"]) is False
    assert store.accept_event(delivery(3, digest="body"), ["laptop"]) is False, "others sign their id"
    assert store.accept_event(delivery(4, caller="github", digest="other"), ["laptop"]) is False


def test_an_event_and_a_command_under_one_id_are_not_the_same() -> None:
    store.accept_event(delivery(1), ["laptop"])
    with pytest.raises(store.Conflict):
        store.accept_command(delivery(1), task("t"))
    store.accept_command(delivery(2), task("t"))
    with pytest.raises(store.Conflict):
        store.accept_event(delivery(2), ["laptop"])
    assert (Delivery.select().count(), Task.select().count()) == (2, 1)


def test_when_a_machine_was_heard_is_kept() -> None:
    assert store.last_seen() == {}
    store.seen("laptop", "1", 5.0)
    store.seen("tower", "1", 6.0)
    store.seen("laptop", "2", 7.0)
    seen = store.last_seen()
    assert {name: (one.version, one.seen_at) for name, one in seen.items()} == {
        "laptop": ("2", 7.0), "tower": ("1", 6.0),
    }  # fmt: skip


def test_a_conflict_says_what_was_used_twice() -> None:
    store.accept_command(delivery(1), task("t"))
    with pytest.raises(store.Conflict) as by_task:
        store.accept_command(delivery(2, digest="other"), task("t"))
    with pytest.raises(store.Conflict) as by_delivery:
        store.accept_command(delivery(1, digest="other"), task("u"))
    assert (by_task.value.what, by_task.value.value) == ("task_id", "t")
    assert (by_delivery.value.what, by_delivery.value.value) == ("delivery id", "d1")
    assert Task.select().count() == 1


def test_a_report_keeps_every_number_that_sqlite_can_hold() -> None:
    store.accept_command(delivery(1), task("t"))
    store.put_report("laptop", report("t", rev=2**63 - 1, returncode=2**32 - 1, attempt=2**31 - 1))
    found = store.get_task("t")
    assert found is not None
    assert (found.rev, found.returncode, found.attempt) == (2**63 - 1, 2**32 - 1, 2**31 - 1)


def test_the_tables_open_again_with_what_was_in_them(tmp_path: Path) -> None:
    store.accept_command(delivery(1), task("t"))
    tables.database.close()
    tables.open_database(tmp_path / "relay.db").connect()
    assert store.get_task("t") is not None
    reader = sqlite3.connect(tmp_path / "relay.db")
    assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    reader.close()
