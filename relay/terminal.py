"""What in a program's output is meant for a terminal, and not for people or assistants (pure)."""

from __future__ import annotations

import re

# Every repetition is bounded or possessive: `re` holds the interpreter's lock, so one slow line
# would stop the whole server. An unfinished title or link hides 4,096 characters at most.
CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)([0-?]{0,256}+)[ -/]{0,16}+([@-~]?)"  # CSI: the only one that may mean a colour
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,4096}+(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and kin
    r"|\x1b[ -/]{0,16}+[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"  # C0, C1, and what turns text round
)
"""One thing that controls a terminal, as ECMA-48 has them. Of a CSI the parameters and the last
letter are groups 1 and 2."""
# With one of these each of them begins. Nearly every text has none, and that is seen ten times as fast.
_SIGN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def strip(text: str) -> str:
    """*text* without whatever controls a terminal: shown in one, it writes no clipboard, no title and
    over no other line."""
    return CONTROL.sub("", text) if _SIGN.search(text) else text


def lines(text: str) -> str:
    """The same, where what went back to the beginning of its line stands on a line of its own."""
    return strip(text.replace("\r\n", "\n").replace("\r", "\n")) if _SIGN.search(text) else text
