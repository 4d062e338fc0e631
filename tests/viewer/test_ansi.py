"""Colours come through, nothing else does, and a cut changes nothing."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from viewer.ansi import Style, render

SPAN = re.compile(r'<span class="([a-z0-9 ]+)">|</span>')
ESC = "\x1b"

pieces = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\n", "\r", "\r\n", "<b>", "&amp;", '"', ESC, f"{ESC}[", "\x9b", f"{ESC}]8;;x:y\x07"]),
    st.builds(
        lambda codes, final: f"{ESC}[{';'.join(map(str, codes))}{final}",
        st.lists(st.integers(0, 110) | st.sampled_from([38, 48, 5, 2]), max_size=6),
        st.sampled_from("mmmmKJH"),
    ),
)  # fmt: skip
outputs = st.lists(pieces, max_size=20).map("".join)


def cells(markup: str) -> list[tuple[str, str]]:
    """Each character of the page with the classes it has."""
    found, classes, end = [], "", 0
    for tag in SPAN.finditer(markup):
        found += [(char, classes) for char in html.unescape(markup[end : tag.start()])]
        classes, end = tag[1] or "", tag.end()
    return found + [(char, classes) for char in html.unescape(markup[end:])]


@given(outputs)
@example("<script>alert(1)</script>")
@example(f"{ESC}[31m\"><img src=x onerror='x'>")
def test_only_text_and_spans_with_known_classes_come_out(output: str) -> None:
    markup, _ = render(output)
    text = SPAN.sub("", markup)
    assert not re.search("[<>\"']", text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@given(st.lists(outputs, min_size=1, max_size=6))
def test_rendering_line_by_line_equals_rendering_at_once(parts: list[str]) -> None:
    whole, whole_state = render("\n".join(parts))
    state, rendered = "", []
    for part in parts:
        markup, state = render(part, state)
        rendered.append(markup)
    assert cells("\n".join(rendered)) == cells(whole)
    assert state == whole_state


@given(st.text(max_size=60))
def test_a_state_that_is_none_is_harmless(state: str) -> None:
    markup, after = render("text", state)
    assert SPAN.sub("", markup) == "text"
    assert re.fullmatch(r"[a-z0-9 ]{0,40}", after)


@given(outputs)
def test_a_state_can_be_read_back(output: str) -> None:
    _, state = render(output)
    assert str(Style.parse(state)) == state


@pytest.mark.parametrize(
    ("codes", "classes"),
    [
        ("1", "o"),
        ("31", "f1"),
        ("91;44", "f9 b4"),
        ("1;3;4;9", "i o s u"),
        ("38;5;196", "f9"),
        ("38;5;4", "f4"),
        ("48;5;232", "b0"),
        ("38;2;255;255;255", "f15"),
        ("38:2::0:205:0", "f2"),
        ("38;5;300", ""),
        ("38;9", "s"),
        ("7", "fd bd"),
        ("7;31", "b1 fd"),
        ("7;42", "f2 bd"),
        ("4:3", "u"),
        ("31;0", ""),
        ("31;39", ""),
        ("1;2;22", ""),
        ("4;24", ""),
        ("4;4:0", ""),
        ("", ""),
        ("999999999999999999999999", ""),
    ],
)
def test_codes_become_classes(codes: str, classes: str) -> None:
    assert cells(render(f"{ESC}[{codes}mx")[0]) == [("x", classes)]


def test_a_colour_lasts_until_it_is_reset_also_over_lines() -> None:
    markup, state = render(f"{ESC}[32mok\nstill\n{ESC}[mplain")
    assert markup == '<span class="f2">ok</span>\n<span class="f2">still</span>\nplain'
    assert state == ""


def test_of_an_overwritten_line_the_last_version_stays_and_its_colours_go_on() -> None:
    assert render(f"10%\r{ESC}[31m50%\r100%\r\n")[0] == '<span class="f1">100%</span>\n'


@pytest.mark.parametrize(
    "sequence",
    [
        f"{ESC}]0;a title\x07",
        f"{ESC}]8;;javascript:alert(1)\x07",
        f"{ESC}]52;c;c3RvbGVu{ESC}\\",
        f"{ESC}P1$r0m{ESC}\\",
        f"{ESC}[2J",
        f"{ESC}[?25l",
        f"{ESC}[>4m",
        f"{ESC}(B",
        f"{ESC}c",
        "\x9b31;1H",
        "\x07\x08\x0c\x00",
        "\u202e",
    ],
)
def test_everything_that_is_no_colour_is_dropped(sequence: str) -> None:
    assert render(f"a{sequence}b")[0] == "ab"


def test_an_unfinished_title_hides_at_most_its_line() -> None:
    assert render(f"{ESC}]0;never ends\nnext")[0] == "\nnext"
    assert render(f"{ESC}]0;{'x' * 5000}")[0] == "x" * (5000 - 4096 + len("0;"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit",
    ["x", "\r", ESC, f"{ESC}[", f"{ESC}]", f"{ESC}[0", "\x9b;", f"{ESC}P", f"{ESC}[31m", "<", "\n", " "],
)
def test_a_hostile_output_does_not_stop_the_server(unit: str) -> None:
    # Quadratic work would take many minutes here, so a generous time-out can tell.
    count = 200_000 // len(unit)
    render(unit * count)
    render(f"{ESC}[" + unit * count)
    render(unit * count + "\r")
