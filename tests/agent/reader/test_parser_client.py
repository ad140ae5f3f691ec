from __future__ import annotations

import os
import select
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.build_fixtures import FILES, FIXTURES, PASSWORD

from keycensus_agent.errors import ParserError
from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint
from keycensus_agent.reader.parser_client import ParserClient, ParserLimits
from keycensus_agent.reader.passwords import PasswordFile, read_password_file

CERTIFICATE = (FILES / "certificate.cer").read_bytes()

# A child that does what a file's first word says: what a real one does when it is broken.
FAULTY = """
    import os, signal, sys, time
    from keycensus_agent.parser import pipe
    from keycensus_agent.descriptors import Receiver
    from keycensus_agent.parser.__main__ import next_request
    from keycensus_agent.model import Parsed, Status
    def write(frame):
        sys.stdout.buffer.write(frame)
        sys.stdout.buffer.flush()
    write(pipe.encode_ready())
    requests = Receiver(0)
    while received := next_request(requests):
        request, archive = received
        word = (request.data if archive is None else archive.read_at(0, 4096)).split()[0]
        if word == b"crash": os.kill(os.getpid(), signal.SIGSEGV)
        if word == b"memory": os._exit(pipe.OUT_OF_MEMORY)
        if word == b"cpu": os.kill(os.getpid(), signal.SIGXCPU)
        if word == b"hang": time.sleep(3600)
        if word == b"slow":
            while time.process_time() < float(request.data.split()[1]): pass
        if word == b"nonsense": write(b"\\xff" * 100)
        if word == b"once" and not os.path.exists(request.data.split()[1]):
            open(request.data.split()[1], "w").close()
            os._exit(1)
        if word == b"twice": write(pipe.encode_answer(request.number, Parsed("a", Status.READ)))
        write(pipe.encode_answer(request.number, Parsed(word.decode(), Status.READ)))
"""


def faulty(**limits: float) -> ParserClient:
    command = (sys.executable, "-c", textwrap.dedent(FAULTY))
    return ParserClient(ParserLimits(**limits), command=command)  # type: ignore[arg-type]


@pytest.fixture
def client() -> Iterator[ParserClient]:
    with ParserClient(details=True) as started:
        yield started


def drain(client: ParserClient) -> dict[int, Parsed]:
    results: list[tuple[int, Parsed]] = []
    while client.in_flight:
        results += client.results(wait=True)
    assert len(dict(results)) == len(results)
    return dict(results)


def test_the_child_says_of_every_form_what_the_parser_says(client: ParserClient) -> None:
    for ticket, fixture in enumerate(FIXTURES):
        client.submit(ticket, (FILES / fixture.name).read_bytes(), fixture.name.encode())
    results = drain(client)
    for ticket, fixture in enumerate(FIXTURES):
        data = (FILES / fixture.name).read_bytes()
        assert results[ticket] == parse(data, Hint(fixture.name.encode()), details=True)


def test_passwords_reach_the_files_that_they_are_for(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"*/legacy.pfx\t{PASSWORD}\n*/locked.p12:{PASSWORD}\n", encoding="utf-8")
    path.chmod(0o600)
    with ParserClient(passwords=read_password_file(path)) as client:
        for ticket, name in enumerate(("legacy.pfx", "locked.p12", "keytool.p12")):
            client.submit(ticket, (FILES / name).read_bytes(), f"/x/{name}".encode())
        statuses = {ticket: parsed.status for ticket, parsed in drain(client).items()}
    assert statuses == {0: Status.READ, 1: Status.READ, 2: Status.LOCKED}
    assert PASSWORD not in repr(PasswordFile)


def test_no_child_is_started_before_the_first_file() -> None:
    with ParserClient(command=("/nonexistent",)) as client:
        assert client.results(wait=True) == []
        assert client.cpu_seconds() == 0


def test_a_program_that_can_not_be_started_is_an_error_of_ours() -> None:
    with ParserClient(command=("/nonexistent",)) as client, pytest.raises(ParserError):
        client.submit(1, b"x", b"/x")


def test_a_child_that_never_gets_ready_is_an_error_of_ours() -> None:
    command = (sys.executable, "-c", "raise SystemExit(5)")
    with ParserClient(command=command) as client:
        client.submit(1, b"x", b"/x")
        with pytest.raises(ParserError, match="status 5"):
            client.results(wait=True)


def test_large_files_in_both_directions_do_not_block_each_other(client: ParserClient) -> None:
    bundle = CERTIFICATE * 4000
    for ticket in range(6):
        client.submit(ticket, bundle, b"/bundle.der")
    results = drain(client)
    assert [len(parsed.entries) for parsed in results.values()] == [4000] * 6


