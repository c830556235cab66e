"""The command line: arguments in, exit code out. Standard output has one line, logs go to stderr.

Exit codes: 0 stopped as asked, 1 the address cannot be listened on, 2 the settings cannot work
(the bucket included).
"""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

from tusd_s3 import __version__, log
from tusd_s3.app import create_app, create_runner
from tusd_s3.config import Config
from tusd_s3.errors import ConfigError
from tusd_s3.sources import FlagSource, read_settings

SERVE_HELP = """\
Serve tus uploads: into a folder, or into an S3 bucket if --s3-bucket is given.

Every setting is a flag, an environment variable and a name in the TOML file of --config:
--max-size is TUSD_MAX_SIZE and max_size. A flag wins over the environment, that over the file.
Sizes: 5368709120, 5GiB, 500MB. Times: 90, 90s, 1m30s. Lists: with commas. Switches in the
environment: true, false. AWS credentials and region come from the usual AWS places.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without repeating all flags."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit."""
    parser, flags = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    try:
        unknown_flags = [text for text in unknown if text.startswith("-")] or unknown[:1]
        file = arguments.config or os.environ.get("TUSD_CONFIG") or None
        config = read_settings(
            flags.read(arguments), Path(file) if file else None, unknown_flags=unknown_flags
        )
        log.set_up(config.log_level, config.log_format, access=config.access_log)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            sys.exit(runner.run(serve(config)))
    except ConfigError as exc:
        for fault in str(exc).splitlines():
            print(f"tusd-s3: {fault}", file=sys.stderr)
        sys.exit(2)


def build_parser() -> tuple[argparse.ArgumentParser, FlagSource]:
    """Return the parser of all commands, and what reads the settings out of its result."""
    parser = _Parser(
        prog="tusd-s3",
        description="A tus resumable-upload server that keeps uploads in any S3-compatible bucket.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tusd-s3 {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    serve_parser = commands.add_parser(
        "serve",
        help="serve uploads (tusd-s3 serve --help lists all settings)",
        usage="tusd-s3 serve [--config FILE] [SETTING ...]",
        description=SERVE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    serve_parser.add_argument(
        "--config", metavar="FILE", help="TOML file with settings (TUSD_CONFIG)"
    )
    return parser, FlagSource(serve_parser)


async def serve(config: Config) -> int:
    """Serve until a signal comes; return the exit code.

    The first SIGTERM or SIGINT ends running requests gracefully, the second one at once.

    Raises:
        ConfigError: the bucket cannot be used.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    runner = create_runner(create_app(config), config)
    try:
        if not await _finishes_first(runner.setup(), stop):
            return 0
        try:
            await web.TCPSite(runner, config.host, config.port).start()
        except OSError as exc:
            print(f"tusd-s3: {_cannot_listen(config, exc)}", file=sys.stderr)
            return 1
        print(f"tusd-s3 listens on {_url(runner, config)} ({_storage(config)})", flush=True)
        await stop.wait()
        log.get_logger(__name__).info("stopping", at_most_s=config.shutdown_timeout)
    finally:
        await runner.cleanup()
    return 0


async def _finishes_first(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Wait for ``work`` and raise what it raises; give it up as soon as ``stop`` is set."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        await working
        return True
    working.cancel()
    await asyncio.wait({working})
    return False


def _on_signals(stop: asyncio.Event) -> None:
    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _url(runner: web.AppRunner, config: Config) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{config.base_path}"


def _storage(config: Config) -> str:
    if config.s3_bucket is None:
        folder = str(config.upload_dir)
        return f"folder {folder if config.upload_dir.is_absolute() else f'./{folder}'}"
    place = f" at {config.s3_endpoint}" if config.s3_endpoint else ""
    return f"bucket {config.s3_bucket}{place}"


def _cannot_listen(config: Config, exc: OSError) -> str:
    where = f"{config.host}:{config.port}"
    if isinstance(exc, socket.gaierror):
        return f"cannot listen on {where}: no such host"
    if exc.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: something else does already (try --port 0)"
    return f"cannot listen on {where}: {os.strerror(exc.errno).lower() if exc.errno else exc}"
