"""Tell the service manager how we are: ready, reloading, stopping, alive (sd_notify(3)).

A datagram to a socket of this host, whose address is in the environment. Without one nothing is
told. A few lines of our own, since the reader loads no library that could do more.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

# A sign of life comes this often within the time that the manager waits for one.
_SIGNS_PER_WAIT = 4


@dataclass(slots=True)
class Notifier:
    """Speaks to the manager; `address` is empty if there is none.

    `every`: seconds between signs of life; 0 if the manager waits for none.
    """

    address: str = ""
    every: float = 0.0
    _alive_at: float = field(default=float("-inf"), init=False)

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Notifier:
        """Return what the environment asks for; a watchdog that is meant for another process is not."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        wait = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", "") in {"", str(pid)}
        seconds = int(wait) / 1_000_000 if wait.isdecimal() and meant else 0.0
        return cls(address, seconds / _SIGNS_PER_WAIT)

    def ready(self, status: str) -> None:
        """Say that the service does its work; `status` is one line for people."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` follows."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that it leaves."""
        self._tell("STOPPING=1")

    def alive(self, now: float) -> None:
        """Give a sign of life, if it is time; `now` is monotonic. Cheap enough to be called often."""
        if self.every and now - self._alive_at >= self.every:
            self._alive_at = now
            self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self.address:
            return
        address = self.address
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto(text.encode(), os.fsencode(address))
        except OSError:
            # A manager that does not listen is no reason not to work.
            return
