"""Keys, versions and headers of objects as a folder keeps them, and the listing of a folder."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tusd_s3.buckets.disk_workspace import PRIVATE
from tusd_s3.model import ObjectHeaders, ObjectStat

# ELOOP: a link, ENXIO: a socket; what is no plain file is no object
NO_SUCH_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO}


def is_key(key: str) -> bool:
    """Return whether a folder can hold an object of this name, outside our private folder."""
    segments = key.split("/")
    return (
        "\0" not in key
        and not any(segment in {"", ".", ".."} for segment in segments)
        and segments[0] != PRIVATE
        and _is_unicode(key)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: a name that is no UTF-8
        return False
    return True


def format_headers(headers: ObjectHeaders) -> dict[str, Any]:
    """Return headers as JSON keeps them; a parameter that is None or empty is left out."""
    return {name: value for name, value in asdict(headers).items() if value}


def parse_headers(record: Mapping[str, Any]) -> ObjectHeaders:
    """Return what `format_headers` was given."""
    return ObjectHeaders(**record)


def etag_of(status: os.stat_result) -> str:
    """Return the version of a file: no two versions of a key share time and size."""
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


def digest_of(key: str) -> bytes:
    """Return what stands for a key where names must be short and flat."""
    return hashlib.sha256(key.encode()).digest()


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of a plain file, None if there is none."""
    try:
        status = path.lstat()
    except OSError as exc:
        if exc.errno in NO_SUCH_FILE:
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) else None


def walk(directory: Path, prefix: str) -> Iterator[ObjectStat]:
    """Yield the objects whose keys begin with ``prefix``, in the order of their bytes."""
    base = prefix.rpartition("/")[0]
    if not base:
        yield from _walk(directory, "", prefix)
    elif is_key(base):
        yield from _walk(directory / base, f"{base}/", prefix)


def _walk(path: Path, base: str, prefix: str) -> Iterator[ObjectStat]:
    try:
        with os.scandir(path) as entries:
            # a folder sorts as what it contributes to keys: "a-b" comes before "a/b"
            names = sorted(
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
            )
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        key = base + name
        if not (key.startswith(prefix) or prefix.startswith(key)):
            continue
        if name.endswith("/"):
            if is_key(key[:-1]):
                yield from _walk(path / name, key, prefix)
        elif key.startswith(prefix) and is_key(key):
            status = status_of(path / name)
            if status is not None:  # it was there a moment ago
                modified = status.st_mtime_ns / 1e9
                yield ObjectStat(key, status.st_size, etag_of(status), modified)
