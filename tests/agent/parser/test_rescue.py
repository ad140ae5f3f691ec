from __future__ import annotations

from fixtures.build_fixtures import FILES

from keycensus_agent.parser import rescue
from keycensus_agent.parser.rescue import rescued_certificates

CERTIFICATE = (FILES / "certificate.cer").read_bytes()


def test_whole_certificates_are_found_anywhere_and_broken_ones_are_not() -> None:
    noise = b"\x30\x82\x01\x00 noise \x30\x82"
    data = noise + CERTIFICATE + noise + CERTIFICATE + CERTIFICATE[:-1]
    assert [item.public for item in rescued_certificates(data)] == [CERTIFICATE] * 2
    assert [item.public for item in rescued_certificates(data, len(noise) + 1)] == [CERTIFICATE]


def test_it_gives_up_after_so_many_starts() -> None:
    data = b"\x30\x82" * (rescue._TRIES + 1) + CERTIFICATE
    assert list(rescued_certificates(data)) == []
