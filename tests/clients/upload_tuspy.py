"""Upload a file with tuspy: python upload_tuspy.py FILE URL; prints "SECONDS UPLOAD-URL"."""

import argparse
import sys
import time
from pathlib import Path

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError


def main(argv: list[str] | None = None) -> int:
    """Upload as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(description="Upload FILE to a tus server with tuspy.")
    parser.add_argument("file", type=Path)
    parser.add_argument("url", help="the server's creation URL")
    parser.add_argument("--chunk-size", type=int, default=sys.maxsize, help="bytes per request")
    parser.add_argument("--metadata", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--retries", type=int, default=5)
    asked = parser.parse_args(argv)

    metadata = {"filename": asked.file.name}
    metadata.update(pair.split("=", 1) for pair in asked.metadata)
    began = time.monotonic()
    with asked.file.open("rb") as stream:
        uploader = TusClient(asked.url).uploader(
            file_stream=stream,
            chunk_size=asked.chunk_size,
            metadata=metadata,
            retries=asked.retries,
            retry_delay=1,
        )
        try:
            uploader.upload()
        except TusCommunicationError as exc:
            sys.stderr.write(f"{exc}\n")
            return 1
    sys.stdout.write(f"{time.monotonic() - began:.3f} {uploader.url}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
