"""One line per event, the same in every process.

L1  An event is one line: line breaks in a message or a traceback are written as `\\n`.
L2  All processes of a server write the same format to the same stream, at the levels of one filter.
L3  No line holds a token, wherever its text comes from: libraries log request lines, and users type what they like.
L4  A line about an error of ours ends with the way out, where the error knows one.

Held by tests/unit/flightserver/test_logs.py (L1, L3, L4) and tests/integration/test_serve.py (L2).
Elsewhere: the options (flightserver.options). gunicorn is given `logging_config` as a file, so it needs no code of ours.
"""

import json
import logging
import logging.config
import time
from collections.abc import Mapping
from dataclasses import dataclass

from catalog.credentials import without_tokens
from catalog.errors import ServiceError

_LEVELS = {
    "off": "CRITICAL",
    "error": "ERROR",
    "warn": "WARNING",
    "warning": "WARNING",
    "info": "INFO",
    "debug": "DEBUG",
    "trace": "DEBUG",
}
_SHORT = {"CRITICAL": "FATAL", "ERROR": "ERROR", "WARNING": " WARN", "INFO": " INFO", "DEBUG": "DEBUG"}
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Libraries that narrate their own life at info; what they warn of is passed on.
_QUIET = ("gunicorn.error", "werkzeug", "urllib3", "botocore")


@dataclass(frozen=True, slots=True)
class LogOptions:
    levels: Mapping[str, str]  # logger name ("" is the root) to the level of the logging module
    json: bool = False
    stderr: bool = False


def parse_log_filter(text: str) -> dict[str, str]:
    """`info`, `warn,engine.wal=debug`: a level for everything, levels for parts. `::` between names is read as a dot."""
    levels = {"": "INFO"}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, level = part.rpartition("=")
        if level.lower() not in _LEVELS:
            raise ValueError(f"unknown level {level!r}, possible are error, warn, info, debug, off")
        levels[name.strip().replace("::", ".") if equals else ""] = _LEVELS[level.lower()]
    return levels


class LineFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.123456Z  INFO engine.wal: message key=value`, or the same as one JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        seconds, fraction = divmod(int(record.created * 1_000_000), 1_000_000)
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:06d}Z"
        extra = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if self.as_json:
            level = _SHORT.get(record.levelname, record.levelname).strip().lower()
            event = {"timestamp": at, "level": level, "target": record.name, "message": message_of(record), **extra}
            whole = {**event, "exception": trace} if trace else event
            return without_tokens(json.dumps(whole, default=str))
        parts = [f"{at} {_SHORT.get(record.levelname, record.levelname)} {record.name}: {message_of(record)}"]
        parts += [f"{name}={value}" for name, value in extra.items()]
        return without_tokens(one_line(" ".join(parts) + (f"\n{trace}" if trace else "")))


def message_of(record: logging.LogRecord) -> str:
    """The text, with the way out of what it tells of (L4)."""
    told = record.args if isinstance(record.args, tuple) else ()
    hints = (each.hint for each in told if isinstance(each, ServiceError))
    return "; ".join([record.getMessage(), *(hint for hint in hints if hint)])


def one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def logging_config(options: LogOptions) -> dict[str, object]:
    """For logging.config.dictConfig, in any process."""
    debug = options.levels[""] == "DEBUG"
    loggers = {name: {"level": "INFO" if debug else "WARNING"} for name in _QUIET}
    loggers["gunicorn.error"] |= {"propagate": True, "handlers": []}  # type: ignore[dict-item]  # no handler but the root's
    loggers |= {name: {"level": level} for name, level in options.levels.items() if name}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "flightserver.logs.LineFormatter", "as_json": options.json}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr" if options.stderr else "ext://sys.stdout",
            }
        },
        "root": {"level": options.levels[""], "handlers": ["out"]},
        "loggers": loggers,
    }


def set_up_logging(options: LogOptions) -> None:
    logging.config.dictConfig(logging_config(options))
    logging.captureWarnings(True)
