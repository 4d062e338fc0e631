"""For every test: none of the developer's own settings, and a folder of its own to be in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import environment

ROOT = Path(__file__).resolve().parent.parent
OWN = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)

for name in OWN:
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _settings_stay_in_their_test() -> Iterator[None]:
    yield
    left = [name for name in OWN if name in os.environ]
    for name in left:
        del os.environ[name]
    assert left == [], "a setting was left in the environment, where the next test's processes find it"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    _settings_stay_in_their_test: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Settings are read from ./.env; the one of this checkout holds its owner's real keys.
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _programs_see_todays_environment() -> None:
    # The worker looks at its environment once; tests change theirs.
    environment._ours.cache_clear()
    environment._places.clear()


@pytest.fixture
def own_environment() -> Iterator[None]:
    """Lets a test read .env into the environment of this process, and undoes it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Playwright keeps an event loop running in this thread from its first test on, and asyncio.run
    # refuses to work beside it: whoever uses the browser comes last. The files with the longest tests
    # come first, so that nobody waits for one of them at the end.
    def place(item: pytest.Item) -> tuple[bool, bool]:
        return item.get_closest_marker("browser") is not None, item.path.parent.name != "tests"

    items.sort(key=place)


def pytest_xdist_auto_num_workers() -> int:
    # One more than there are cores: many tests wait for another process. A browser each sets the limit.
    return min((os.cpu_count() or 1) + 1, 8)
