"""What git said, for the ear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.actions.git.headlines import headline

CLEAN = "On branch main\nnothing to commit, working tree clean\n"
BUSY = """On branch feature/x
Your branch is ahead of 'origin/feature/x' by 2 commits.
  (use "git push" to publish your local commits)

Changes to be committed:
  (use "git restore --staged <file>..." to unstage)
\tnew file:   a.txt
\tmodified:   b.txt

Changes not staged for commit:
\tmodified:   b.txt

Untracked files:
  (use "git add <file>..." to include in what will be committed)
\tc.txt
\td/
"""
LOG = """commit 0123456789abcdef0123456789abcdef01234567
Author: A <a@example.invalid>
Date:   Sun Mar 1 12:00:00 2026 +0000

    Fix the parser.

commit 1123456789abcdef0123456789abcdef01234567
Author: A <a@example.invalid>
Date:   Sun Mar 1 11:00:00 2026 +0000

    Begin
"""


@pytest.mark.parametrize(
    ("subcommand", "stdout", "said"),
    [
        ("status", CLEAN, "On branch main, nothing to commit."),
        ("status", BUSY, "On branch feature/x, 2 commits ahead, 2 files changed and 2 new files."),
        ("status", "HEAD detached at 0123456\nnothing to commit\n", None),
        ("status", " M a.txt\n?? b.txt\n", None),
        ("log", LOG, "2 commits; the latest says: Fix the parser."),
        ("log", "0123456 Fix the parser\n", "The latest commit says: Fix the parser."),
        (
            "log",
            "0123456 (HEAD -> main, tag: v1) Fix it\nabcdef0 Begin\n",
            "2 commits; the latest says: Fix it.",
        ),
        ("log", "", None),
        ("diff", "", "There are no differences."),
        ("diff", "diff --git a/x b/x\n--- a/x\n+++ b/x\n", "one file changed."),
        ("diff", "diff --git a/x b/x\n@@\ndiff --git a/y b/y\n", "2 files changed."),
        ("diff", " a.txt | 2 +-\n", None),
        ("commit", "[main 0123456] text\n 1 file changed\n", "Committed on main: text."),
        ("commit", "[main (root-commit) 0123456] text.\n", "Committed on main: text."),
        ("commit", "[detached HEAD 0123456] text\n", None),
        ("add", "", None),
    ],
)
def test_the_headline_says_what_matters(subcommand: str, stdout: str, said: str | None) -> None:
    assert headline(subcommand, stdout) == said


@given(st.sampled_from(["status", "log", "diff", "show", "add", "commit"]), st.text())
def test_any_output_gives_a_short_line_or_none(subcommand: str, stdout: str) -> None:
    said = headline(subcommand, stdout)
    assert said is None or 0 < len(said) <= 200


@given(
    st.from_regex(
        r"(On branch |commit |\t|    |[0-9a-f]{7} |Your branch is ahead of 'x' by ){1,5}.*", fullmatch=True
    )
)
def test_nearly_right_output_does_not_confuse_it(stdout: str) -> None:
    for subcommand in ("status", "log", "diff"):
        said = headline(subcommand, stdout)
        assert said is None or len(said) <= 200