def test_a_file_over_the_bytes_in_flight_goes_alone() -> None:
    with ParserClient(ParserLimits(bytes_in_flight=1000)) as client:
        for ticket in range(3):
            client.submit(ticket, CERTIFICATE * 10, b"/x.der")
            assert client._bytes == len(CERTIFICATE) * 10
        assert len(drain(client)) == 3


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("crash", "crash"),
        ("memory", "limit-memory"),
        ("cpu", "limit-cpu"),
        ("nonsense", "crash"),
        ("hang", "limit-time"),
    ],
)
def test_a_file_that_ends_the_child_twice_is_told_and_the_others_lose_nothing(
    word: str, reason: str
) -> None:
    with faulty(seconds_per_file=2.0 if word == "hang" else 60.0) as client:
        for ticket, data in enumerate(["before", word, "after", "last"]):
            client.submit(ticket, data.encode(), b"/x")
        results = drain(client)
    assert results == {
        0: Parsed("before", Status.READ),
        1: Parsed("", Status.MALFORMED, reason),
        2: Parsed("after", Status.READ),
        3: Parsed("last", Status.READ),
    }


def test_a_child_that_works_may_take_longer_than_one_that_hangs() -> None:
    # On a busy machine a child gets a tenth of a processor.
    with faulty(seconds_per_file=2.0) as client:
        client.submit(1, b"slow 2.2", b"/x")
        assert drain(client) == {1: Parsed("slow", Status.READ)}


def test_answers_that_came_while_the_reader_was_asleep_are_taken() -> None:
    now = 0.0
    command = (sys.executable, "-c", textwrap.dedent(FAULTY))
    with ParserClient(command=command, clock=lambda: now) as client:
        client.submit(1, b"before", b"/x")
        drain(client)
        client.submit(2, b"fine", b"/x")
        child = client._child
        assert child is not None
        select.select([child.stdout], [], [], 30)
        now += 3600
        assert drain(client) == {2: Parsed("fine", Status.READ)}
        assert client._child is child


def test_a_file_that_ended_the_child_once_is_read_alone_the_second_time(tmp_path: Path) -> None:
    with faulty() as client:
        for ticket, data in enumerate(["a", f"once {tmp_path / 'flag'}", "b"]):
            client.submit(ticket, data.encode(), b"/x")
        results = drain(client)
    assert [results[ticket].format for ticket in range(3)] == ["a", "once", "b"]


def test_a_child_that_answers_what_nobody_asked_is_not_believed() -> None:
    with faulty() as client:
        client.submit(1, b"twice", b"/x")
        drain(client)
        client.submit(2, b"fine", b"/x")
        assert drain(client)[2] == Parsed("fine", Status.READ)


def test_a_child_killed_from_outside_costs_nothing(client: ParserClient) -> None:
    client.submit(1, CERTIFICATE, b"/x")
    drain(client)
    child = client._child
    assert child is not None
    os.kill(child.process.pid, signal.SIGKILL)
    client.submit(2, CERTIFICATE, b"/x")
    client.submit(3, CERTIFICATE, b"/x")
    assert len([parsed for parsed in drain(client).values() if parsed.entries]) == 2


def test_the_childs_processor_time_is_told_while_it_lives(client: ParserClient) -> None:
    client.submit(1, CERTIFICATE, b"/x")
    drain(client)
    # It has imported cryptography.
    assert 0.05 < client.cpu_seconds() < 20
    client.close()
    assert client.cpu_seconds() == 0


def test_closing_kills_a_busy_child_and_forgets_its_files() -> None:
    client = faulty()
    client.submit(1, b"hang", b"/x")
    child = client._child
    assert child is not None
    client.close()
    assert child.process.returncode is not None
    assert client.in_flight == 0


def test_the_child_has_limits_and_no_core(client: ParserClient) -> None:
    client.submit(1, CERTIFICATE, b"/x")
    drain(client)
    assert client._child is not None
    pid = client._child.process.pid
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    values = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    assert values["Max core file size"] == ["0", "0"]
    assert values["Max file size"] == ["0", "0"]
    assert values["Max open files"] == ["4", "4"]
    assert values["Max address space"][0].isdigit()
    assert values["Max cpu time"][0].isdigit()
    environment = Path(f"/proc/{pid}/environ")
    if os.geteuid() == 0:
        assert b"HOME=" not in environment.read_bytes()


def test_a_compute_bomb_ends_by_the_childs_own_limit_of_processor_time() -> None:
    code = (
        "from keycensus_agent.parser import __main__ as m\n"
        "def spin(*a, **k):\n"
        "    while True: pass\n"
        "m.sandbox.CPU_SECONDS = 0\n"
        "m.sandbox.CpuAllowance.allow.__defaults__ = (0,)\n"
        "m.parse = spin\n"
        "m.main()\n"
    )
    with ParserClient(command=(sys.executable, "-c", code)) as client:
        client.submit(1, b"x", b"/x")
        assert drain(client)[1].reason == "limit-cpu"


def test_a_memory_bomb_is_told_as_such() -> None:
    code = (
        "from keycensus_agent.parser import __main__ as m\n"
        "m.parse = lambda *a, **k: bytes(1 << 40)\n"
        "m.main()\n"
    )
    with ParserClient(command=(sys.executable, "-c", code)) as client:
        client.submit(1, b"x", b"/x")
        assert drain(client)[1].reason == "limit-memory"
