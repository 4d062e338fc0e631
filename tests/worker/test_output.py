"""What a program prints, on its way into the log and the record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.output import KEPT_CHARS, Reader, _HeadAndTail, _Lines


@given(st.lists(st.text(max_size=30)), st.integers(1, 20))
def test_head_and_tail_are_the_two_ends_of_the_whole_text(pieces: list[str], half: int) -> None:
    kept = _HeadAndTail(half)
    for piece in pieces:
        kept.add(piece)
    whole = "".join(pieces)
    if len(whole) <= 2 * half:
        assert kept.text() == whole
    else:
        left_out = len(whole) - 2 * half
        assert kept.text() == f"{whole[:half]}\n[... {left_out} characters left out ...]\n{whole[-half:]}"


def _through(tmp_path: Path, *chunks: bytes) -> tuple[str, bytes, int]:
    """Each chunk is read by itself; the kept text, the log, the number of bytes."""
    out, into = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with os.fdopen(out, "rb", buffering=0) as stream:
        reader = Reader({"stdout": stream}, log)
        for chunk in chunks:
            os.write(into, chunk)
            assert reader.read(1)
        os.close(into)
        while reader.is_open:
            reader.read(1)
        reader.finish()
    os.close(log)
    return reader.text("stdout"), (tmp_path / "log").read_bytes(), reader.total_bytes


def test_a_character_that_is_split_between_two_reads_stays_whole(tmp_path: Path) -> None:
    smile = "😀".encode()
    for cut in (1, 2, 3):
        (tmp_path / "log").unlink(missing_ok=True)
        text, log, size = _through(tmp_path, b"a" + smile[:cut], smile[cut:] + b"b")
        assert (text, log.decode(), size) == ("a😀b", "a😀b", 6)


def test_bytes_that_are_no_text_are_replaced_and_the_log_stays_utf8(tmp_path: Path) -> None:
    text, log, _ = _through(tmp_path, b"a\xff\xfeb", b"\xf0\x9f")
    assert text == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert log.decode() == text


def test_the_log_has_everything_and_the_record_both_ends(tmp_path: Path) -> None:
    line = b"x" * 59_999 + b"\n"
    text, log, size = _through(tmp_path, *([line] * 5))
    assert size == len(log) == 300_000
    assert "200000 characters left out" in text
    assert len(text) < KEPT_CHARS + 100


def test_what_is_still_in_the_pipe_is_taken_without_waiting(tmp_path: Path) -> None:
    out, into = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with os.fdopen(out, "rb", buffering=0) as stream:
        reader = Reader({"stdout": stream}, log)
        os.write(into, b"last words \xf0")
        # The writing end stays open, as a background process would hold it.
        reader.finish()
        assert reader.text("stdout") == "last words \N{REPLACEMENT CHARACTER}"
    os.close(into)
    os.close(log)


def test_two_streams_are_told_apart_and_share_the_log(tmp_path: Path) -> None:
    first, second = os.pipe(), os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with os.fdopen(first[0], "rb", buffering=0) as out, os.fdopen(second[0], "rb", buffering=0) as err:
        reader = Reader({"stdout": out, "stderr": err}, log)
        os.write(first[1], "ü".encode()[:1])
        assert reader.read(1)
        os.write(second[1], b"e")
        assert reader.read(1)
        os.write(first[1], "ü".encode()[1:])
        os.close(first[1])
        os.close(second[1])
        while reader.is_open:
            reader.read(1)
        assert (reader.text("stdout"), reader.text("stderr")) == ("ü", "e")
    os.close(log)


def test_nothing_came_is_said(tmp_path: Path) -> None:
    out, into = os.pipe()
    with os.fdopen(out, "rb", buffering=0) as stream:
        reader = Reader({"stdout": stream}, -1)
        assert reader.read(0.01) is False
        reader.finish()
    os.close(into)
    with pytest.raises(KeyError):
        reader.text("nothing")


@given(st.lists(st.text(alphabet="ab\n", max_size=9)))
def test_lines_are_translated_whole_wherever_the_pieces_are_cut(pieces: list[str]) -> None:
    seen: list[str] = []
    lines = _Lines(lambda line: seen.append(line) or f"<{line}>")  # type: ignore[func-returns-value]
    said = "".join(lines.translated(piece, is_last=False) for piece in pieces)
    said += lines.translated("", is_last=True)
    *whole, rest = "".join(pieces).split("\n")
    assert seen == whole + [rest] * bool(rest)
    assert said == "".join(f"<{line}>" for line in seen)
