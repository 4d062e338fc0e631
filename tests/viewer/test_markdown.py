"""An answer is untrusted: whatever it holds, text and a short list of tags come out."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.viewer.machine import Machine
from viewer import markdown


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def is_harmless(html: str) -> bool:
    for tag, attributes in Tags(html).found:
        allowed = {"a": {"href", "rel"}, "ol": {"start"}}.get(tag, set())
        if tag not in markdown._TAGS or not attributes.keys() <= allowed:
            return False
        if not re.match(r"https?://|mailto:|[^:]*$", attributes.get("href") or "", re.IGNORECASE):
            return False
    return True


def test_the_usual_becomes_html() -> None:
    html = markdown.render(
        "# Done\n\n* **two** files\n\n| a | b |\n| - | - |\n| 1 | `2` |\n\n```py\nx < 1\n```\n"
    )
    for part in ("<h1>Done</h1>", "<strong>two</strong>", "<td><code>2</code></td>", "<pre><code>x &lt; 1\n"):
        assert part in html


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))", "[x](data:text/html,<script>)", "[x](vbscript:x)",
    "<a href='javascript:x'>y</a>",
    "![pixel](https://spy.example/p.png)", "![x](x \"onerror=alert(1)\")", "[a]: javascript:x\n\n[a]",
    "<style>*{display:none}</style>", "<iframe src=//x>", "<svg/onload=alert(1)>",
    "<!--><script>x</script>-->",
    "```<script>\nx\n```", "`<b>`", "<form action=/retry><button>", "[x](//spy.example)", "&lt;script&gt;",
    "<math><mi//xlink:href=\"data:x,<script>\">", "[\u202eevil](https://x)", "\x00<b>\x1b[31m",
]  # fmt: skip


SIGNS = ["\n", "*", "_", "[", "](", ")", "`", "|", "<", ">", "&", "- ", "1. ", "> ", "x"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_answers_are_harmless(text: str) -> None:
    html = markdown.render(text)
    assert is_harmless(html), html
    assert "<img" not in html


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*HOSTILE, *SIGNS]), max_size=12))
def test_whatever_is_mixed_stays_harmless(parts: list[str]) -> None:
    assert is_harmless(markdown.render("".join(parts)))


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 50_000, "*a " * 15_000, "> " * 25_000, "- " * 25_000, "`" * 50_000, "|" * 50_000),
        *("<" * 50_000, "[a](" * 12_000, "[a](" * 4_000, "_a__b_" * 8_000),
    ],
    ids=lambda text: text[:4],
)  # fmt: skip
def test_no_answer_holds_up_the_viewer(text: str) -> None:
    begun = time.process_time()
    markdown.render(text)
    assert time.process_time() - begun < 3


def test_a_very_long_answer_is_shown_as_it_stands() -> None:
    assert markdown.render("*x*" * markdown.MAX_CHARS).startswith("<pre>*x*")


def test_the_page_shows_the_answer_above_the_output(client: FlaskClient, machine: Machine) -> None:
    data = {"answer": "It **works** <script>x</script>", "returncode": 0}
    task = machine.ended(title="Ask", output_data=data, printed="steps\n")
    page = client.get(f"/t/{task.id}").text
    assert "<p>It <strong>works</strong> &lt;script&gt;x&lt;/script&gt;</p>" in page
    assert page.index(">Answer<") < page.index(">Output<")
    assert "hidden readonly>It **works** &lt;script&gt;" in page
    assert ">Answer<" not in client.get(f"/t/{machine.ended().id}").text
    for odd in ({"answer": 7}, {"answer": "  "}, {"answer": None}):
        assert ">Answer<" not in client.get(f"/t/{machine.ended(output_data=odd).id}").text
