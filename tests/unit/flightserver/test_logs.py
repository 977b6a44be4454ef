"""One line per event (L1, L3)."""

import json
import logging

import pytest

from catalog.errors import Unavailable
from catalog.tokens import new_secret
from flightserver.logs import LineFormatter, LogOptions, logging_config, parse_log_filter


def record(
    message: str, level: int = logging.INFO, *, error: BaseException | None = None, **extra: object
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord("engine.wal", level, "file.py", 1, message, (), info)
    made.created = 1738324800.123456
    vars(made).update(extra)
    return made


def test_text_is_time_level_target_message_and_details() -> None:
    line = LineFormatter(as_json=False).format(record("flushed", rows=5))

    assert line == "2025-01-31T12:00:00.123456Z  INFO engine.wal: flushed rows=5"


def test_json_is_one_object_with_the_same_content() -> None:
    line = LineFormatter(as_json=True).format(record("flushed", logging.WARNING, rows=5))

    assert json.loads(line) == {
        "timestamp": "2025-01-31T12:00:00.123456Z",
        "level": "warn",
        "target": "engine.wal",
        "message": "flushed",
        "rows": 5,
    }


def test_a_line_about_an_error_of_ours_ends_with_the_way_out() -> None:
    """L4."""
    line = record("")
    line.msg, line.args = "snapshot failed: %s", (Unavailable("the disk is full", hint="make room"),)
    without = record("")
    without.msg, without.args = "snapshot failed: %s", (Unavailable("nobody knows"),)

    assert LineFormatter(as_json=False).format(line).endswith(" snapshot failed: the disk is full; make room")
    assert json.loads(LineFormatter(as_json=True).format(line))["message"] == "snapshot failed: the disk is full; make room"
    assert LineFormatter(as_json=False).format(without).endswith(" snapshot failed: nobody knows")


@pytest.mark.parametrize("as_json", [False, True])
def test_line_breaks_and_tracebacks_stay_on_the_line(as_json: bool) -> None:
    """L1."""
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        line = LineFormatter(as_json=as_json).format(record("it\r\nfailed", error=error))

    assert "\n" not in line
    assert "\r" not in line
    assert "Traceback" in line
    assert "ValueError" in line


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("info", {"": "INFO"}),
        ("WARN", {"": "WARNING"}),
        ("info,engine.wal=debug", {"": "INFO", "engine.wal": "DEBUG"}),
        ("engine::wal=trace,error", {"": "ERROR", "engine.wal": "DEBUG"}),
        ("off", {"": "CRITICAL"}),
        ("", {"": "INFO"}),
    ],
)
def test_a_filter_is_a_level_and_levels_for_parts(text: str, levels: dict[str, str]) -> None:
    assert parse_log_filter(text) == levels


@pytest.mark.parametrize("text", ["loud", "info,engine=", "engine.wal"])
def test_an_unknown_level_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unknown level"):
        parse_log_filter(text)


def test_gunicorn_is_quiet_unless_details_are_wanted() -> None:
    quiet = logging_config(LogOptions(levels={"": "INFO"}))
    detailed = logging_config(LogOptions(levels={"": "DEBUG"}))

    assert quiet["loggers"]["gunicorn.error"]["level"] == "WARNING"  # type: ignore[index]
    assert detailed["loggers"]["gunicorn.error"]["level"] == "INFO"  # type: ignore[index]


@pytest.mark.parametrize("as_json", [False, True])
def test_no_line_holds_a_token(as_json: bool) -> None:
    """L3."""
    secret = new_secret()
    error = ValueError(f"bad line: {secret}")

    line = LineFormatter(as_json=as_json).format(record(f"GET /write?p={secret}", error=error, told=secret))

    assert secret not in line
    assert line.count("apiv3_") == 3
