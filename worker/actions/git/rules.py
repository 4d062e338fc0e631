"""What one way to use a sub-command may be given (pure); the tables are `reads` and `writes`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Access = Literal["read", "write", "approval"]
"""What it takes: nothing is changed · work is added, nothing that is not committed gets lost ·
something could get lost or leaves the machine, so that a person has to say yes."""


@dataclass(frozen=True)
class Value:
    """What an option takes: `name` is how it is written for git, *pattern* must match as a whole."""

    name: str
    pattern: re.Pattern[str]


def flags(text: str) -> frozenset[str]:
    """Options without a value, separated by spaces."""
    return frozenset(text.split())


def values(table: Mapping[str, re.Pattern[str]]) -> Mapping[str, Value]:
    """Options with a value: `{"-n --max-count": NUMBER}`; the last name is the one git is given."""
    return {
        name: Value(names.split()[-1], pattern) for names, pattern in table.items() for name in names.split()
    }


@dataclass(frozen=True)
class Rule:
    """One way to use a sub-command. Whatever it does not name is refused."""

    access: Access
    flags: frozenset[str] = frozenset()
    values: Mapping[str, Value] = field(default_factory=dict)
    """Options that need a value: attached, or the next word, which may not begin with a dash."""
    optional: Mapping[str, Value] = field(default_factory=dict)
    """Options that may have a value, always attached; alone they are in `flags` as well."""
    forced: tuple[str, ...] = ()
    """Added to every call: they keep git from starting programs that the repository names."""
    verb: str = ""
    """A second word that must follow, like `list` in `stash list`."""
    other_verbs: frozenset[str] = frozenset()
    """When there are any, `verb` may be left out, but none of these may stand in its place."""
    words: re.Pattern[str] | None = None
    """What each word must match besides being a plain relative path; None: nothing more."""
    first: re.Pattern[str] | None = None
    """What the first word must match instead of everything else."""
    least: int = 0
    """How few words, and how many (`most`), there may be before `--`."""
    most: int = 50
    paths: bool = True
    """Whether paths may follow after `--`."""
    least_paths: int = 0
    """How few words and paths there may be together."""
    one_of: frozenset[str] = frozenset()
    """One of these options has to be there."""
    all_of: frozenset[str] = frozenset()
    """Each of these options has to be there, unless one of `one_of` is."""
    listing: frozenset[str] = frozenset()
    """Words are allowed only with one of these options; otherwise git would make something."""
    instead: tuple[str, ...] = ()
    """Words that are used when none is given."""
    count: str = ""
    """The option that `-3` is short for."""
    pattern_first: bool = False
    """The first word is what to look for, unless `-e` said it."""
    needs: str = ""
    """What to say when `one_of`, `least` or `least_paths` is not met."""

    def options(self) -> str:
        """The options for people, in alphabetical order."""
        given = {name for name in self.flags if name not in self.optional}
        given |= {f"{name}[=…]" if name.startswith("--") else f"{name}[…]" for name in self.optional}
        given |= {f"{name}=…" if name.startswith("--") else f"{name} …" for name in self.values}
        return " ".join(f"`{one}`" for one in sorted(given, key=_alphabetical))

    def near(self, word: str) -> str:
        """Which options are allowed, or the most similar ones of many, in a few words."""
        names = sorted({*self.flags, *self.values, *self.optional}, key=_alphabetical)
        if not names:
            return "it takes no options here"
        similar = close(word.partition("=")[0], names)
        if len(names) <= 12:  # noqa: PLR2004 - as many as a sentence bears
            return f"allowed are {' '.join(names)}"
        if similar:
            return f"near to it are {' '.join(similar)}; docs/LLM_ACTIONS.md lists all"
        return f"docs/LLM_ACTIONS.md lists the {len(names)} that are"


def close(word: str, known: Iterable[str]) -> list[str]:
    """At most three of *known* that look like *word*, which may be anything."""
    return difflib.get_close_matches(word[:40], known, 3, 0.7)


def _alphabetical(option: str) -> tuple[str, str]:
    return option.lstrip("-").lower(), option
