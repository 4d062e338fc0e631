"""One thread, one transaction for whatever waits, and no answer before it is on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay import tables
from relay.tables import Delivery
from relay.writer import MAX_BATCH, Unavailable, Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    one = Writer(tables.open_database(path))
    one.start()
    yield one
    one.stop()


def insert(number: int, payload: str = "{}") -> int:
    Delivery.create(
        delivery_id=str(number), machine="laptop", event="note", payload=payload, size=len(payload),
        digest="", caller="phone", accepted_at=0, expires_at=0,
    )  # fmt: skip
    return number


def fail(number: int) -> int:
    insert(number)
    raise LookupError(number)


def held_back(writer: Writer, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run *work* while the writer is busy, so that all its jobs wait together, and let go then."""

    async def main() -> Any:
        gate, busy = threading.Event(), threading.Event()
        first = asyncio.ensure_future(writer.run(lambda: (busy.set(), gate.wait(10))))
        await asyncio.to_thread(busy.wait, 10)
        waiting = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        await first
        return await waiting

    return asyncio.run(main())


def rows(path: Path) -> list[str]:
    reader = sqlite3.connect(path)
    try:
        return [row[0] for row in reader.execute("SELECT delivery_id FROM deliveries ORDER BY seq")]
    finally:
        reader.close()


def test_the_writers_connection_syncs_every_commit(writer: Writer) -> None:
    async def ask() -> tuple[Any, Any, Any]:
        return (
            await writer.run(tables.database.pragma, "journal_mode"),
            await writer.run(tables.database.pragma, "synchronous"),
            await writer.run(tables.database.pragma, "busy_timeout"),
        )

    assert asyncio.run(ask()) == ("wal", 2, 5_000), "2 is FULL"


def test_the_answer_comes_when_another_process_can_see_the_row(writer: Writer, path: Path) -> None:
    async def main() -> None:
        for number in range(5):
            await writer.run(insert, number)
            assert rows(path)[-1] == str(number)

    asyncio.run(main())


def test_jobs_that_wait_together_run_in_order_and_each_gets_its_own_answer(
    writer: Writer, path: Path
) -> None:
    async def many() -> list[int]:
        return await asyncio.gather(*(writer.run(insert, number) for number in range(3 * MAX_BATCH)))

    assert held_back(writer, many) == list(range(3 * MAX_BATCH))
    assert rows(path) == [str(number) for number in range(3 * MAX_BATCH)]


def test_what_waits_together_shares_one_commit(writer: Writer, path: Path) -> None:
    seen: list[int] = []

    async def many() -> None:
        await asyncio.gather(
            *(writer.run(lambda n=n: (insert(n), seen.append(len(rows(path))))) for n in range(20))
        )

    held_back(writer, many)
    assert seen == [0] * 20, "none was visible from outside while the others were written"
    assert len(rows(path)) == 20


def test_one_bad_job_in_a_batch_fails_alone(writer: Writer, path: Path) -> None:
    async def mixed() -> list[Any]:
        jobs = [writer.run(fail if number % 3 == 1 else insert, number) for number in range(9)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    answers = held_back(writer, mixed)
    assert [type(one).__name__ for one in answers] == ["int", "LookupError", "int"] * 3
    assert rows(path) == ["0", "2", "3", "5", "6", "8"], "also what the bad ones had written is undone"


def test_a_row_that_the_database_refuses_fails_alone_too(writer: Writer, path: Path) -> None:
    async def same() -> list[Any]:
        return await asyncio.gather(*(writer.run(insert, n) for n in (1, 1, 2)), return_exceptions=True)

    answers = held_back(writer, same)
    assert (answers[0], answers[2]) == (1, 2)
    assert isinstance(answers[1], Exception)
    assert rows(path) == ["1", "2"]


def test_a_full_disk_is_unavailable_and_later_it_goes_on(writer: Writer, path: Path) -> None:
    async def main() -> None:
        await writer.run(insert, 1)
        await writer.run(tables.database.execute_sql, "PRAGMA max_page_count = 1")
        with pytest.raises(Unavailable, match=r"disk is full\); make room on its disk first"):
            await writer.run(insert, 2, "x" * 500_000)
        await writer.run(tables.database.execute_sql, "PRAGMA max_page_count = 100000")
        await writer.run(insert, 3, "x" * 500_000)

    asyncio.run(main())
    assert rows(path) == ["1", "3"]


def test_nobody_is_told_yes_when_the_disk_is_full_for_the_batch(writer: Writer, path: Path) -> None:
    async def many() -> list[Any]:
        jobs = [writer.run(insert, number, "x" * 100_000) for number in range(10)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    async def limit() -> None:
        await writer.run(tables.database.execute_sql, "PRAGMA max_page_count = 100")

    asyncio.run(limit())
    answers = held_back(writer, many)
    assert {type(one) for one in answers} <= {int, Unavailable}
    assert Unavailable in {type(one) for one in answers}
    assert rows(path) == [str(one) for one in answers if isinstance(one, int)], (
        "a yes is on disk, a no is not"
    )


def test_a_database_that_somebody_else_holds_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tables.open_database(path))
    tables.database.init(str(path), pragmas={"busy_timeout": 50})
    writer.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        with pytest.raises(Unavailable, match="locked"):
            await writer.run(insert, 1)
        other.execute("ROLLBACK")
        assert await writer.run(insert, 2) == 2

    try:
        asyncio.run(main())
    finally:
        other.close()
        writer.stop()
    assert rows(path) == ["2"]


def test_an_asker_who_went_away_does_not_disturb_the_others(writer: Writer, path: Path) -> None:
    async def main() -> None:
        leaving = asyncio.ensure_future(writer.run(insert, 1))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await writer.run(insert, 2) == 2

    asyncio.run(main())
    assert rows(path) == ["1", "2"]


def test_what_was_handed_in_before_the_stop_is_committed(path: Path) -> None:
    async def main() -> list[int]:
        writer = Writer(tables.open_database(path))
        jobs = [asyncio.ensure_future(writer.run(insert, number)) for number in range(300)]
        await asyncio.sleep(0)
        writer.start()
        await asyncio.to_thread(writer.stop)
        return await asyncio.wait_for(asyncio.gather(*jobs), 10)

    assert asyncio.run(main()) == list(range(300))
    assert len(rows(path)) == 300
