"""A tus resumable-upload server that keeps uploads in any S3-compatible bucket.

`create_app` and `Config` are all that an application needs that mounts us; the interfaces are
for those who bring a bucket or a locker of their own. Names are imported when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tusd_s3.app import create_app, create_runner, runner_settings
    from tusd_s3.config import Config
    from tusd_s3.errors import ConfigError, StoreError, TusError
    from tusd_s3.interfaces import Bucket, Lock, Locker, UploadStore

__version__ = "0.1.0"

__all__ = [
    "Bucket",
    "Config",
    "ConfigError",
    "Lock",
    "Locker",
    "StoreError",
    "TusError",
    "UploadStore",
    "__version__",
    "create_app",
    "create_runner",
    "runner_settings",
]

_HOME = {
    "Bucket": "interfaces",
    "Config": "config",
    "ConfigError": "errors",
    "Lock": "interfaces",
    "Locker": "interfaces",
    "StoreError": "errors",
    "TusError": "errors",
    "UploadStore": "interfaces",
    "create_app": "app",
    "create_runner": "app",
    "runner_settings": "app",
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
