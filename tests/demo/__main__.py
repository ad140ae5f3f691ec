"""`make demo`: a collector, five agents and what they find, on this machine alone.

    python -m demo [--once]

It builds the file systems of four sample servers below `demo-work/` of the checkout, starts a
collector on 127.0.0.1, enrols an agent for this machine and one for each sample server, asks the
collector, renews a certificate and shows the change arriving. It stays up until Ctrl-C; with
`--once` it ends by itself. Whatever it started ends with it. It needs no privileges.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from demo.processes import DemoError, ProcessEndedError, Processes
from demo.shell import Shell, heading, say
from demo.story import Story

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--once", action="store_true", help="end after the last answer")
    once: bool = parser.parse_args().once
    # Both, and said outright: a shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    work = CHECKOUT / "demo-work"
    try:
        with (
            _alone(work),
            ExitStack() as servers,
            Processes(work / "logs") as processes,
        ):
            try:
                _tell(work, processes, servers, once=once)
            finally:
                # Who presses Ctrl-C twice must not leave half of it running.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except DemoError as error:
        say(f"\nThe demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
        return 130
    return 0


def _tell(work: Path, processes: Processes, servers: ExitStack, *, once: bool) -> None:
    shell = Shell(CHECKOUT, {"KEYCENSUS_CONFIG": str(work / "login")})
    story = Story(work, shell, processes, servers)
    try:
        story.tell()
    except ProcessEndedError:
        raise
    except DemoError as error:
        raise DemoError(f"{error}\n\nThe ends of the logs:\n{processes.tails()}") from error
    if once:
        heading("Done: stopping what was started")
        return
    story.tell_where_to_look()
    try:
        while not threading.Event().wait(5):
            processes.check()
    except KeyboardInterrupt:
        say("\nstopping what was started")


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Empty the work folder and hold it, so that a second demo does not pull it away."""
    work.mkdir(mode=0o755, exist_ok=True)
    with (work / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another demo is running in {work}; stop it first") from None
        for old in work.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
