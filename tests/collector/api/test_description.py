"""The description of the REST interface is true: what it says is what is answered, of everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fakes.api_fuzz import fill, fuzz
from fakes.census import Census

from keycensus_collector.api.app import create_app
from keycensus_collector.api.description import describe


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = fill(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def description(census: Census) -> dict[str, Any]:
    return describe(create_app(census.store, census.clock))


def test_no_request_gets_an_answer_that_the_description_has_not(census: Census) -> None:
    requests, failures = fuzz(census, examples=1, whole=False)
    assert not failures, "\n".join(failures)
    assert requests > 50


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_every_operation_has_its_errors_and_an_example_of_everything(
    description: dict[str, Any],
) -> None:
    for method, path, operation in operations(description):
        assert "422" not in operation["responses"], (method, path)
        for status, response in operation["responses"].items():
            for type_, content in response.get("content", {}).items():
                where = (method, path, status, type_)
                assert content.get("example") or content.get("examples"), where
                if status >= "400":
                    assert type_ == "application/problem+json", where
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"], (method, path)


def test_every_example_is_what_its_schema_allows(description: dict[str, Any]) -> None:
    components = {"components": description["components"]}
    looked_at = 0
    for method, path, operation in operations(description):
        answers = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (each for answer in answers for each in answer.get("content", {}).values()):
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            validator = jsonschema_rs.validator_for(content.get("schema", {}) | components)
            for example in examples:
                validator.validate(example)
                looked_at += 1
        assert operation["summary"], (method, path)
    assert looked_at > 50
