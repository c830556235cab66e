"""Where settings come from: flags, then the environment, then a file, then the defaults.

Everything is made from the declaration in `config`: the flags, the help, the names of the
variables, and the words in which a fault is told.
"""

import argparse
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import CliSettingsSource, EnvSettingsSource

from tusd_s3.config import Config, Kind
from tusd_s3.errors import ConfigError


def flag_of(name: str) -> str:
    """Return the flag that sets a setting."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable that sets a setting."""
    return "TUSD_" + name.upper()


def group_of(field: FieldInfo) -> str:
    """Return the heading under which the help lists a setting."""
    return str(_extra(field)["group"])


def kind_of(field: FieldInfo) -> Kind | None:
    """Return how the values of a setting are written; None for a switch or a choice."""
    annotations = [*field.metadata]
    for choice in getattr(field.annotation, "__args__", ()):
        annotations += getattr(choice, "__metadata__", ())
    return next((kind for kind in annotations if isinstance(kind, Kind)), None)


def default_of(field: FieldInfo) -> str:
    """Return a setting's default as a reader of the help wants it."""
    if (shown := _extra(field)["shown"]) is not None:
        return str(shown)
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    kind = kind_of(field)
    return (kind.write(field.default) if kind else str(field.default)) or "none"


def _extra(field: FieldInfo) -> dict[str, Any]:
    assert isinstance(field.json_schema_extra, dict)  # noqa: S101 - declared so in config
    return field.json_schema_extra


class FlagSource:
    """The flags of all settings, added to a parser under the headings of the help."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        self._source: CliSettingsSource[Any] = CliSettingsSource(
            Config,
            root_parser=parser,
            add_argument_method=self._add,
            cli_parse_none_str="\0",  # no text that somebody writes stands for None
        )

    def _add(self, parser: argparse.ArgumentParser, *flags: str, **options: Any) -> None:
        field = Config.model_fields[options["dest"]]
        heading = group_of(field)
        if heading not in self._groups:
            self._groups[heading] = parser.add_argument_group(heading)
        options["help"] = f"{field.description} (default: {default_of(field)})".replace("%", "%%")
        kind = kind_of(field)
        if kind:
            options["metavar"] = kind.metavar
        self._groups[heading].add_argument(*flags, **options)

    def read(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return the settings that were given as flags, as text."""
        given = {
            name: value for name, value in vars(arguments).items() if name in Config.model_fields
        }
        self._source(parsed_args=given)
        return self._source()


def read_environment() -> dict[str, Any]:
    """Return the settings in the environment, as text; an empty variable counts as absent."""
    return EnvSettingsSource(Config, env_ignore_empty=True)()


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file; dashes and underscores in names are the same.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: {(exc.strerror or 'cannot be read').lower()}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not text in UTF-8") from exc
    try:
        return {name.replace("-", "_"): value for name, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: is not TOML: {exc}") from exc


def read_settings(
    flags: Mapping[str, Any], file: Path | None, *, unknown_flags: Sequence[str] = ()
) -> Config:
    """Put the settings together: flag over environment over file over default.

    Args:
        flags: what `FlagSource.read` returned.
        file: the file of ``--config``.
        unknown_flags: arguments that no flag takes; told together with the other faults.

    Raises:
        ConfigError: one line for every fault.
    """
    faults = [_unknown_flag(flag) for flag in unknown_flags]
    in_file: dict[str, Any] = {}
    try:
        in_file = read_file(file) if file else {}
    except ConfigError as exc:
        faults.append(str(exc))
    in_environment = read_environment()
    origins = {name: f"{file}: {name}" for name in in_file}
    origins |= {name: variable_of(name) for name in in_environment}
    origins |= {name: flag_of(name) for name in flags}
    try:
        config = Config(**{**in_file, **in_environment, **flags})
    except ValidationError as exc:
        faults += [_told(error, origins) for error in exc.errors()]
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def _told(error: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    name = str(error["loc"][0])
    value = error["input"]
    shown = "" if value is None or isinstance(value, bool | list | dict) else f"{str(value)!r} "
    hint = ""
    if name == "port" and str(value).startswith("tcp://"):
        # https://kubernetes.io/docs/tutorials/services/connect-applications-service/
        hint = " (Kubernetes sets TUSD_PORT for a service named tusd: enableServiceLinks: false)"
    return f"{origins.get(name, flag_of(name))}: {shown}{error['msg']}{hint}"


def _unknown_flag(flag: str) -> str:
    known = [flag_of(name) for name in Config.model_fields]
    near = difflib.get_close_matches(flag.partition("=")[0], known, n=1)
    return f"{flag}: is not known here" + (f"; did you mean {near[0]}?" if near else "")
