"""Logs: structured lines on standard error, without personal data and without secrets.

Any module writes `structlog.get_logger().info("event_name", count=3)`. What could name a person or open a
door is taken out here, in one place, whoever wrote it.
"""

import logging
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from postkeep.node.config import LogConfig

REMOVED: Final = "[removed]"
_FORBIDDEN: Final = frozenset(
    {
        *("address", "addresses", "recipient", "recipients", "sender", "from_", "to", "cc", "name"),
        *("subject", "body", "message_id", "filename", "mailbox_name", "display_name", "login", "user"),
        *("password", "passphrase", "secret", "token", "ticket", "delegation", "key", "seed", "dsn"),
        *("cookie", "authorization", "credentials", "wraps", "sealed", "content", "summary", "query"),
    }
)
_ADDRESS: Final = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_TICKET: Final = re.compile(r"v4\.(?:public|local)\.\S+")
_PASSWORD_IN_URL: Final = re.compile(r"(\w+://[^\s:/@]+):[^\s@]+@")
_TEXT_CHARACTERS_MAX: Final = 500
"""A log line is a pointer to a fault, not a copy of the data that caused it."""

_origin: dict[str, str] = {}
_second: list[Any] = [0, ""]
"""The second of the last line, and how it is written."""
_encoder = msgspec.json.Encoder()


def scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out what must not be written down: by the field's name, and by the look of its value."""
    return {
        name: REMOVED if name in _FORBIDDEN or name.lower() in _FORBIDDEN else _scrub_value(value)
        for name, value in event.items()
    }


def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and where it was raised: its text may quote data."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        event["exception"] = type(error).__name__
        event["where"] = " > ".join(f"{Path(frame.filename).stem}:{frame.lineno}" for frame in frames)
    return event


def configure(config: LogConfig, module: str, instance: str) -> None:
    """Set up this process's logs; a child calls it again with its own name."""
    _origin.clear()
    _origin.update({"module": module, "instance": instance})
    pretty = config.format == "pretty" or (config.format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if pretty else _render_json
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_time,
            _add_origin,
            describe_exception,
            scrub,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(config.level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_FromStandardLogging()]
    root.setLevel(logging.WARNING)


class _FromStandardLogging(logging.Handler):
    """Lines of libraries: where they come from and what kind of fault, never their text (it may be data).

    Our own modules that log this way keep their text; it is scrubbed like everything.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library_message",
            library=record.name,
            line=f"{record.module}:{record.lineno}",
            exc_info=error,
            **({"text": record.getMessage()} if record.name.startswith("postkeep.") else {}),
        )


def _add_origin(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_origin, **event}


def _add_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    now = time.time()
    seconds = int(now)
    if seconds != _second[0]:
        _second[:] = [seconds, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))]
    event["timestamp"] = f"{_second[1]}.{int((now - seconds) * 1_000_000):06}Z"
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return _encoder.encode(event).decode()


def _scrub_value(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return REMOVED
    if isinstance(value, dict):
        return {
            str(k): REMOVED if str(k).lower() in _FORBIDDEN else _scrub_value(v) for k, v in value.items()
        }
    if isinstance(value, list | tuple | set):
        return [_scrub_value(item) for item in value]
    text = str(value)[:_TEXT_CHARACTERS_MAX]
    if "@" not in text and "v4." not in text:
        return text  # nothing below could match, and most lines are like this
    text = _PASSWORD_IN_URL.sub(r"\1:[removed]@", text)
    return _ADDRESS.sub("[address]", _TICKET.sub("[ticket]", text))
