"""The sub-commands that change something, and what they may be given: a table (pure).

`write` adds to the repository and keeps what is not committed yet; `approval` could lose work or
leaves the machine. Nothing here may open an editor, sign, or merge by a strategy that has a name
of the repository's choosing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.actions.git.rules import Rule, flags, values
from worker.actions.git.values import CLONE_URL, FOLDER, MESSAGE, NAME, NUMBER, RANGE, REVISION, STASH

_MESSAGE = {"-m --message": MESSAGE}
_CREATE = flags("--track --no-track -q --quiet")
# It puts back what was before, and with that takes away how far somebody has come with the conflicts.
_ABORT = Rule("approval", flags("--abort"), one_of=flags("--abort"), most=0, paths=False)
# Otherwise what git ignores is overwritten without a word.
_KEEP_IGNORED = ("--no-overwrite-ignore",)
_NO_SUBMODULES = ("--no-recurse-submodules",)
_NEW_BRANCH = re.compile(rf"(?!HEAD$){NAME.pattern}")
_OR_LAST = re.compile(rf"-|{REVISION.pattern}")

WRITES: Mapping[str, tuple[Rule, ...]] = {
    "add": (Rule(
        "write", flags("-A --all -u --update -v --verbose -n --dry-run -N --intent-to-add --no-all"),
    ),),
    "commit": (Rule(
        "write", flags("-a --all -q --quiet --allow-empty --amend --no-edit -s --signoff -o --only "
                       "-i --include"),
        values(_MESSAGE | {"--fixup": REVISION}), one_of=flags("--message --fixup"),
        all_of=flags("--amend --no-edit"), needs='a message: git commit -m "what changed"',
    ),),
    "switch": (
        Rule("write", _CREATE | flags("--detach -d --guess --no-guess"), forced=_KEEP_IGNORED,
             words=_OR_LAST, least=1, most=1, paths=False, needs="the name of a branch"),
        Rule("write", _CREATE, values({"-c --create": NAME}), forced=_KEEP_IGNORED, words=REVISION, most=1,
             paths=False, one_of=flags("--create"), needs="the name of a branch"),
        Rule("approval", _CREATE | flags("-f --force --discard-changes --detach -d"),
             values({"-C --force-create": NAME}),
             words=_OR_LAST, most=1, paths=False,
             one_of=flags("-f --force --discard-changes --force-create"), needs="the name of a branch"),
    ),
    "checkout": (
        Rule("write", _CREATE, values({"-b": NAME}), forced=_KEEP_IGNORED, words=REVISION, most=1,
             paths=False, one_of=flags("-b"), needs="-b and the name of a new branch"),
        # Without -b it takes branches and files alike, and files lose what was not committed.
        Rule("approval", _CREATE | flags("-f --force --detach -d --ours --theirs"), forced=_KEEP_IGNORED,
             least_paths=1, needs="a branch or a file"),
        Rule("approval", _CREATE | flags("-f --force"), values({"-B": NAME}), words=REVISION, most=1,
             paths=False, one_of=flags("-B"), needs="-B and the name of a branch"),
    ),
    "branch": (
        Rule("write", _CREATE, words=NAME, first=_NEW_BRANCH, least=1, most=2, paths=False,
             needs="the name of a new branch"),
        Rule("write", values=values({"-u --set-upstream-to": NAME}), words=NAME, most=1, paths=False,
             one_of=flags("--set-upstream-to"), needs="a branch of a remote"),
        Rule("write", flags("--unset-upstream"), words=NAME, most=1, paths=False,
             one_of=flags("--unset-upstream")),
        Rule("approval", _CREATE | flags("-d --delete -D -m --move -M -f --force -r --remotes"), words=NAME,
             least=1, most=10, paths=False, one_of=flags("-d --delete -D -m --move -M -f --force"),
             needs="the name of a branch"),
    ),
    "tag": (
        Rule("write", words=REVISION, first=NAME, least=1, most=2, paths=False,
             needs="the name of a new tag"),
        Rule("write", flags("-a --annotate"), values(_MESSAGE), words=REVISION, first=NAME, least=1, most=2,
             paths=False, one_of=flags("--message"), needs='a message and a name: git tag -a -m "text" NAME'),
        Rule("approval", flags("-d --delete"), words=NAME, least=1, most=10, paths=False,
             one_of=flags("-d --delete"), needs="the name of a tag"),
    ),
    "stash": (
        Rule("write", flags("-k --keep-index --no-keep-index -u --include-untracked -q --quiet -S --staged"),
             values(_MESSAGE), verb="push"),
        Rule("write", flags("--index -q --quiet"), verb="apply", words=STASH, most=1, paths=False),
        Rule("write", flags("--index -q --quiet"), verb="pop", words=STASH, most=1, paths=False),
        Rule("approval", flags("-q --quiet"), verb="drop", words=STASH, most=1, paths=False),
        Rule("approval", verb="clear", most=0, paths=False),
        # Last: what begins with none of the verbs above may have options, but no words.
        Rule("write", flags("-k --keep-index --no-keep-index -u --include-untracked -q --quiet -S --staged"),
             values(_MESSAGE), most=0, paths=False),
    ),
    "fetch": (Rule(
        "write", flags("-p --prune -t --tags --no-tags --all -v --verbose -q --quiet"), forced=_NO_SUBMODULES,
        words=NAME, paths=False,
    ),),
    "pull": (
        Rule("write", flags("--ff-only -q --quiet -v --verbose -p --prune -t --tags"),
             forced=("--ff-only", *_NO_SUBMODULES), words=NAME, paths=False),
        Rule("write", flags("--rebase -q --quiet -v --verbose -p --prune -t --tags"),
             forced=_NO_SUBMODULES, words=NAME, paths=False, one_of=flags("--rebase")),
    ),
    "merge": (
        Rule("write", flags("--ff --no-ff --ff-only --squash --no-commit --no-edit --stat --no-stat -n -q "
                            "--quiet -v --verbose --signoff"),
             values(_MESSAGE), forced=("--no-edit", "--no-verify-signatures", *_KEEP_IGNORED),
             words=REVISION, least=1, most=8, paths=False, needs="what to merge"),
        _ABORT,
    ),
    "cherry-pick": (
        Rule("write", flags("-x -n --no-commit --ff --signoff -s --allow-empty"),
             values({"-m --mainline": NUMBER}), least=1, words=RANGE, paths=False, needs="which commits"),
        _ABORT,
    ),
    "revert": (
        Rule("write", flags("-n --no-commit --no-edit --signoff -s"), values({"-m --mainline": NUMBER}),
             forced=("--no-edit",), words=REVISION, least=1, paths=False, needs="which commits"),
        _ABORT,
    ),
    "reset": (
        Rule("write", flags("--soft --mixed -q --quiet -N --intent-to-add")),
        Rule("approval", flags("--hard --merge --keep -q --quiet"), words=REVISION, most=1, paths=False,
             one_of=flags("--hard --merge --keep")),
    ),
    "restore": (
        Rule("write", flags("-S --staged -q --quiet"), values({"-s --source": REVISION}), least_paths=1,
             one_of=flags("-S --staged"), needs="--staged and a path"),
        Rule("approval", flags("-S --staged -W --worktree -q --quiet --ours --theirs"),
             values({"-s --source": REVISION}), least_paths=1, needs="a path"),
    ),
    "mv": (Rule(
        "write", flags("-v --verbose -n --dry-run -k"), least_paths=2, needs="a name and a new name",
    ),),
    "rm": (Rule(
        "write", flags("-r --cached -q --quiet -n --dry-run --ignore-unmatch"), least_paths=1, needs="a path",
    ),),
    "init": (Rule(
        "write", flags("-q --quiet"), values({"-b --initial-branch": NAME}), forced=("--template=",),
        words=FOLDER, most=1, paths=False,
    ),),
    "rebase": (
        _ABORT,
        Rule("approval", flags("--keep-base --autostash --no-autostash -q --quiet -v --verbose --stat "
                               "-n --no-stat --root --fork-point --no-fork-point"),
             values({"--onto": REVISION}), words=REVISION, most=2, paths=False),
    ),
    "clean": (Rule(
        "approval", flags("-f --force -d -x -X -q --quiet"), one_of=flags("-f --force"), needs="-n or -f",
    ),),
    "push": (Rule(
        "approval", flags("-u --set-upstream --tags --force-with-lease -q --quiet -v --verbose -n --dry-run"),
        forced=("--recurse-submodules=no",), words=NAME, paths=False,
    ),),
    "clone": (Rule(
        "approval", flags("--single-branch --no-single-branch -q --quiet"),
        values({"--depth": NUMBER, "-b --branch": NAME}), forced=("--template=",), first=CLONE_URL,
        words=FOLDER, least=2, most=2, paths=False,
        needs="an address that begins with https:// or ssh:// and the name of a new directory here",
    ),),
}  # fmt: skip
