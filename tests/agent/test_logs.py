from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from keycensus_agent.logs import set_up_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(**fields: object) -> dict[str, object]:
    stream = io.StringIO()
    set_up_logs("auto", "info", stream=stream)
    structlog.get_logger().info("something-happened", **fields)
    line = stream.getvalue()
    assert line.count("\n") == 1
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_to_a_pipe_is_json_with_a_constant_event_and_utc_time() -> None:
    line = logged(count=3, ok=True, nothing=None)
    assert line["event"] == "something-happened"
    assert line["level"] == "info"
    assert str(line["timestamp"]).endswith("Z")
    assert (line["count"], line["ok"], line["nothing"]) == (3, True, None)


def test_a_line_to_a_terminal_is_readable() -> None:
    stream = Terminal()
    set_up_logs("auto", "info", stream=stream)
    structlog.get_logger().info("something-happened", path=b"/etc/x")
    assert "something-happened" in stream.getvalue()
    assert "/etc/x" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_hostile_text_is_escaped_wherever_it_stands() -> None:
    hostile = "a\x1b]0;b\n\u202e"
    escaped = "a\\x1b]0;b\\x0a\\u202e"
    line = logged(text=hostile, path=b"/x\xff\n", deep={"list": [hostile]}, error=OSError(hostile))
    assert line["text"] == escaped
    assert line["path"] == "/x\\xff\\x0a"
    assert line["deep"] == {"list": [escaped]}
    assert line["error"] == escaped


@pytest.mark.parametrize(
    "name", ["token", "Password", "secret", "key", "enrol_token", "db_password", "private_key"]
)
def test_a_field_whose_name_says_secret_is_struck_out(name: str) -> None:
    assert logged(**{name: "hunter2"})[name] == "(redacted)"
    assert logged(deep={name: "hunter2"})["deep"] == {name: "(redacted)"}


def test_a_key_id_is_no_secret() -> None:
    assert logged(key_id="ab12")["key_id"] == "ab12"


def test_long_and_deep_values_are_cut() -> None:
    line = logged(long="x" * 10_000, deep=[[[[[["bottom"]]]]]])
    assert str(line["long"]).endswith("(10000 in all)")
    assert "bottom" not in str(line["deep"])


def test_what_is_below_the_level_is_not_said() -> None:
    stream = io.StringIO()
    set_up_logs("json", "warning", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
