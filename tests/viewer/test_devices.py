"""Codes and connected devices, on their real file."""

from __future__ import annotations

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from tests.viewer.conftest import Clock
from viewer.devices import CODE_S, TRIES, UNSEEN_S, Devices, TooManyTries, WrongCode


def connect(devices: Devices, code: str, address: str = "127.0.0.1") -> str:
    return devices.connect(code, address=address, name="Chrome on Linux")


def test_a_code_lets_one_device_in_however_it_is_typed(devices: Devices) -> None:
    code = devices.new_code()
    assert re.fullmatch("[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}", code)
    token = connect(devices, f" {code.replace('-', ' ').lower()} ")
    found = devices.find(token)
    assert found is not None
    assert (found.name, [one.id for one in devices.all()]) == ("Chrome on Linux", [found.id])
    with pytest.raises(WrongCode):
        connect(devices, code)


def test_a_code_that_many_use_at_once_lets_one_of_them_in(devices: Devices) -> None:
    code = devices.new_code()

    def try_it(number: int) -> bool:
        try:
            return bool(connect(devices, code, f"10.0.0.{number}"))
        except WrongCode:
            return False

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(try_it, range(8))) == 1


def test_a_code_ends_after_ten_minutes(devices: Devices, clock: Clock) -> None:
    early, late = devices.new_code(), devices.new_code()
    clock.time += timedelta(seconds=CODE_S - 1)
    connect(devices, early)
    clock.time += timedelta(seconds=2)
    with pytest.raises(WrongCode):
        connect(devices, late)


def test_after_five_wrong_codes_the_right_one_does_not_help_until_there_is_a_new_one(
    devices: Devices,
) -> None:
    code = devices.new_code()
    for _ in range(TRIES):
        with pytest.raises(WrongCode):
            connect(devices, "AAAA-AAAA")
    with pytest.raises(TooManyTries):
        connect(devices, code)
    connect(devices, code, "192.168.1.7")  # somebody else's tries are not ours
    connect(devices, devices.new_code())


def test_after_ten_minutes_one_may_try_again(devices: Devices, clock: Clock) -> None:
    for _ in range(TRIES + 3):
        with pytest.raises(WrongCode):
            connect(devices, "AAAA-AAAA")
    clock.time += timedelta(seconds=CODE_S + 1)
    with pytest.raises(WrongCode) as problem:
        connect(devices, "")
    assert problem.type is WrongCode


def test_a_forgotten_device_is_a_stranger_and_its_number_is_not_used_again(devices: Devices) -> None:
    token = connect(devices, devices.new_code())
    found = devices.find(token)
    assert found is not None
    devices.forget(found.id)
    assert devices.find(token) is None
    newer = devices.find(connect(devices, devices.new_code()))
    assert newer is not None
    devices.forget(found.id)
    assert devices.all() == [newer]


def test_it_is_seen_when_it_asks_and_forgotten_when_it_never_does(devices: Devices, clock: Clock) -> None:
    token, other = connect(devices, devices.new_code()), connect(devices, devices.new_code())
    clock.time += timedelta(seconds=UNSEEN_S - 1)
    assert devices.find(token)
    clock.time += timedelta(seconds=2)
    assert devices.find(other) is None
    assert [one.seen_at for one in devices.all()] == [clock.time - timedelta(seconds=2)]


def test_a_full_disk_keeps_nobody_out(devices: Devices, clock: Clock) -> None:
    token = connect(devices, devices.new_code())
    devices._do("PRAGMA query_only = 1")
    clock.time += timedelta(minutes=5)
    assert devices.find(token)
    with pytest.raises(sqlite3.OperationalError):
        devices.new_code()


@pytest.mark.parametrize("token", [None, "", "x", "\udcff", "x" * 9000])
def test_nobody_else_is_known(devices: Devices, token: str | None) -> None:
    assert devices.find(token) is None


def test_another_process_makes_codes_and_a_restart_forgets_nobody(devices: Devices, tmp_path: Path) -> None:
    other = Devices(tmp_path / "tasks.devices.db")
    token = connect(devices, other.new_code())
    assert other.find(token)
    other.close()


def test_the_file_is_for_its_owner_only_and_holds_nothing_that_lets_in(
    devices: Devices, tmp_path: Path
) -> None:
    code = devices.new_code()
    token = connect(devices, devices.new_code())
    files = list(tmp_path.glob("tasks.devices.db*"))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    raw = b"".join(path.read_bytes() for path in files)
    assert not any(word.encode() in raw for word in (code, code.replace("-", ""), token))


def test_a_damaged_file_is_said_and_not_repaired(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is no database, whatever its name says" * 99)
    with pytest.raises(sqlite3.DatabaseError):
        Devices(tmp_path / "x.db")
