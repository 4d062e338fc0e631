"""What the value of an option, a name or a path may look like (pure).

Every pattern is matched against the whole text. They are short and bounded: none can be made slow,
and what a later git learns to understand is not let in by accident.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_ITEMS = 100
MAX_ITEM_CHARS = 8_192

NUMBER = re.compile(r"[0-9]{1,6}")
PERCENT = re.compile(r"[0-9]{1,3}%?")
WIDTHS = re.compile(r"[0-9]{1,4}(?:,[0-9]{1,4}){0,2}")
TEXT = re.compile(r"[^-\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,200}")
"""One line that does not begin with a dash."""
PATTERN = re.compile(r"[^\x00-\x1f\x7f]{1,500}")
"""What grep looks for: one line, whatever it begins with."""
MESSAGE = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]{1,8192}")
DATE = re.compile(r"[\w][\w :,+./-]{0,59}")
DATE_STYLE = re.compile(
    # Names only: `format:%9999999d` has produced one line of ten megabytes.
    r"(?:relative|local|iso|iso8601|iso-strict|iso8601-strict|rfc|rfc2822|short|raw|human|unix|default)"
    r"(?:-local)?"
)
GLOB = re.compile(r"[\w.*?/][\w.*?/+-]{0,199}")

NAME = re.compile(r"(?!.*\.\.)(?!.*\.lock(?:/|$))[A-Za-z0-9_][\w./+-]{0,199}")
"""A branch, a tag or a remote; never a URL, a refspec or a path that leads out."""
REVISION = re.compile(r"(?!.*\.\.)(?!.*@\{-)[A-Za-z0-9_@][\w./+~^@{}-]{0,199}")
"""A commit, by whatever name; not a range."""
RANGE = re.compile(
    rf"{REVISION.pattern}|(?!.*\.\.\.\.)[A-Za-z0-9_][\w/+~^-]{{0,99}}\.\.[A-Za-z0-9_][\w/+~^-]{{0,99}}"
)
"""A commit or several in a row."""
STASH = re.compile(r"stash@\{[0-9]{1,4}\}|[0-9]{1,4}")
FOLDER = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}")
"""One new directory, right here."""
CLONE_URL = re.compile(
    # No user information but git@: a password in a command would be stored with it.
    r"https://[A-Za-z0-9][A-Za-z0-9.-]{0,200}(?::[0-9]{1,5})?(?:/(?!\.\.)[\w.~+-]{1,100}){1,10}/?"
    r"|ssh://(?:git@)?[A-Za-z0-9][A-Za-z0-9.-]{0,200}(?::[0-9]{1,5})?(?:/(?!\.\.)[\w.~+-]{1,100}){1,10}/?"
    r"|git@[A-Za-z0-9][A-Za-z0-9.-]{0,200}:(?!\.\.)[\w~+.-]{1,100}(?:/(?!\.\.)[\w.~+-]{1,100}){0,10}/?"
)

LINES = re.compile(r"[0-9]{1,6}(?:,(?:[+-]?[0-9]{1,6})?)?|,[0-9]{1,6}|:[\w]{1,100}")
FILTER = re.compile(r"[ACDMRTUXBacdmrtuxb]{1,12}")
ALGORITHM = re.compile(r"myers|minimal|patience|histogram|default")
WORDS = re.compile(r"plain|porcelain|none")
UNTRACKED = re.compile(r"no|normal|all")

# A list of what is harmless, not of what is not: %G? and %(signature) start the repository's gpg
# program, %(describe) starts git, %<(99999999) fills the memory, %x1b speaks to terminals.
_PLACEHOLDER = (
    r"%(?:%|n|[+ -]?(?:[HhTtPpsbBNdDeSf]|[ac][nNeElLdDrtiIsh]|g[dDsnNeE])|x(?:00|09|2[0-9A-Fa-f]|7[cC])"
    r"|C(?:red|green|blue|reset)|<\([0-9]{1,3}\)|>\([0-9]{1,3}\))"
)
_STYLE = r"oneline|short|medium|full|fuller|reference|raw"
FORMAT = re.compile(
    # A word alone could name a format that the repository defines, so text needs its prefix or a %.
    rf"(?:{_STYLE})|(?:t?format:)(?:[^%\x00-\x1f\x7f]|{_PLACEHOLDER}){{0,300}}"
    rf"|(?=[^%\x00-\x1f\x7f]{{0,200}}%)(?:[^%:\x00-\x1f\x7f]|:(?!:)|{_PLACEHOLDER}){{1,300}}"
)
SORT = re.compile(
    r"-?(?:refname|v:refname|version:refname|creatordate|committerdate|authordate|taggerdate|objectsize)"
)
_FIELD = (
    r"%(?:%|\((?:HEAD|refname(?::short)?|objectname(?::short)?|objecttype|subject|contents:subject"
    r"|authorname|committername|taggername|(?:author|committer|creator|tagger)date"
    r"(?::(?:short|iso|iso-strict|relative|unix|human|rfc))?"
    r"|(?:upstream|push)(?::(?:short|track|trackshort|remotename))?)\))"
)
FIELDS = re.compile(rf"(?:[^%\x00-\x1f\x7f]|{_FIELD}){{1,300}}")

# Names that a file system takes for .git, as git itself has them (is_ntfs_dotgit, is_hfs_dotgit): in any
# case, with dots, spaces or a stream behind it, by its short name, with letters between that nobody sees.
_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_DIR = re.compile(r"(?:\.git|git~1)[ .]*(?::.*)?", re.DOTALL)


def shape_fault(words: Sequence[str]) -> str | None:
    """What is wrong with *words* as a list, whatever they mean; None when nothing is."""
    if len(words) < 2 or words[0] != "git":  # noqa: PLR2004
        return 'The command must begin with "git" and a sub-command, like ["git", "status"]'
    if len(words) > MAX_ITEMS or any(len(word) > MAX_ITEM_CHARS for word in words):
        return f"The command is too long: {MAX_ITEMS} words of {MAX_ITEM_CHARS} characters are the most"
    if any(re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", word) for word in words):
        return "The command holds control characters; leave them out"
    return None


def is_in_git_dir(path: str) -> bool:
    """Whether some part of *path* names a git directory on any file system."""
    # Nearly no path has these letters; those that have are looked at closely.
    if "git" not in path.casefold() and path.isascii():
        return False
    parts = re.split(r"[/\\]", _UNSEEN.sub("", path).casefold())
    return any(_GIT_DIR.fullmatch(part) for part in parts)


def path_fault(word: str) -> str | None:
    """Why *word* is no path, name or revision inside the project; None when it may be one."""
    if not word or word == "-" or "\n" in word or "\t" in word:
        return "a path or a name is needed"
    if word[0] in "/~\\" or ".." in word.split("/") or re.match(r"[A-Za-z]:[\\/]", word):
        return "it would leave the project; give a path inside"
    if word[0] == ":" or "::" in word or "://" in word:
        return "give a plain path, or the name of a branch or a commit"
    if is_in_git_dir(word):
        return "what lies in .git is git's own; give a path outside of it"
    return None
