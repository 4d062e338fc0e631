"""One attempt of one task: claimed, checked again, done, recorded."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import Reason, Status
from tests.chain import MACHINE_KEY, wait_until
from tests.worker.conftest import NOW
from worker import marks, models, moves, process
from worker.inbox import Inbox
from worker.models import Task
from worker.policy_file import PolicyFile
from worker.redact import Redactor
from worker.reporter import Reporter, report_of
from worker.runner import Runner
from worker.settings import Settings

Accept = Callable[..., Task]
MARKER = f"runner-{os.getpid()}"


@pytest.fixture
def runner(records: Path, policy_path: Path) -> Iterator[Runner]:
    # Never started: what it is woken for is looked at by its bell.
    reporter = Reporter(Settings.read({"MACHINE_KEY": MACHINE_KEY}))
    yield Runner(PolicyFile(policy_path), reporter, MARKER, Redactor(["hush-this-is-secret"]), lambda: NOW)
    assert marks.marked(MARKER) == []


def get(task_id: str = "t") -> Task:
    task = models.get(task_id)
    assert task is not None
    return task


def output(task: Task) -> dict[str, Any]:
    return dict(json.loads(task.output_data or "{}"))


def in_thread(runner: Runner, task_id: str = "t") -> threading.Thread:
    def work() -> None:
        try:
            runner.run(task_id)
        finally:
            models.database.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_task_that_waits_is_run_and_recorded(runner: Runner, accept: Accept) -> None:
    accept("t", command="echo out; echo err >&2")
    runner.run("t")
    task = get()
    assert (task.status, task.reason, task.error, task.owner) == (Status.COMPLETED, None, None, None)
    assert (task.started_at, task.completed_at) == (NOW, NOW)
    assert output(task).keys() >= {"stdout", "stderr", "returncode", "headline", "seconds"}
    assert (output(task)["stdout"], output(task)["stderr"], output(task)["returncode"]) == (
        "out\n",
        "err\n",
        0,
    )
    assert sorted(models.output_path(task).read_text().split()) == ["err", "out"]
    assert runner._reporter._bell.is_set()
    assert [one.id for one in models.unreported(5)] == ["t"]


@pytest.mark.parametrize(
    ("params", "reason", "word"),
    [
        ({"command": "exit 3"}, Reason.EXIT_STATUS, "exit status 3"),
        ({"command": "sleep 300", "timeout": 0.2}, Reason.TIMED_OUT, "0.2 seconds"),
        ({"command": ["no-such-program"]}, Reason.REJECTED, "no-such-program"),
    ],
)
def test_what_ends_badly_says_how(
    runner: Runner, accept: Accept, params: dict[str, Any], reason: Reason, word: str
) -> None:
    accept("t", **params)
    runner.run("t")
    assert (get().status, get().reason) == (Status.FAILED, reason)
    assert word in str(get().error)


def test_only_what_takes_a_while_is_said_to_be_running(
    runner: Runner, accept: Accept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    accept("short", command="true")
    accept("long", command="sleep 0.8")
    for name in ("short", "long"):
        runner.run(name)
    assert [record.getMessage() for record in caplog.records if record.name == "worker.runner"] == [
        "Task short is completed.",
        "Task long is running (attempt 1).",
        "Task long is completed.",
    ]


def test_the_bell_may_ring_often_late_and_for_nothing(runner: Runner, accept: Accept, tmp_path: Path) -> None:
    accept("t", command=f"echo ran >> {tmp_path}/ledger")
    for _ in range(3):
        runner.run("t")
    runner.run("never-there")
    assert (tmp_path / "ledger").read_text() == "ran\n"
    assert models.get("never-there") is None


def test_many_threads_that_are_rung_for_one_task_run_it_once(
    runner: Runner, accept: Accept, tmp_path: Path
) -> None:
    accept("t", command=f"echo ran >> {tmp_path}/ledger")
    threads = [in_thread(runner) for _ in range(8)]
    for thread in threads:
        thread.join(20)
    assert (tmp_path / "ledger").read_text() == "ran\n"


def test_a_task_that_waited_too_long_is_not_started(runner: Runner, accept: Accept, tmp_path: Path) -> None:
    accept("t", expires_in=-1, command=f"touch {tmp_path}/ran")
    runner.run("t")
    assert (get().status, get().reason) == (Status.FAILED, Reason.EXPIRED)
    assert not (tmp_path / "ran").exists()
    assert runner._reporter._bell.is_set()


def test_a_policy_that_changed_since_it_was_accepted_counts(
    runner: Runner, accept: Accept, policy_path: Path, tmp_path: Path
) -> None:
    accept("t", command=f"touch {tmp_path}/ran")
    policy_path.write_text(policy_path.read_text().replace('shell = "full"', 'shell = "off"'))
    runner.run("t")
    assert (get().status, get().reason) == (Status.FAILED, Reason.REJECTED)
    assert "does not allow shell.full" in str(get().error)
    assert not (tmp_path / "ran").exists()


def test_a_directory_that_became_a_link_since_it_was_accepted_counts(
    runner: Runner, accept: Accept, project: Path, tmp_path: Path
) -> None:
    accept("t", command="touch ran", working_dir="docs")
    (project / "docs").rename(project / "old")
    (project / "docs").symlink_to(tmp_path)
    runner.run("t")
    assert (get().status, get().reason) == (Status.FAILED, Reason.REJECTED)
    assert not (tmp_path / "ran").exists()


def test_stopping_interrupts_what_runs_and_starts_nothing_more(runner: Runner, accept: Accept) -> None:
    accept("t", command="echo begun; sleep 300")
    accept("u", command="echo never")
    thread = in_thread(runner)
    wait_until(
        lambda: models.output_path(get()).exists() and models.output_path(get()).read_text(), "it has begun"
    )
    runner.stop(10)
    assert (get().status, get().reason) == (Status.FAILED, Reason.INTERRUPTED)
    assert "nothing was repeated" in str(get().error)
    assert output(get())["stdout"] == "begun\n"
    runner.run("u")
    assert get("u").status == Status.PENDING
    thread.join(10)


def test_stopping_with_nothing_to_do_takes_no_time(runner: Runner) -> None:
    begun = time.monotonic()
    runner.stop(50)
    assert time.monotonic() - begun < 40


def test_a_result_that_was_reached_while_stopping_is_kept(
    runner: Runner, accept: Accept, tmp_path: Path
) -> None:
    accept("t", command=f"trap 'exit 4' TERM; touch {tmp_path}/up; while :; do sleep 0.02; done")
    thread = in_thread(runner)
    wait_until((tmp_path / "up").exists, "it runs")
    runner.stop(10)
    thread.join(10)
    assert get().reason == Reason.INTERRUPTED, "it was told to stop, so its own status means nothing"


def test_a_task_that_somebody_else_ended_meanwhile_is_not_overwritten(
    runner: Runner, accept: Accept, tmp_path: Path
) -> None:
    accept("t", command=f"touch {tmp_path}/up; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    thread = in_thread(runner)
    wait_until((tmp_path / "up").exists, "it runs")
    moves.interrupt_running(NOW)
    (tmp_path / "go").touch()
    thread.join(10)
    assert (get().status, get().reason) == (Status.FAILED, Reason.INTERRUPTED)


def test_a_fault_of_ours_ends_the_task_and_not_the_worker(
    runner: Runner, accept: Accept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept("t")

    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(process, "run", fault)
    runner.run("t")
    assert (get().status, get().reason) == (Status.FAILED, Reason.ERROR)
    assert "secret detail" not in str(get().error)
    assert "ZeroDivisionError" in caplog.text


def test_a_log_that_cannot_be_written_is_an_error_with_its_cause(runner: Runner, accept: Accept) -> None:
    task = accept("t")
    models.output_path(task).mkdir()
    runner.run("t")
    assert (get().status, get().reason) == (Status.FAILED, Reason.ERROR)
    assert "directory" in str(get().error)


def test_every_attempt_has_an_output_file_of_its_own(
    runner: Runner, accept: Accept, inbox: Inbox, tmp_path: Path
) -> None:
    accept(
        "t",
        command=f"test -e {tmp_path}/flag && echo second || {{ touch {tmp_path}/flag; echo first; exit 1; }}",
    )
    runner.run("t")
    inbox.retry("t")
    runner.run("t")
    assert (get().status, get().attempt) == (Status.COMPLETED, 2)
    assert models.output_path(get(), 1).read_text() == "first\n"
    assert models.output_path(get()).read_text() == "second\n"


def test_the_output_folder_is_for_its_owner_only(runner: Runner) -> None:
    assert models.output_dir().stat().st_mode & 0o777 == 0o700


def test_tasks_of_a_project_that_allows_it_run_beside_each_other(
    runner: Runner, accept: Accept, tmp_path: Path, policy_path: Path
) -> None:
    policy_path.write_text(policy_path.read_text() + "parallel = true\n")
    # Each waits for the other: run one after the other, both would time out.
    for me, other in (("a", "b"), ("b", "a")):
        accept(
            me,
            command=f"touch {tmp_path}/{me}; while [ ! -e {tmp_path}/{other} ]; do sleep 0.02; done",
            timeout=10,
        )
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: in_thread(runner, one).join(20), ["a", "b"]))
    assert {get("a").status, get("b").status} == {Status.COMPLETED}


def test_no_secret_is_in_the_record_the_log_or_the_report(
    runner: Runner, accept: Accept, project: Path
) -> None:
    (project / "leak.sh").write_text("echo hush-this-is-secret; echo ghp_" + "a1B2" * 9 + " >&2; exit 1\n")
    accept("t", command="sh leak.sh")
    runner.run("t")
    everything = json.dumps(vars(get())["__data__"], default=str) + models.output_path(get()).read_text()
    everything += report_of(get()).model_dump_json()
    assert "hush" not in everything
    assert "a1B2" not in everything
    assert everything.count("[redacted]") >= 6


def test_output_that_is_not_text_is_recorded_and_reported(runner: Runner, accept: Accept) -> None:
    accept("t", command="printf 'a\\000b\\377\\n'; exit 1")
    runner.run("t")
    assert output(get())["stdout"] == "a\x00b\N{REPLACEMENT CHARACTER}\n"
    assert get().status == Status.FAILED


class Locked:
    """A task that ends while somebody else holds the records, so that its result cannot be recorded."""

    def __init__(self, records: Path, folder: Path) -> None:
        self._records, self.folder = records, folder
        self.command = f"touch {folder}/up; while [ ! -e {folder}/go ]; do sleep 0.02; done; echo done"

    def hold(self, until: Callable[[], object]) -> threading.Thread:
        def work() -> None:
            wait_until((self.folder / "up").exists, "it runs")
            with closing(sqlite3.connect(self._records, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                (self.folder / "go").touch()
                wait_until(until, "it cannot be recorded")

        models.database.execute_sql("PRAGMA busy_timeout = 10")
        thread = threading.Thread(target=work)
        thread.start()
        return thread


@pytest.fixture
def locked(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Locked:
    monkeypatch.setattr("worker.runner.RETRY_S", (0.01, 0.02))
    return Locked(records, tmp_path)


def test_a_result_that_cannot_be_recorded_is_tried_again_until_it_is(
    runner: Runner, accept: Accept, locked: Locked, caplog: pytest.LogCaptureFixture
) -> None:
    accept("t", command=locked.command)
    holder = locked.hold(lambda: caplog.text.count("cannot be recorded") > 2)
    runner.run("t")
    holder.join(20)
    assert (get().status, output(get())["stdout"]) == (Status.COMPLETED, "done\n")
    assert "database is locked" in caplog.text


def test_a_worker_that_stops_does_not_wait_for_records_that_stay_locked(
    runner: Runner, accept: Accept, locked: Locked, caplog: pytest.LogCaptureFixture
) -> None:
    def stop() -> bool:
        if "will be tried again" in caplog.text:
            runner.stop(20)
        return "is lost" in caplog.text

    accept("t", command=locked.command)
    holder = locked.hold(stop)
    runner.run("t")
    holder.join(20)
    assert get().status == Status.RUNNING, "the next worker calls it interrupted"


def test_a_disk_that_is_full_for_a_while_costs_no_result(
    runner: Runner, accept: Accept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("worker.runner.RETRY_S", (0.01, 0.02))
    accept("t", command="head -c 50000 /dev/zero | tr '\\0' x")
    full = "PRAGMA max_page_count = {}"
    (pages,) = models.database.execute_sql("PRAGMA page_count").fetchone()
    models.database.execute_sql(full.format(pages + 1))

    class Tidy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "will be tried again" in record.getMessage():
                models.database.execute_sql(full.format(1_000_000))

    tidy = Tidy()
    logging.getLogger("worker.runner").addHandler(tidy)
    try:
        runner.run("t")
    finally:
        logging.getLogger("worker.runner").removeHandler(tidy)
    assert "disk is full" in caplog.text
    assert len(output(get())["stdout"]) == 50_000


def test_records_that_cannot_be_read_for_a_while_end_no_program(
    runner: Runner, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def broken(task: Task) -> bool:
        looks.append(task.seq)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("worker.runner.LOOK_S", 0.0)
    monkeypatch.setattr(models, "is_stop_asked", broken)
    accept("t", command="sleep 0.2")
    runner.run("t")
    assert get().status == Status.COMPLETED
    assert looks
