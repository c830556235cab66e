"""Structured logs, by themselves and inside somebody else's set-up."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from tusd_s3 import log


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(log.ROOT)
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def events(stream: io.StringIO) -> list[dict[str, object]]:
    """Return what was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_are_json_lines_where_nobody_watches() -> None:
    """One object per line with the facts as fields."""
    stream = io.StringIO()
    log.set_up("info", "auto", stream)

    log.get_logger("tusd_s3.store").info("part stored", number=3, filename="a b")

    (event,) = events(stream)
    assert event["event"] == "part stored"
    assert (event["number"], event["filename"]) == (3, "a b")
    assert (event["level"], event["logger"]) == ("info", "tusd_s3.store")
    assert str(event["timestamp"]).endswith("Z")


def test_events_are_readable_lines_on_a_terminal() -> None:
    """With colours there, without them where console was asked for elsewhere."""
    terminal, file = Terminal(), io.StringIO()

    log.set_up("info", "auto", terminal)
    log.get_logger("tusd_s3.x").info("hello", n=1)
    log.set_up("info", "console", file)
    log.get_logger("tusd_s3.x").info("hello", n=1)

    assert "\x1b[" in terminal.getvalue()
    assert re.search(r"\[info +\] hello +\[tusd_s3\.x\] n=1", file.getvalue())


def test_what_is_below_the_level_is_not_shown() -> None:
    """And costs no formatting."""
    stream = io.StringIO()
    log.set_up("warning", "json", stream)
    logger = log.get_logger("tusd_s3.x")

    logger.info("no")
    logger.debug("no")
    logger.warning("yes")

    assert [event["event"] for event in events(stream)] == ["yes"]


def test_libraries_are_heard_from_warnings_on_even_at_debug() -> None:
    """Debug logs of botocore show credentials and bodies."""
    stream = io.StringIO()
    log.set_up("debug", "json", stream)

    logging.getLogger("botocore.auth").debug("secret")
    logging.getLogger("botocore.auth").warning("retrying %s", "x")
    log.get_logger("tusd_s3.x").debug("ours")

    assert [event["event"] for event in events(stream)] == ["retrying x", "ours"]


def test_the_request_id_is_in_every_event_of_a_request() -> None:
    """Nobody has to pass it around."""
    stream = io.StringIO()
    log.set_up("info", "json", stream)
    token = log.request_id.set("r-1")

    log.get_logger("tusd_s3.x").info("inside")
    logging.getLogger("aiohttp.server").warning("inside")
    log.request_id.reset(token)
    log.get_logger("tusd_s3.x").info("outside")

    assert [event.get("request_id") for event in events(stream)] == ["r-1", "r-1", None]


def test_secrets_are_hidden_by_name() -> None:
    """Even if somebody logs a whole set of headers."""
    stream = io.StringIO()
    log.set_up("info", "json", stream)

    log.get_logger("tusd_s3.x").info("asked", Authorization="Bearer t", path="/files/")

    assert events(stream)[0]["Authorization"] == "(hidden)"
    assert "Bearer" not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_brings_its_traceback(form: log.Format) -> None:
    """A bug can be found from the log alone."""
    stream = io.StringIO()
    log.set_up("info", form, stream)

    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.get_logger("tusd_s3.x").exception("unexpected")

    assert "ZeroDivisionError: division by zero" in stream.getvalue()


def test_somebody_elses_logging_gets_readable_messages() -> None:
    """Mounted into another program, nothing of ours is configured and nothing is lost."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().handlers[:] = [handler]

    log.get_logger("tusd_s3.x").warning("part refused", number=2)

    assert stream.getvalue() == "WARNING tusd_s3.x: part refused number=2\n"
