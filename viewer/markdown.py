"""An assistant's answer as HTML. It is untrusted: it quotes web pages and files.

Two fences, each enough by itself: the reader makes no HTML of HTML, and the cleaner lets a short list
of tags through. Pictures become links, because showing one is a call to another host.
"""

from __future__ import annotations

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

MAX_CHARS = 60_000
"""Longer answers are shown as they stand: reading Markdown takes 5 ms per KB."""
_MOST_BRACKETS = 5_000
"""Each may begin a link and is looked at for as long as a thousand letters."""

_READER = MarkdownIt("js-default").disable("image")
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p",
    "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


@lru_cache(maxsize=64)
def render(text: str) -> Markup:
    """*text* as harmless HTML; rendered once and kept."""
    if len(text) > MAX_CHARS or text.count("[") > _MOST_BRACKETS:
        return Markup("<pre>{}</pre>").format(text)
    try:
        html = _READER.render(text)
    except RecursionError:
        return Markup("<pre>{}</pre>").format(escape(text))
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(clean)  # noqa: S704 - cleaned in the line above
