"""The sub-commands that change nothing, and what they may be given: a table (pure).

Where git has found a way to start a program or to write a file from an option, that option is not
here; what it starts because the repository's configuration says so is switched off by `forced`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.actions.git.rules import Rule, flags, values
from worker.actions.git.values import (
    ALGORITHM,
    DATE,
    DATE_STYLE,
    FIELDS,
    FILTER,
    FORMAT,
    GLOB,
    LINES,
    NAME,
    NUMBER,
    PATTERN,
    PERCENT,
    REVISION,
    SORT,
    STASH,
    TEXT,
    UNTRACKED,
    WIDTHS,
    WORDS,
)  # fmt: skip

_NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")
_NEVER = re.compile("never")

_DIFF = flags(
    "--stat --shortstat --numstat --dirstat --compact-summary --summary --name-only --name-status --patch -p "
    "-u --no-patch -s --raw --patch-with-stat --full-index -w -b -R --ignore-all-space --ignore-space-change "
    "--ignore-space-at-eol --ignore-blank-lines --word-diff --minimal --patience --histogram --no-color "
    "--function-context -W --no-renames -M --find-renames -C --find-copies --abbrev --no-prefix --color"
)
_DIFF_VALUES = {
    "-U --unified": NUMBER, "--inter-hunk-context": NUMBER,
    "--diff-filter": FILTER, "--diff-algorithm": ALGORITHM,
}  # fmt: skip
_DIFF_OPTIONAL = {
    "--stat": WIDTHS, "-M --find-renames": PERCENT, "-C --find-copies": PERCENT, "--abbrev": NUMBER,
    "--word-diff": WORDS, "--color": _NEVER,
}  # fmt: skip

_COMMITS = flags(
    "--all --branches --tags --remotes --merges --no-merges --first-parent --reverse --date-order "
    "--topo-order --author-date-order --left-right --left-only --right-only --cherry-pick --cherry-mark "
    "--boundary --full-history --simplify-by-decoration --ancestry-path --all-match --invert-grep "
    "-i --regexp-ignore-case -E --extended-regexp -F --fixed-strings"
)
_COMMITS_VALUES = {
    "-n --max-count": NUMBER, "--skip": NUMBER, "--min-parents": NUMBER, "--max-parents": NUMBER,
    "--since": DATE, "--after": DATE, "--until": DATE, "--before": DATE,
    "--author": TEXT, "--committer": TEXT, "--grep": TEXT,
}  # fmt: skip
_COMMITS_OPTIONAL = {"--branches": GLOB, "--tags": GLOB, "--remotes": GLOB}

_SHOWN = flags(
    "--oneline --decorate --no-decorate --abbrev-commit --no-abbrev-commit --graph --source --no-notes "
    "--relative-date --parents --pretty"
)
_SHOWN_VALUES = {"--format": FORMAT, "--date": DATE_STYLE, "-S": TEXT, "-G": TEXT}
_SHOWN_OPTIONAL = {
    "--pretty": FORMAT, "--decorate": re.compile("short|full|auto|no"),
}  # fmt: skip

_LIST = flags("--list -l")
_FILTERS = {
    "--contains": REVISION, "--no-contains": REVISION, "--merged": REVISION, "--no-merged": REVISION,
    "--points-at": REVISION, "--sort": SORT, "--format": FIELDS,
}  # fmt: skip
_LISTS = _LIST | flags("--contains --no-contains --merged --no-merged --points-at")

READS: Mapping[str, tuple[Rule, ...]] = {
    "status": (Rule(
        "read",
        flags("-s --short -b --branch --long --porcelain --show-stash --ahead-behind --no-ahead-behind "
              "--no-renames -u --untracked-files --ignored"),
        optional=values({"-u --untracked-files": UNTRACKED, "--porcelain": re.compile("v[12]"),
                         "--ignored": re.compile("traditional|no|matching")}),
        forced=("--ignore-submodules=dirty",),
    ),),
    "log": (Rule(
        "read", _DIFF | _COMMITS | _SHOWN | {"--follow"},
        values(_DIFF_VALUES | _COMMITS_VALUES | _SHOWN_VALUES),
        values(_DIFF_OPTIONAL | _COMMITS_OPTIONAL | _SHOWN_OPTIONAL),
        (*_NO_PROGRAMS, "--no-show-signature", "--submodule=short"), count="--max-count",
    ),),
    "show": (Rule(
        "read", (_DIFF | _SHOWN) - {"--graph"}, values(_DIFF_VALUES | _SHOWN_VALUES),
        values(_DIFF_OPTIONAL | _SHOWN_OPTIONAL),
        (*_NO_PROGRAMS, "--no-show-signature", "--submodule=short"),
    ),),
    "diff": (Rule(
        "read", _DIFF | flags("--cached --staged --merge-base"), values(_DIFF_VALUES), values(_DIFF_OPTIONAL),
        (*_NO_PROGRAMS, "--submodule=short", "--ignore-submodules=dirty"),
    ),),
    "blame": (Rule(
        "read",
        flags("-w -M -C -p --porcelain --line-porcelain --incremental -e --show-email -l -t -s -n "
              "--show-number -f --show-name --root -b --abbrev"),
        values({"-L": LINES, "--since": DATE, "--date": DATE_STYLE}), values({"--abbrev": NUMBER}),
        ("--no-textconv",), most=2, least_paths=1, needs="the name of a file",
    ),),
    "grep": (Rule(
        "read",
        flags("-n --line-number -i --ignore-case -w --word-regexp -l --files-with-matches --name-only "
              "-L --files-without-match -c --count -E --extended-regexp -F --fixed-strings -G "
              "--basic-regexp -h -H -v --invert-match -I -o --only-matching -W --function-context -p "
              "--show-function -q --quiet --cached --untracked --heading --break --column --full-name "
              "--all-match --no-color"),
        values({"-e": PATTERN, "-A --after-context": NUMBER, "-B --before-context": NUMBER,
                "-C --context": NUMBER, "-m --max-count": NUMBER, "--max-depth": NUMBER}),
        forced=("--no-textconv",), pattern_first=True, count="--context",
        one_of=frozenset({"-e"}), needs="something to look for",
    ),),
    "ls-files": (Rule(
        "read",
        flags("-c --cached -d --deleted -m --modified -o --others -i --ignored -s --stage -u --unmerged "
              "-k --killed -t -v -z --exclude-standard --error-unmatch --full-name --eol --directory "
              "--no-empty-directory --deduplicate --abbrev"),
        optional=values({"--abbrev": NUMBER}),
    ),),
    "ls-tree": (Rule(
        "read", flags("-r -d -t -l --long -z --name-only --name-status --object-only --full-name --full-tree "
                      "--abbrev"),
        optional=values({"--abbrev": NUMBER}), least=1, needs="a commit or a tree, for example HEAD",
    ),),
    "branch": (Rule(
        "read",
        _LIST | flags("-a --all -r --remotes -v -vv --verbose --show-current -i --ignore-case --abbrev "
                      "--no-abbrev --no-color --no-column"),
        values(_FILTERS), values({"--abbrev": NUMBER}), words=GLOB, listing=_LISTS, paths=False,
    ),),
    "tag": (Rule(
        "read", _LIST | flags("-n -i --ignore-case --no-color --no-column"),
        values(_FILTERS), values({"-n": NUMBER}), words=GLOB, listing=_LISTS | {"-n"}, paths=False,
    ),),
    "remote": (
        Rule("read", flags("-v --verbose"), most=0, paths=False),
        Rule("read", flags("--all --push"), verb="get-url", words=NAME, least=1, most=1, paths=False,
             needs="the name of a remote"),
    ),
    "rev-parse": (Rule(
        "read",
        flags("--short --abbrev-ref --verify --quiet -q --symbolic-full-name --symbolic --show-toplevel "
              "--show-prefix --show-cdup --git-dir --absolute-git-dir --git-common-dir "
              "--is-inside-work-tree --is-inside-git-dir --is-bare-repository --is-shallow-repository "
              "--show-object-format"),
        optional=values({"--short": NUMBER, "--abbrev-ref": re.compile("strict|loose")}), most=10,
        paths=False,
    ),),
    "rev-list": (Rule(
        "read", _COMMITS | flags("--count --oneline --abbrev-commit --parents --children --timestamp"),
        values(_COMMITS_VALUES), values(_COMMITS_OPTIONAL), count="--max-count", instead=("HEAD",),
    ),),
    "shortlog": (Rule(
        # Its -n and --committer take no value, unlike those of log: once our reading differed from
        # git's here, and the word that we took for a value made git write a file.
        "read", (_COMMITS | flags("-s --summary -n --numbered -e --email -c --committer")) - {"-i"},
        values({name: one for name, one in _COMMITS_VALUES.items()
                if name not in {"-n --max-count", "--committer"}} | {"--max-count": NUMBER}),
        values(_COMMITS_OPTIONAL), instead=("HEAD",),
    ),),
    "describe": (Rule(
        "read", flags("--all --tags --contains --always --long --exact-match --first-parent --abbrev"),
        values({"--candidates": NUMBER, "--match": GLOB, "--exclude": GLOB}), values({"--abbrev": NUMBER}),
        words=REVISION, paths=False,
    ),),
    "merge-base": (Rule(
        "read", flags("-a --all --octopus --independent --is-ancestor --fork-point"),
        words=REVISION, least=1, most=10, paths=False, needs="two commits",
    ),),
    "cat-file": (Rule(
        "read", flags("-p -t -s -e"), one_of=flags("-p -t -s -e"), least=1, most=1, paths=False,
        needs="-p, -t, -s or -e, and one object",
    ),),
    "reflog": (
        Rule(
            "read", _COMMITS | _SHOWN - {"--graph"},
            values(_COMMITS_VALUES | {"--format": FORMAT, "--date": DATE_STYLE}),
            values(_COMMITS_OPTIONAL | _SHOWN_OPTIONAL), (*_NO_PROGRAMS, "--no-show-signature"),
            verb="show", other_verbs=flags("expire delete exists list drop write"), words=REVISION,
            count="--max-count", paths=False,
        ),
    ),
    "stash": (
        Rule("read", flags("--oneline --stat --relative-date"),
             values({"-n --max-count": NUMBER, "--date": DATE_STYLE}), forced=_NO_PROGRAMS, verb="list",
             most=0, paths=False, count="--max-count"),
        Rule("read", _DIFF - flags("-R -s --no-patch"), values(_DIFF_VALUES), values(_DIFF_OPTIONAL),
             _NO_PROGRAMS, verb="show", words=STASH, most=1, paths=False),
    ),
    "worktree": (Rule("read", flags("--porcelain -v --verbose"), verb="list", most=0, paths=False),),
    "clean": (Rule(
        "read", flags("-n --dry-run -d -x -X -q --quiet"), values({"-e --exclude": GLOB}),
        one_of=flags("-n --dry-run"), needs="-n, which only shows what would be removed",
    ),),
    "version": (Rule("read", flags("--build-options"), most=0, paths=False),),
}  # fmt: skip
