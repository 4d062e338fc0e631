"""What holds for every page, on a phone and on a laptop, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from relay.protocol import Status
from tests.viewer.machine import Machine
from viewer import listing

pytestmark = pytest.mark.browser

LETTERS, BEHIND = [39, *range(30, 38), *range(90, 98)], [49, *range(40, 48), *range(100, 108)]
# Every colour on every other, plain and inverse; short, so that all of it can be seen at once.
COLOURS = "\n".join(
    "".join(f"\x1b[{letters};{behind}mo\x1b[7mi\x1b[0;2md\x1b[0m" for behind in BEHIND) for letters in LETTERS
)


def everything(machine: Machine) -> str:
    for number in range(listing.PAGE_TASKS):
        machine.ended(title=f"Say {number}", headline=str(number))
    machine.ended(title="Fix the tests", returncode=1, error="It ended with exit status 1: one test failed")
    machine.ended(status=Status.CANCELLED)
    machine.asked(title="Build it")
    machine.started(title="Test it", since=94)
    machine.needs_ok(title="Push it")
    return "/"


def earlier(machine: Machine) -> str:
    everything(machine)
    return f"/?status=completed&before={listing.PAGE_TASKS}"


def nothing_matches(machine: Machine) -> str:
    machine.ended()
    return "/?status=failed"


def failed(machine: Machine) -> str:
    task = machine.ended(title="Fix the tests", returncode=1, printed="first try\n" * 100)
    machine.inbox.retry(task.id)
    again = machine.start(machine.current(task.id))
    machine.prints(again, "second try\n" * 100)
    machine.end(again, 1, error="It ended with exit status 1: one test failed")
    return f"/t/{task.id}"


def done(machine: Machine) -> str:
    return f"/t/{machine.ended(title='Show colours', printed=COLOURS).id}"


def running(machine: Machine) -> str:
    task = machine.started(title="Test it", since=94)
    machine.prints(task, "one line\n" * 200 + "Password? ")
    return f"/t/{task.id}"


def silent(machine: Machine) -> str:
    return f"/t/{machine.asked(title='Build it').id}"


def asks(machine: Machine) -> str:
    return f"/t/{machine.needs_ok(title='Push it', command='git push && ./deploy.sh').id}"


def wants(machine: Machine) -> str:
    task = machine.started(title="Mend it", since=94)
    machine.prints(task, "? waits for Allow\n")
    content = "one line of it\n" * 100 + "y" * 300
    machine.asks(
        task, "Write", {"file_path": "/home/me/" + "x" * 200, "content": content}, why="It is outside"
    )
    machine.asks(task, "Bash", {"command": "make test"})
    return f"/t/{task.id}"


def conversation(machine: Machine) -> str:
    result = {"session_id": "4033a5b0-1111-4111-8111-111111111111", "headline": "It is fine."}
    asked = {"prompt": "Review it"}
    task = machine.ended(
        action_type="claude_code",
        params=asked,
        title="Review it",
        output_data=result,
        printed="It is fine.\n",
    )
    return f"/t/{task.id}"


def unbroken(machine: Machine) -> str:
    word = "x" * 200
    task = machine.ended(
        "y" * 3_000, title=word, task_id="z" * 128, returncode=1, error="e" * 900, printed="p" * 20_000
    )
    return f"/t/{task.id}"


def unbroken_list(machine: Machine) -> str:
    unbroken(machine)
    return "/"


def long_output(machine: Machine) -> str:
    return f"/t/{machine.ended(printed='a line of words ' * 40_000).id}"


def confirmation(machine: Machine) -> str:
    return f"{failed(machine)}/retry"


def answer(machine: Machine) -> str:
    text = (
        "# Done\n\n| File | Change |\n| - | - |\n| `"
        + "x" * 90
        + "` | **much** |\n\n1. see [link](https://x.example) for more\n\n"
    )
    text += "> quoted\n\n```\n" + "y" * 300 + "\n```\n\n" + "z" * 200
    patch = f"diff --git a/x b/x\n@@ -1 +1 @@\n-{'o' * 300}\n+new\n" * 40
    result = {"answer": text, "patch": patch, "files_changed": ["x"], "branch": f"agent/{'b' * 60}"}
    return f"/t/{machine.ended(title='Ask', output_data=result).id}"


def all_again(machine: Machine) -> str:
    for number in range(3):
        machine.ended(f"make {'x' * 300}{number}", title="Say it", returncode=1, error="e" * 300)
    return "/retry?status=failed"


def stats(machine: Machine) -> str:
    everything(machine)
    return "/stats"


def events(machine: Machine) -> str:
    machine.event("github.push", {"ref": "refs/heads/main", "long": "x" * 20_000})
    machine.event("llm_conversation_insight", {"text": "hello"})
    return "/events"


PAGES = {
    "the list": everything,
    "the list further back": earlier,
    "a new machine": lambda machine: "/",
    "a filter without a match": nothing_matches,
    "a search without a match": lambda machine: nothing_matches(machine) + "&q=" + "zebra" * 30,
    "the question whether to run all again": all_again,
    "an answer": answer,
    "stats": stats,
    "no stats": lambda machine: "/stats?days=7",
    "a failed task": failed,
    "a finished task in colour": done,
    "a running task": running,
    "a waiting task": silent,
    "a task that needs an OK": asks,
    "a task that asks while it runs": wants,
    "a conversation that can go on": conversation,
    "a task of unbroken words": unbroken,
    "a list of unbroken words": unbroken_list,
    "a long output": long_output,
    "the question whether to run again": confirmation,
    "events": events,
    "no events": lambda machine: "/events",
    "no such task": lambda machine: "/t/nobody",
    "no such page": lambda machine: "/nowhere",
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_nothing_sticks_out_and_everybody_can_use_it(
    page: Page,
    machine: Machine,
    check: Callable[[], None],
    allowed: list[str],
    make: Callable[[Machine], str],
) -> None:
    allowed.append("404 (NOT FOUND)")
    page.goto(make(machine))
    for summary in page.locator("summary").all():
        summary.click()
    check()


def test_the_dialog_is_for_everybody_too(page: Page, machine: Machine, check: Callable[[], None]) -> None:
    page.goto(failed(machine))
    page.get_by_role("link", name="Run again").click()
    check()


def test_the_card_of_keys_is_for_everybody_too(
    page: Page, machine: Machine, check: Callable[[], None]
) -> None:
    page.goto("/")
    page.keyboard.press("?")
    check()


def test_without_wrapping_only_the_output_scrolls_sideways(
    page: Page, machine: Machine, check: Callable[[], None]
) -> None:
    page.goto(unbroken(machine))
    page.get_by_role("button", name="Wrap").click()
    log = page.get_by_role("region", name="Output")
    assert log.evaluate("log => log.scrollWidth > log.clientWidth")
    check()
    page.reload()
    # Remembered, because it is a matter of taste.
    assert page.get_by_role("button", name="Wrap").get_attribute("aria-pressed") == "false"
