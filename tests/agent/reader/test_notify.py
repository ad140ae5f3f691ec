"""What the service manager is told, and when."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keycensus_agent.reader.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        yield manager


def address(manager: socket.socket) -> str:
    return str(manager.getsockname())


def test_ready_reloading_and_stopping_are_told(manager: socket.socket) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": address(manager)}, 1)
    notifier.ready("watching 3 directories")
    assert manager.recv(999) == b"READY=1\nSTATUS=watching 3 directories"
    notifier.reloading()
    assert manager.recv(999).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    notifier.stopping()
    assert manager.recv(999) == b"STOPPING=1"


def test_an_abstract_address_is_told_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0keycensus-test-notify")
        manager.settimeout(5)
        Notifier.of({"NOTIFY_SOCKET": "@keycensus-test-notify"}, 1).stopping()
        assert manager.recv(999) == b"STOPPING=1"


def test_signs_of_life_come_four_times_as_often_as_they_are_waited_for(
    manager: socket.socket,
) -> None:
    environment = {"NOTIFY_SOCKET": address(manager), "WATCHDOG_USEC": "8000000"}
    notifier = Notifier.of(environment | {"WATCHDOG_PID": "77"}, 77)
    assert notifier.every == 2.0
    for now in (100.0, 101.0, 101.9, 102.0):
        notifier.alive(now)
    notifier.stopping()
    told = [manager.recv(999) for _ in range(3)]
    assert told == [b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "/no/such/socket"},
        {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "x"},
        {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "2"},
    ],
)
def test_without_a_manager_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier.of(environment, 1)
    notifier.ready("")
    notifier.alive(0.0)
    assert notifier.every == 0
