"""The viewer in-process, on real records in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.viewer.machine import Machine
from viewer.app import create_app
from viewer.devices import Devices
from viewer.settings import Settings


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


class Clock:
    """A time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings() -> Settings:
    return Settings.read(
        {"VIEWER_HOST": "0.0.0.0", "VIEWER_ORIGINS": "https://laptop.example,http://lan.example:5001"}
    )


@pytest.fixture
def devices(tmp_path: Path, clock: Clock) -> Iterator[Devices]:
    made = Devices(tmp_path / "tasks.devices.db", clock)
    yield made
    made.close()


@pytest.fixture
def app(machine: Machine, devices: Devices, settings: Settings, clock: Clock) -> Flask:
    return create_app(machine.inbox, devices, settings, clock)


class Client(FlaskClient):
    """Reads every answer to its end, as a server does, so that files are closed."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return super().open(*args, **{"buffered": True, **kwargs})


def _client(app: Flask) -> FlaskClient:
    app.test_client_class = Client
    return app.test_client()


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    """A browser on this machine that nobody has connected."""
    return _client(app)


@pytest.fixture
def client(app: Flask, devices: Devices, settings: Settings) -> FlaskClient:
    """A connected browser on this machine."""
    made = _client(app)
    made.set_cookie(settings.cookie, devices.remember("Test browser"))
    return made
