"""What git is given besides its arguments: environment and configuration that a repository cannot
overrule.

The environment is built from nothing (`worker.environment`), so no GIT_* of the worker's
own reaches git. Configuration goes through GIT_CONFIG_COUNT: it beats every file, and reaches the
gits that git itself starts. The owner's own ~/.gitconfig stays in force: it is theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from worker.actions.git.parse import Verdict
from worker.actions.git.repository import Repository

_NETWORK = {"fetch", "pull", "push", "clone"}

# No question is ever asked, no program of the repository's choosing is started.
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    # Without these two, an askpass program hangs even when prompts are off.
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_TEMPLATE_DIR": "",
    "GCM_INTERACTIVE": "never",
    "LC_ALL": "C.UTF-8",
}
# Configuration that overrules the repository's own. `diff.external` is not among them: set to
# nothing it makes git diff fail; --no-ext-diff does its work.
_CONFIG = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.editor": ":",
    "sequence.editor": ":",
    "core.alternateRefsCommand": "",
    # A look at a repository would write a shared index into it and delete those that others need.
    "core.splitIndex": "false",
    "splitIndex.sharedIndexExpire": "never",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "push.recurseSubmodules": "no",
    # Tags that only this machine has would be deleted with those that the remote has deleted.
    "fetch.pruneTags": "false",
    "push.gpgSign": "false",
    "diff.ignoreSubmodules": "dirty",
    "diff.submodule": "short",
    "status.submoduleSummary": "false",
    "format.pretty": "medium",
    "log.showSignature": "false",
    "gpg.program": "false",
    "gpg.openpgp.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "tag.forceSignAnnotated": "false",
    "merge.verifySignatures": "false",
    # A merge writes names that one of its sides has, and no others, so that they can be looked at before.
    "merge.directoryRenames": "false",
    # It would write what it remembers into .git, and files by what it remembers.
    "rerere.enabled": "false",
    # Other branches would be moved with the one that a person has said yes to.
    "rebase.updateRefs": "false",
    "clean.requireForce": "true",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "interactive.diffFilter": "",
    "credential.interactive": "false",
    "color.ui": "false",
    "color.diff": "false",
    "color.status": "false",
    "color.branch": "false",
    "color.grep": "false",
    "column.ui": "never",
}


def uses_network(verdict: Verdict) -> bool:
    """Whether the command speaks to another machine."""
    return verdict.subcommand in _NETWORK


def environment(
    verdict: Verdict, repository: Repository | None, *, hooks: bool = False, ssh: str = "ssh"
) -> dict[str, str]:
    """What to add to a program's environment for this command in this repository; None when the
    command makes one. With *hooks*, hooks of the repository run; *ssh* is the owner's way to call it."""
    # Reading stays on this machine: a partial clone would fetch what it lacks from wherever its
    # configuration says. An empty list allows no protocol at all.
    protocols = "" if verdict.access == "read" else "https:ssh"
    agent = os.environ.get("SSH_AUTH_SOCK") if uses_network(verdict) else None
    return {
        **_ENVIRONMENT,
        **_configuration(hooks=hooks),
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes",
        **(_place(repository) if repository else {}),
        **({"SSH_AUTH_SOCK": agent} if agent else {}),
    }


@cache
def _configuration(*, hooks: bool) -> Mapping[str, str]:
    config = {key: value for key, value in _CONFIG.items() if not (hooks and key == "core.hooksPath")}
    numbered = {f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(config)}
    numbered |= {f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(config.values())}
    return {**numbered, "GIT_CONFIG_COUNT": str(len(config))}


def _place(repository: Repository) -> Mapping[str, str]:
    # git is told where the repository is and does not look for itself: it uses the one whose
    # configuration was audited, and core.worktree has no say.
    return {
        "GIT_DIR": str(repository.git_dir),
        "GIT_WORK_TREE": str(repository.top),
        "GIT_CEILING_DIRECTORIES": str(Path(repository.top).parent),
    }
