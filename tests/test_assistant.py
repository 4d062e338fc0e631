"""An assistant signs in and works on a real machine: all four processes, MCP and OAuth."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from mcp import Client

from tests.chain import Chain
from tests.relay.assistants import assistant, run
from tests.relay.conftest import Served
from tests.relay.signing_in import App


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call *tool*, and ask on as it says until the task has ended."""
    result: Any = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    shown = dict(result.structured_content)
    while "Call get_task" in shown["next_step"] and "completed_at" in shown:
        shown = dict(
            cast(Any, await client.call_tool("get_task", {"task_id": shown["task_id"]})).structured_content
        )
    return shown


def test_an_assistant_that_signed_in_works_within_its_policy(tmp_path: Path) -> None:
    with Chain(tmp_path) as chain:
        chain.start()
        relay = cast(Served, SimpleNamespace(address=chain.relay))
        app = App(relay)
        token = app.sign_in()["access_token"]
        app.http.close()
        policy = tmp_path / "policy.toml"

        async def main() -> None:
            async with assistant(relay, "legacy", token) as client:
                told = await call(client, "list_projects")
                assert told["summary"] == "laptop, which is online, has ai-webhook."
                assert "/" not in str(told["machines"]), "never where a project lies"
                status = await call(client, "repo_status", project="AI webhook")
                assert status["summary"].endswith("On branch main, one file changed and one new file.")
                printed = await call(client, "run_shell", command="echo hello", title="Say hello")
                assert (printed["status"], printed["output"]) == ("completed", "hello\n")

                # What the policy says about this caller counts for it, at once and by its name.
                policy.write_text(policy.read_text() + '[callers.claude]\nallow = ["git.read"]\n')
                refused = await call(client, "run_shell", command="echo again")
                assert refused["reason"] == "rejected"
                assert refused["error"].startswith("claude may not ask for shell.full")

                # And what a project no longer allows is no longer offered.
                policy.write_text(policy.read_text().replace('shell = "full"', 'shell = "off"'))
                async with asyncio.timeout(20):
                    while "run_shell" in {tool.name for tool in (await client.list_tools()).tools}:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

        run(main())
        with closing(sqlite3.connect(tmp_path / "tasks.db")) as records:
            assert records.execute("SELECT DISTINCT caller FROM tasks").fetchall() == [("claude",)]
