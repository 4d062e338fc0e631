"""What a poll answers, byte by byte."""

from __future__ import annotations

import html
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer import live
from viewer.live import Place


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"</?span[^>]*>", "", markup))


def follow(steps: list[bytes], *, limit: int = 128 * 1024) -> str:
    """What a page shows that polls after each step of a growing log and until the end."""
    log, place, shown, unfinished = io.BytesIO(), Place(), "", ""
    for number, step in enumerate(steps):
        log.seek(0, 2)
        log.write(step)
        ended = number == len(steps) - 1
        for _ in range(10_000):
            piece = live.read(log, place, ended=ended, limit=limit)
            if live.answer(piece, place, rev=1, asked_rev=1, ended=ended) == {}:
                break
            shown, unfinished, place = shown + piece.html, piece.unfinished, piece.place
        else:
            raise AssertionError("it never comes to rest")
    return text_of(shown + unfinished)


lines = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"]), max_size=40)


@given(st.lists(lines, max_size=12), st.data())
def test_however_a_log_grows_the_page_ends_with_all_of_it(parts: list[str], data: st.DataObject) -> None:
    raw = "\n".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    limit = data.draw(st.sampled_from([8, 64, 100_000]))
    steps = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert follow(steps, limit=limit) == raw.decode()


def test_a_poll_without_news_is_an_empty_answer() -> None:
    log = io.BytesIO(b"one\ntwo\n")
    piece = live.read(log, Place(), ended=False)
    again = live.read(log, piece.place, ended=False)
    assert live.answer(again, piece.place, rev=3, asked_rev=3, ended=False) == {}
    assert live.answer(again, piece.place, rev=4, asked_rev=3, ended=False)["rev"] == 4


def test_an_unfinished_line_is_shown_at_once_and_begins_again_when_it_grows() -> None:
    log = io.BytesIO(b"one\nPassword? ")
    piece = live.read(log, Place(), ended=False)
    assert (piece.html, piece.unfinished, piece.place.start) == ("one\n", "Password? ", 4)
    log.seek(0, 2)
    log.write(b"thanks\n")
    assert live.read(log, piece.place, ended=False).html == "Password? thanks\n"


def test_a_progress_bar_shows_its_latest_state_only() -> None:
    log = io.BytesIO(b"10%\r20%\r30%\r")
    piece = live.read(log, Place(), ended=False)
    assert (piece.html, piece.unfinished) == ("", "30%")


def test_a_line_without_end_is_cut_so_that_polls_stay_small() -> None:
    log = io.BytesIO("é".encode() * 50_000)
    piece = live.read(log, Place(), ended=False)
    assert text_of(piece.html) == "é" * 50_000
    assert piece.unfinished == ""


def test_a_cut_falls_before_a_colour_code_and_never_into_one() -> None:
    log = io.BytesIO(b"x" * 20_000 + b"\x1b[3")
    piece = live.read(log, Place(), ended=False)
    assert piece.place.start == 20_000
    log.seek(0, 2)
    log.write(b"1mred\n")
    assert live.read(log, piece.place, ended=False).html == '<span class="f1">red</span>\n'


def test_a_colour_goes_on_in_the_next_poll() -> None:
    log = io.BytesIO(b"\x1b[32mgreen\n")
    piece = live.read(log, Place(), ended=False)
    assert piece.place.state == "f2"
    log.seek(0, 2)
    log.write(b"more\n")
    assert live.read(log, piece.place, ended=False).html == '<span class="f2">more</span>\n'


def test_the_end_of_the_task_makes_the_last_line_whole() -> None:
    log = io.BytesIO(b"no newline")
    before = live.read(log, Place(), ended=False)
    after = live.read(log, before.place, ended=True)
    assert (before.html, after.html, after.unfinished) == ("", "no newline", "")
    assert live.answer(after, before.place, rev=1, asked_rev=1, ended=True)["more"] is False


def test_a_page_that_is_far_behind_jumps_to_the_end() -> None:
    log = io.BytesIO(b"0123456789abcde\n" * 100_000)
    piece = live.read(log, Place(16), ended=False)
    assert piece.begin == 1_600_000 - live.TAIL_BYTES
    assert live.answer(piece, Place(16), rev=1, asked_rev=1, ended=False)["jumped"] is True


def test_a_log_that_became_shorter_begins_anew() -> None:
    piece = live.read(io.BytesIO(b"new\n"), Place(5000, 5000), ended=False)
    assert (piece.html, piece.begin) == ("new\n", 0)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_the_tail_begins_with_a_whole_line_or_at_least_a_whole_character(most: int) -> None:
    log = io.BytesIO("ééé\nüü".encode())
    piece = live.read_tail(log, ended=True, most=most)
    shown = text_of(piece.html)
    assert "\N{REPLACEMENT CHARACTER}" not in shown
    assert "ééé\nüü".endswith(shown)
    assert live.tail_start(log, 5) == 7


def test_blocks_together_are_the_whole() -> None:
    markup = "".join(f"line {i}\n" for i in range(450)) + "\u2028 rest"
    assert len(live.blocks(markup)) == 3
    assert "".join(live.blocks(markup)) == markup
    assert live.blocks("") == []
