from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.oidc_provider import OidcProvider
from fakes.signing_in import Site, person, running_site


@pytest.fixture(scope="module")
def running(each_database_in_full: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert each_database_in_full
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """Give each test a provider that tells the truth, about anna, and settings as they were."""
    before, provider = running.settings, running.provider
    provider.person = person("anna")
    yield running
    fresh = OidcProvider(provider.issuer, provider.ca_file, provider.now, key=provider.key)
    for name in ("change", "sign", "answers", "described", "denies", "iss", "silent"):
        setattr(provider, name, getattr(fresh, name))
    running.settings = before
    running.configure()
    running.census.clock.advance(86_400)  # what failed is forgotten
