"""Which git commands may run, and how they are written (pure).

An allow-list: a sub-command, an option or a form of value that is not named here is refused.
The caller's words are parsed and the argument list is **rebuilt** from what was understood, so
git never reads them differently from us (abbreviations, bundled letters, values that look like
options: each of these has beaten a list of forbidden things).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from worker.policy import Rejected

Access = Literal["read", "write"]

MAX_ITEMS = 100
MAX_ITEM_CHARS = 8_192

_NUMBER = re.compile(r"[0-9]{1,6}")
_TEXT = re.compile(r"[^-\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,200}")
_DATE = re.compile(r"[\w][\w :,+./-]{0,59}")
_STYLE = re.compile(r"oneline|short|medium|full|fuller|reference|raw")
_MESSAGE = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]{1,8192}")
_REF = re.compile(r"(?!.*\.\.)(?!.*\.lock(/|$))[A-Za-z0-9_][\w./+-]{0,199}")


@dataclass(frozen=True)
class Rule:
    """What one sub-command may be given."""

    access: Access
    flags: frozenset[str] = frozenset()
    values: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """Options with a value; the value must match as a whole."""
    forced: tuple[str, ...] = ()
    """Added to every call: they keep git from starting programs that the repository names."""
    positionals: re.Pattern[str] | None = None
    """What each word before `--` must match besides being a plain relative path; None: anything."""
    most: int = 50
    """How many positionals there may be."""

    def options(self) -> str:
        """The options for people, in alphabetical order."""
        given = [
            *self.flags,
            *(f"{name}=…" if name.startswith("--") else f"{name} …" for name in self.values),
        ]
        return " ".join(f"`{one}`" for one in sorted(given, key=lambda one: one.lstrip("-").lower()))


@dataclass(frozen=True)
class Call:
    """A git command that may run: `argv` is the list to execute, rebuilt."""

    subcommand: str
    access: Access
    argv: tuple[str, ...]


def _flags(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DIFF_FLAGS = _flags(
    "--stat --shortstat --numstat --dirstat --summary --name-only --name-status --patch -p -w -b -R "
    "--ignore-all-space --ignore-space-change --word-diff --minimal --no-color --cached --staged"
)
_DIFF_VALUES = {
    "--unified": _NUMBER,
    "-U": _NUMBER,
    "--diff-filter": re.compile(r"[ACDMRTUXB]{1,9}"),
}
_LOG_FLAGS = _flags(
    "--oneline --graph --all --branches --tags --remotes --decorate --no-decorate --reverse --merges "
    "--no-merges --first-parent --follow --abbrev-commit -i -E -F"
)
_LOG_VALUES = {
    "--max-count": _NUMBER, "-n": _NUMBER, "--skip": _NUMBER,
    "--since": _DATE, "--after": _DATE, "--until": _DATE, "--before": _DATE,
    "--author": _TEXT, "--committer": _TEXT, "--grep": _TEXT,
    "--format": _STYLE, "--pretty": _STYLE,
}  # fmt: skip
_NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")

RULES: Mapping[str, Rule] = {
    "status": Rule(
        "read",
        _flags("-s --short -b --branch --long --porcelain --show-stash --ahead-behind"),
        {"--untracked-files": re.compile("no|normal|all")},
        ("--ignore-submodules=dirty",),
    ),
    "log": Rule(
        "read", _LOG_FLAGS | (_DIFF_FLAGS - _flags("--cached --staged")), {**_LOG_VALUES, **_DIFF_VALUES},
        (*_NO_PROGRAMS, "--no-show-signature"),
    ),
    "show": Rule(
        "read", _flags("--oneline --no-patch -s --decorate") | (_DIFF_FLAGS - _flags("--cached --staged -R")),
        {"--format": _STYLE, "--pretty": _STYLE, **_DIFF_VALUES}, (*_NO_PROGRAMS, "--no-show-signature"),
    ),
    "diff": Rule(
        "read", _DIFF_FLAGS, _DIFF_VALUES,
        (*_NO_PROGRAMS, "--submodule=short", "--ignore-submodules=dirty"),
    ),
    "branch": Rule("read", _flags("--list -l -a --all -r --remotes -v -vv --show-current"), most=0),
    "add": Rule("write", _flags("-A --all -u --update -v --verbose")),
    "commit": Rule(
        "write", _flags("-a --all -q --quiet --allow-empty"), {"--message": _MESSAGE, "-m": _MESSAGE}
    ),
    "switch": Rule("write", _flags("--detach"), {"-c": _REF, "--create": _REF}, positionals=_REF, most=1),
    "fetch": Rule("write", _flags("--prune -p --tags --all -v"), positionals=_REF),
    "pull": Rule("write", _flags("--ff-only"), forced=("--ff-only",), positionals=_REF),
}  # fmt: skip

_CREATE_BRANCH = Rule("write", positionals=_REF, most=2)
# The only values that may begin with a dash: git reads them from the same item, after "=".
_FREE_TEXT = {"-m", "--message"}


def classify(words: Sequence[str]) -> Call:
    """Understand a git command, *words* beginning with `git`. Raises Rejected with the way out."""
    _check_shape(words)
    subcommand = words[1]
    rule = RULES.get(subcommand)
    if rule is None:
        raise Rejected(f"git {subcommand} is not allowed here; allowed are git {', '.join(RULES)}")
    if subcommand == "branch" and len(words) > 2 and not words[2].startswith("-"):  # noqa: PLR2004
        rule = _CREATE_BRANCH
    options, positionals, paths = _parse(subcommand, rule, words[2:])
    if subcommand == "commit" and not any(option.startswith("--message=") for option in options):
        raise Rejected('git commit needs a message: git commit -m "what changed"')
    separator = ["--", *paths] if paths else []
    argv = ("git", subcommand, *rule.forced, *options, *positionals, *separator)
    return Call(subcommand, rule.access, argv)


def _check_shape(words: Sequence[str]) -> None:
    if len(words) < 2 or words[0] != "git":  # noqa: PLR2004
        raise Rejected('The command must begin with "git" and a sub-command, like ["git", "status"]')
    if len(words) > MAX_ITEMS or any(len(word) > MAX_ITEM_CHARS for word in words):
        raise Rejected(
            f"The command is too long: {MAX_ITEMS} words of {MAX_ITEM_CHARS} characters are the most"
        )
    for word in words:
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", word):
            raise Rejected("The command holds control characters; leave them out")


def _parse(subcommand: str, rule: Rule, words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    options: list[str] = []
    positionals: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            if rule.positionals is not None or rule.most == 0:
                # What follows would be names of branches and remotes all the same, but unchecked.
                raise Rejected(f"git {subcommand} takes no paths, so -- is not allowed here")
            return options, positionals, [_path(subcommand, path) for path in rest]
        if word.startswith("-") and not (word == "-" and subcommand == "switch"):
            options += _option(subcommand, rule, word, rest)
        else:
            positionals.append(_positional(subcommand, rule, word))
            if len(positionals) > rule.most:
                raise Rejected(f"git {subcommand} with {word!r} is not allowed here; use fewer words")
    return options, positionals, []


def _option(subcommand: str, rule: Rule, word: str, rest: list[str]) -> list[str]:
    """One option as it will be written; takes its value from *rest* when it stands apart."""
    if word in rule.flags:
        return [word]
    if subcommand == "log" and _NUMBER.fullmatch(word[1:]):
        return [f"--max-count={word[1:]}"]
    name, equals, value = word.partition("=")
    if not word.startswith("--") and len(word) > 2 and word[:2] in rule.values:  # noqa: PLR2004
        name, equals, value = word[:2], "=", word[2:]
    if name in rule.values:
        if not equals:
            value = rest.pop(0) if rest else ""
        return [_valued(subcommand, rule, name, value)]
    letters = [f"-{letter}" for letter in word[1:]]
    if not word.startswith("--") and len(letters) > 1 and all(letter in rule.flags for letter in letters):
        return letters
    if (
        not word.startswith("--")
        and f"-{word[-1]}" in rule.values
        and all(x in rule.flags for x in letters[:-1])
    ):
        # `-am "text"`: flags, then a letter that takes the next word.
        return [*letters[:-1], _valued(subcommand, rule, letters[-1], rest.pop(0) if rest else "")]
    raise Rejected(f"git {subcommand} {word} is not allowed here; docs/LLM_ACTIONS.md lists the options")


def _valued(subcommand: str, rule: Rule, name: str, value: str) -> str:
    if (value.startswith("-") and name not in _FREE_TEXT) or not rule.values[name].fullmatch(value):
        raise Rejected(f"git {subcommand} {name} cannot take {value[:60]!r} here")
    if name in {"-m", "-n", "-U", "-c"}:
        name = {"-m": "--message", "-n": "--max-count", "-U": "--unified", "-c": "--create"}[name]
    return f"{name}={value}"


def _positional(subcommand: str, rule: Rule, word: str) -> str:
    if word == "-" and subcommand == "switch":
        return word
    if rule.positionals is not None and not rule.positionals.fullmatch(word):
        raise Rejected(f"git {subcommand} cannot take {word[:60]!r} here; a plain name is needed")
    if "://" in word or "::" in word or word.startswith(":"):
        raise Rejected(f"git {subcommand} cannot take {word[:60]!r}; give a name or a path in the project")
    return _path(subcommand, word)


def _path(subcommand: str, word: str) -> str:
    if not word or word[0] in "/~\\" or ".." in word.split("/") or re.match(r"[A-Za-z]:[\\/]", word):
        raise Rejected(f"git {subcommand} stays inside the project; {word[:60]!r} would leave it")
    return word
