"""What git said, for the ear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.actions.git import headlines
from worker.actions.git.headlines import complaint, headline

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


DIVERGED = """On branch main
Your branch and 'origin/main' have diverged,
and have 1 and 3 different commits each, respectively.
  (use "git pull" to merge the remote branch into yours)

You have unmerged paths.
  (fix conflicts and run "git commit")

Unmerged paths:
  (use "git add <file>..." to mark resolution)
\tboth modified:   f

no changes added to commit (use "git add" and/or "git commit -a")
"""
BEHIND = """On branch main
Your branch is behind 'origin/main' by 1 commit, and can be fast-forwarded.

nothing to commit, working tree clean
"""
REBASE = """interactive rebase in progress; onto 3bcafef
No commands remaining.
You are currently rebasing branch 'main' on '3bcafef'.
"""
STAT = " f | 2 +-\n g | 1 +\n 2 files changed, 2 insertions(+), 1 deletion(-)\n"


@pytest.mark.parametrize(
    ("subcommand", "stdout", "said"),
    [
        ("status", CLEAN, "On branch main, nothing to commit."),
        ("status", BUSY, "On branch feature/x, two commits ahead, two files changed and two new files."),
        ("status", BEHIND, "On branch main, one commit behind, nothing to commit."),
        (
            "status",
            DIVERGED,
            "On branch main, one commit ahead and three behind, in the middle of a merge, one conflict.",
        ),
        ("status", "HEAD detached at 0123456\nnothing to commit\n", "On no branch, nothing to commit."),
        ("status", f"{REBASE}nothing to commit\n", None),
        ("status", f"On branch x\n{REBASE}", "On branch x, in the middle of a rebase, nothing to commit."),
        (
            "status",
            "On branch main\n\nNo commits yet\n\n",
            "On branch main, no commits yet, nothing to commit.",
        ),
        ("status", " M a.txt\n?? b.txt\nUU c\n", "One conflict, one file changed and one new file."),
        (
            "status",
            "## v1.2...origin/v1.2 [ahead 1, behind 2]\nA  x\n",
            "On branch v1.2, one commit ahead, two commits behind, one file changed.",
        ),
        ("status", "", None),
        ("log", LOG, "Two commits; the latest says: Fix the parser."),
        ("log", "0123456 Fix the parser\n", "The latest commit says: Fix the parser."),
        ("log", "* 0123456 Fix it\n* abcdef0 Begin\n", "Two commits; the latest says: Fix it."),
        (
            "log",
            "0123456 (HEAD -> main, tag: v1) Fix it\nabcdef0 Begin\n",
            "Two commits; the latest says: Fix it.",
        ),
        ("log", "", None),
        ("diff", "", "There are no differences."),
        ("diff", "diff --git a/x b/x\n--- a/x\n+++ b/x\n", "One file changed."),
        ("diff", "diff --git a/x b/x\n@@\ndiff --git a/y b/y\n", "Two files changed."),
        ("diff", STAT, "Two files changed, two lines added and one line removed."),
        ("diff", " a.txt | 2 +-\n", None),
        ("commit", "[main 0123456] text\n 1 file changed\n", "Committed on main: text."),
        ("commit", "[main (root-commit) 0123456] text.\n", "Committed on main: text."),
        ("commit", "[detached HEAD 0123456] text\n", None),
        ("merge", "Already up to date.\n", "Already up to date."),
        (
            "pull",
            f"Updating a..b\nFast-forward\n{STAT}",
            "Two files changed, two lines added and one line removed.",
        ),
        ("branch", "  feature\n* main\n  remotes/origin/main\n", "Two branches. You are on main."),
        ("branch", "* (HEAD detached at 0123456)\n  main\n", "Two branches. You are on no branch."),
        (
            "stash",
            "Saved working directory and index state WIP on main: 0123456 x\n",
            "Your changes are in the stash.",
        ),
        ("stash", "stash@{0}: WIP on main: 0123456 x\n", "One entry in the stash."),
        ("grep", "a.py:1: x\nb.py:2: x\n", "Two matches."),
        ("ls-files", "a\nb\n", "Two files."),
        ("add", "", None),
    ],
)
def test_the_headline_says_what_matters(subcommand: str, stdout: str, said: str | None) -> None:
    assert headline(subcommand, stdout) == said


@pytest.mark.parametrize(
    ("subcommand", "stderr", "said"),
    [
        ("push", "Everything up-to-date\n", "There was nothing to push."),
        ("push", "To x\n   0dda3d5..3bcafef  main -> main\n", "Pushed main."),
        ("push", "To x\n * [new branch]      main -> third\n", "Pushed main."),
        ("fetch", "", "Nothing new."),
        ("fetch", "From x\n   0dda3d5..3bcafef  main       -> origin/main\n", "There is news on main."),
        (
            "fetch",
            "From x\n   0dda3d5..3bcafef  main -> origin/main\n * [new tag]         v1 -> v1\n",
            "There is news on main and v1.",
        ),
        ("switch", "Switched to a new branch 'fix/it'\n", "Now on branch fix/it."),
        ("checkout", "Already on 'main'\n", "Already on branch main."),
        ("switch", "HEAD is now at c96e891 three\n", None),
    ],
)
def test_what_git_tells_on_stderr_is_heard_too(subcommand: str, stderr: str, said: str | None) -> None:
    assert headline(subcommand, "", stderr) == said


REJECTED = """To ../o.git
 ! [rejected]        main -> main (fetch first)
error: failed to push some refs to '../o.git'
hint: Updates were rejected because the remote contains work that you do
"""


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", REJECTED, "The remote has commits on main that are not here; pull first."),
        (
            "Auto-merging f\nCONFLICT (content): Merge conflict in f\n",
            "",
            "There is one conflict to resolve.",
        ),
        (CLEAN, "", "There is nothing to commit."),
        ("\nno changes added to commit (use git add)\n", "", "Nothing is staged; add the changes first."),
        ("", "fatal: Not possible to fast-forward, aborting.\n", "Not possible to fast-forward, aborting."),
        ("", "fatal: not a git repository (or any of the parents): .git\n", "Not a git repository."),
        ("", "fatal: bad revision 'nope'\n", "Bad revision 'nope'."),
        (
            "",
            "There is no tracking information for the current branch.\nPlease specify one.\n",
            "There is no tracking information for the current branch.",
        ),
        ("", "something else\n", None),
    ],
)
def test_a_complaint_names_the_cause_and_not_the_hint(stdout: str, stderr: str, said: str | None) -> None:
    assert complaint(stdout, stderr) == said


@given(st.sampled_from([*headlines._BY_STDOUT, *headlines._BY_STDERR]), st.text())
def test_any_output_gives_a_line_or_none(subcommand: str, stdout: str) -> None:
    for said in (headline(subcommand, stdout, stdout), complaint(stdout, stdout)):
        assert said is None or 0 < len(said) <= 400


@given(
    st.from_regex(
        r"(On branch |commit |\t|    |[0-9a-f]{7} |Your branch is ahead of 'x' by ){1,5}.*", fullmatch=True
    )
)
def test_nearly_right_output_does_not_confuse_it(stdout: str) -> None:
    for subcommand in ("status", "log", "diff"):
        said = headline(subcommand, stdout)
        assert said is None or len(said) <= 300
