"""Structured logs: loggers for the program, and how the command line shows them.

Loggers are structlog on the standard library's `logging` under the name ``tusd_s3``, set up
without global configuration: an application that mounts us decides with its own `logging`
set-up what becomes of the events. What S3 says and who asked is logged at debug only.
"""

import contextvars
import logging
import sys
import typing
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

Format = Literal["auto", "json", "console"]
ROOT = "tusd_s3"
ACCESS = "request"  # the event that the web side logs once for every request

# the request being served; set by the web side's middleware, added to every event
request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)

_SECRETS = frozenset(
    {"authorization", "cookie", "secret", "secret_key", "access_key", "session_token", "password"}
)


class Event(dict[str, Any]):
    """The fields of one event; reads as a line under a formatter that is not ours."""

    def __str__(self) -> str:
        fields = [f"{key}={value!r}" for key, value in self.items() if key not in _OURS]
        return " ".join([str(self.get("event", "")), *fields])


# what a foreign formatter shows by its own means
_OURS = frozenset({"event", "level", "logger", "timestamp", "exc_info"})


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: ``log.get_logger(__name__)``.

    Calls take an event in plain words and facts as keyword arguments.
    """
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=_BEFORE,
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return typing.cast("structlog.stdlib.BoundLogger", logger)


def set_up(level: str, form: Format, stream: TextIO | None = None, *, access: bool = True) -> None:
    """Show the events of this program, and warnings of its libraries, on ``stream``.

    Args:
        level: ``debug info warning error``; what is below is not shown.
        form: ``auto`` is ``console`` on a terminal and ``json`` elsewhere.
        stream: standard error by default; standard output belongs to the command line.
        access: whether the event of every request (`ACCESS`) is shown.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(form, is_terminal=stream.isatty()))
    if not access:
        handler.addFilter(_is_not_access)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger(ROOT).setLevel(level.upper())


def _formatter(form: Format, *, is_terminal: bool) -> logging.Formatter:
    show: list[Processor]
    if form == "console" or (form == "auto" and is_terminal):
        plain = structlog.dev.plain_traceback
        show = [structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=plain)]
    else:
        show = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *show],
    )


def _is_not_access(record: logging.LogRecord) -> bool:
    return not (isinstance(record.msg, Event) and record.msg.get("event") == ACCESS)


def _add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if (current := request_id.get()) is not None:
        event.setdefault("request_id", current)
    return event


def _hide_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if key.lower() in _SECRETS:
            event[key] = "(hidden)"
    return event


def _hand_over(logger: Any, name: str, event: EventDict) -> tuple[tuple[Event], dict[str, Any]]:
    """Pass the event to `logging` as its message, with what our formatter looks for."""
    keywords: dict[str, Any] = {"extra": {"_logger": logger, "_name": name}}
    if "exc_info" in event:
        keywords["exc_info"] = event["exc_info"]
    return (Event(event),), keywords


_SHARED: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    _add_request_id,
    _hide_secrets,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_BEFORE: list[Processor] = [
    structlog.stdlib.filter_by_level,
    *_SHARED,
    _hand_over,
]
