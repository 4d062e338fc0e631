"""Understanding a git command, and writing it anew (pure).

The caller's words are parsed by the tables and the argument list is **rebuilt** from what was
understood: every long option with a value as `--name=value`, every letter on its own, paths after
`--`. So git never reads the words differently from us; abbreviations, bundled letters and values
that look like options have each beaten a list of forbidden things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.actions.git.reads import READS
from worker.actions.git.rules import Rule, Value, close
from worker.actions.git.values import NUMBER, path_fault, shape_fault
from worker.actions.git.writes import WRITES

RULES: Mapping[str, tuple[Rule, ...]] = {
    name: (*READS.get(name, ()), *WRITES.get(name, ())) for name in {**READS, **WRITES}
}
"""Every sub-command and the ways to use it, the harmless ones first."""

_SEEN_CHARS = 60
# The only values that may begin with a dash as a word of their own.
_FREE = {"--message", "-e"}
# As the last word, git lets these mean HEAD; otherwise they take the next word, whatever it is.
_HEAD_IF_ALONE = {"--contains", "--no-contains", "--merged", "--no-merged", "--points-at"}
_EVERYTHING = ("--all", "--branches", "--tags", "--remotes")
_NEVER = {
    "config": "it would change what git runs",
    "submodule": "it runs commands that the repository names",
    "worktree": "only git worktree list is possible",
    "remote": "only git remote, git remote -v and git remote get-url NAME are possible",
}


@dataclass(frozen=True)
class Verdict:
    """What may become of a command. `argv` is the list to execute, empty when it is denied; then
    `why` says what was seen, what is allowed and the way out."""

    access: Literal["read", "write", "approval", "denied"]
    subcommand: str
    argv: tuple[str, ...] = ()
    why: str = ""


class _Denied(Exception):
    """Not by this rule. *at* says how many words had been understood."""

    def __init__(self, why: str, at: int = 0) -> None:
        super().__init__(why)
        self.at = at


def classify(words: Sequence[str]) -> Verdict:
    """The verdict on a git command, *words* beginning with `git`. Never raises."""
    if fault := shape_fault(words):
        return Verdict("denied", "", why=fault)
    subcommand, rest = words[1], words[2:]
    best = _Denied(_unknown(subcommand), -2)
    for rule in RULES.get(subcommand, ()):
        try:
            return Verdict(
                rule.access, subcommand, ("git", subcommand, *_Reading(subcommand, rule, rest).argv())
            )
        except _Denied as denied:
            # The way that understood most is the one that was meant.
            best = denied if denied.at > best.at else best
    return Verdict("denied", subcommand, why=str(best))


def _unknown(subcommand: str) -> str:
    seen = subcommand[:_SEEN_CHARS]
    if subcommand.startswith("-"):
        return f"git {seen!r} is not allowed: the word after git must be a sub-command, like git status"
    if subcommand in _NEVER:
        return f"git {seen} is not allowed: {_NEVER[subcommand]}"
    similar = close(subcommand, RULES)
    hint = (
        f"did you mean {' or '.join(similar)}?" if similar else "status, log, diff and show are, for example;"
    )
    return f"git {seen!r} is not among the allowed sub-commands; {hint} docs/LLM_ACTIONS.md lists all"


class _Reading:
    """One attempt to understand words by one rule."""

    def __init__(self, subcommand: str, rule: Rule, words: Sequence[str]) -> None:
        self._name = f"git {subcommand}"
        self._rule = rule
        self._rest = list(words)
        self._count = len(words)
        self._options: list[str] = []
        self._given: set[str] = set()
        self._words: list[str] = []
        self._paths: list[str] = []

    def argv(self) -> list[str]:
        """What to write after the sub-command. Raises _Denied."""
        rule = self._rule
        verb = self._verb()
        while self._rest:
            word = self._rest.pop(0)
            if word == "--":
                self._after_dashes()
            elif word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._letters(word)
            else:
                self._word(word)
        self._check_whole()
        separator = ["--", *self._paths] if self._paths else []
        named = self._words or any(option.startswith(_EVERYTHING) for option in self._options)
        words = self._words if named else rule.instead
        return [*verb, *rule.forced, *self._options, *words, *separator]

    def _no(self, seen: str, why: str) -> _Denied:
        return _Denied(
            f"{self._name} cannot take {seen[:_SEEN_CHARS]!r} here: {why}", self._count - len(self._rest)
        )

    def _verb(self) -> list[str]:
        rule = self._rule
        if not rule.verb:
            return []
        if self._rest and self._rest[0] == rule.verb:
            self._rest.pop(0)
        elif not rule.other_verbs:
            raise _Denied(
                f"{self._name} needs {rule.verb} as its next word; docs/LLM_ACTIONS.md lists what it may do"
            )
        elif self._rest and self._rest[0] in rule.other_verbs:
            raise self._no(self._rest[0], f"only {self._name} {rule.verb} is possible")
        return [rule.verb]

    def _long(self, word: str) -> None:
        name, equals, value = word.partition("=")
        rule = self._rule
        if equals and name in rule.optional:
            self._value(rule.optional[name], value)
        elif name in rule.values:
            self._value(rule.values[name], value if equals else self._next(name))
        elif not equals and name in rule.flags:
            self._flag(name)
        else:
            raise self._no(word, rule.near(word))

    def _letters(self, word: str) -> None:
        """One letter after the other, as git reads them; a value is the rest, or the next word."""
        rule = self._rule
        if rule.count and NUMBER.fullmatch(word[1:]):
            self._options.append(f"{rule.count}={word[1:]}")
            return
        if word in rule.flags:  # -vv
            self._flag(word)
            return
        letters = word[1:]
        while letters:
            name, letters = f"-{letters[0]}", letters[1:]
            if name in rule.values:
                self._value(rule.values[name], letters or self._next(name))
                return
            if letters and name in rule.optional:
                self._value(rule.optional[name], letters)
                return
            if name not in rule.flags:
                raise self._no(word, rule.near(name))
            self._flag(name)

    def _next(self, name: str) -> str:
        if not self._rest:
            if name in _HEAD_IF_ALONE:
                return "HEAD"
            raise self._no(name, "it needs a value")
        value = self._rest.pop(0)
        if value.startswith("-") and self._rule.values[name].name not in _FREE:
            # git may know the option as one without a value, and would obey this word.
            raise self._no(f"{name} {value}", "a value may not begin with a dash")
        return value

    def _value(self, known: Value, value: str) -> None:
        if not known.pattern.fullmatch(value):
            raise self._no(f"{known.name} {value}", "the value has not the expected form")
        self._given.add(known.name)
        self._options.append(
            f"{known.name}={value}" if known.name.startswith("--") else f"{known.name}{value}"
        )

    def _flag(self, name: str) -> None:
        self._given.add(name)
        self._options.append(name)

    def _word(self, word: str) -> None:
        rule = self._rule
        if rule.pattern_first and "-e" not in self._given:
            self._value(rule.values["-e"], word)
            return
        if rule.first is not None and not self._words:
            if not rule.first.fullmatch(word):
                raise self._no(word, rule.needs)
        elif rule.words is not None and not rule.words.fullmatch(word):
            raise self._no(word, "a plain name is needed")
        elif word != "-" or rule.words is None:
            self._path(word)
        self._words.append(word)
        if len(self._words) > rule.most:
            raise self._no(word, f"it takes {rule.most or 'no'} words at most")

    def _after_dashes(self) -> None:
        if not self._rule.paths:
            # What follows would be names of branches and remotes all the same.
            raise self._no("--", "it takes no paths")
        while self._rest:
            path = self._rest.pop(0)
            self._path(path)
            self._paths.append(path)

    def _path(self, word: str) -> None:
        if fault := path_fault(word):
            raise self._no(word, fault)

    def _check_whole(self) -> None:
        rule, given = self._rule, self._given
        if self._words and rule.listing and not rule.listing & given:
            raise self._no(self._words[0], f"names are allowed with {' or '.join(sorted(rule.listing))} only")
        has_options = not rule.one_of or rule.one_of & given or (rule.all_of and rule.all_of <= given)
        enough = len(self._words) >= rule.least and len(self._words) + len(self._paths) >= rule.least_paths
        if not has_options or not enough:
            needs = rule.needs or " or ".join(sorted(rule.one_of))
            raise _Denied(
                f"{self._name} needs {needs}; docs/LLM_ACTIONS.md lists what it takes", self._count - 1
            )
