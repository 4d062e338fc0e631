"""The benchmark itself: a table that says "met" when it is not would be worse than none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import load, relay
from tests.bench.table import Row, percentile, table
from tests.chain import Chain


@pytest.mark.parametrize(
    ("row", "is_met", "ratio"),
    [
        (Row("at most", 50, "ms", 50), True, 1.0),
        (Row("at most", 51, "ms", 50), False, 1.02),
        (Row("at least", 2_500, "/s", 2_500, True), True, 1.0),
        (Row("at least", 2_000, "/s", 2_500, True), False, 0.8),
        (Row("times the limit", 15, "ms", 1.5, limit=10), True, 1.5),
        (Row("times the limit", 16, "ms", 1.5, limit=10), False, 1.6),
        (Row("a share of the limit", 70, "/s", 0.7, True, limit=100), True, 0.7),
        (Row("a share of the limit", 69, "/s", 0.7, True, limit=100), False, 0.69),
        (Row("none at all", 0, "", 0), True, None),
        (Row("none at all", 1, "", 0), False, None),
        (Row("no bar", 3, "MB"), None, None),
        (Row("only a limit", 3, "ms", limit=2), None, 1.5),
    ],
)
def test_a_row_is_met_only_within_its_bar(row: Row, is_met: bool | None, ratio: float | None) -> None:
    assert row.is_met is is_met
    assert row.ratio == (None if ratio is None else pytest.approx(ratio))
    line = table([row]).splitlines()[2]
    assert ("NOT met" in line, line.endswith("  met")) == (is_met is False, is_met is True)


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile(range(100, 0, -1), 0.5) == 51
    assert percentile(range(100, 0, -1), 0.99) == 100
    assert percentile([7], 0.95) == 7


def test_every_answer_of_the_relay_is_counted(tmp_path: Path) -> None:
    requests = [("good", relay.GOOD), ("bad", load.http(b"[")), ("stranger", load.http(b"{}", key=None))]
    with Chain(tmp_path, RATE_LIMIT_PER_MINUTE="0") as chain:
        chain.start("relay")
        done = load.run(chain.relay_port, requests * 10, connections=4)
    assert done.answers == {"good 202": 10, "bad 422": 10, "stranger 401": 10}
    assert len(done.times_ms) == 30
    assert 0 < done.at(0.5) <= done.at(1) < done.seconds * 1_000


def test_a_section_that_breaks_keeps_its_rows_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Iterator[Row]:
        yield Row("before it broke", 1, "ms", 2)
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(relay, "measure", broken)
    monkeypatch.setattr(sys, "argv", ["bench", "relay"])
    with pytest.raises(SystemExit, match="Could not be measured: relay"):
        bench.main()
    said = capsys.readouterr()
    assert "before it broke" in said.out
    assert "the disk is gone" in said.err


def test_a_section_that_is_not_there_is_refused_with_those_that_are(root: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "tests.bench", "relais"],
        cwd=root, env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 1
    assert "no section relais; there are relay, worker, chain, backlog" in asked.stderr
