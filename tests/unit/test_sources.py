"""Flags, environment and file: which wins, and how faults in them are told."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tusd_s3 import sources
from tusd_s3.config import Config
from tusd_s3.errors import ConfigError

Read = Callable[..., Config]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("TUSD_"):
            monkeypatch.delenv(name)


def read(*arguments: str, file: Path | None = None) -> Config:
    """Read settings as the command line does."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    flags = sources.FlagSource(parser)
    known, unknown = parser.parse_known_args(arguments)
    return sources.read_settings(flags.read(known), file, unknown_flags=unknown)


def faults_of(*arguments: str, file: Path | None = None) -> list[str]:
    """Return the lines in which faults are told."""
    with pytest.raises(ConfigError) as caught:
        read(*arguments, file=file)
    return str(caught.value).splitlines()


def test_a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who is nearer to the running program decides."""
    file = tmp_path / "tusd.toml"
    file.write_text('host = "in-file"\nport = 1\nbase_path = "/in-file/"\n')
    monkeypatch.setenv("TUSD_HOST", "in-environment")
    monkeypatch.setenv("TUSD_PORT", "2")

    config = read("--host", "in-flag", file=file)

    assert (config.host, config.port, config.base_path) == ("in-flag", 2, "/in-file/")
    assert config.max_size == 0


@pytest.mark.parametrize("name", Config.model_fields)
def test_every_setting_has_a_flag_and_a_variable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are made from its name."""
    field = Config.model_fields[name]
    values = {"SIZE": "32MiB", "TIME": "7s", "URL": "http://s3.example", "REGEX": "https://a"}
    values |= {"LIST": "10.0.0.1", "NUMBER": "3", "PORT": "3"}
    kind = sources.kind_of(field)
    value = values.get(kind.metavar, "word") if kind else "true"
    if name.startswith("log_"):
        value = {"log_level": "error", "log_format": "json"}[name]
    bucket = ["--s3-bucket", "bucket"] if name.startswith("s3_") else []
    is_switch = kind is None and not name.startswith("log_")
    flag = sources.flag_of(name)

    by_flag = read(*bucket, *([flag] if is_switch else [flag, value]))
    monkeypatch.setenv(sources.variable_of(name), value)
    by_variable = read(*(bucket if name != "s3_bucket" else []))

    assert getattr(by_flag, name) == getattr(by_variable, name)
    assert getattr(by_flag, name) != field.default or name == "access_log"


def test_a_switch_can_be_switched_off() -> None:
    """Whatever the environment says."""
    assert read("--no-access-log").access_log is False
    assert read("--s3-bucket", "bucket", "--no-s3-path-style").s3_path_style is False


def test_a_list_can_be_given_in_several_flags() -> None:
    """With commas, or by repeating the flag, or both."""
    config = read("--behind-proxy", "10.0.0.1", "--behind-proxy", "10.0.0.2,10.0.0.3")

    assert config.behind_proxy == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_an_empty_variable_is_none_and_an_empty_flag_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compose files make empty variables; an empty --s3-bucket must not mean the folder."""
    monkeypatch.setenv("TUSD_S3_BUCKET", "")

    assert read().s3_bucket is None
    assert faults_of("--s3-bucket", "") == [
        "--s3-bucket: '' is not the name of a bucket (a prefix goes into s3-object-prefix)"
    ]


def test_no_word_stands_for_nothing() -> None:
    """A bucket may be called null."""
    assert read("--s3-bucket", "null").s3_bucket == "null"


def test_all_faults_are_told_at_once_and_say_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line each: unknown flags, the file, the environment, contradictions."""
    file = tmp_path / "tusd.toml"
    file.write_text('max_sise = 1\naccess-log = "often"\n')
    monkeypatch.setenv("TUSD_PORT", "99999")

    lines = faults_of("--s3-endpoint", "http://s3", "--bucket", file=file)

    assert sorted(lines) == sorted([
        "--bucket: is not known here; did you mean --s3-bucket?",
        f"{file}: max_sise: is not a setting; did you mean max_size?",
        f"{file}: access_log: 'often' is not true or false",
        "TUSD_PORT: '99999' is not a number from 0 to 65535",
        "--s3-endpoint: 'http://s3' has no meaning without s3-bucket",
    ])  # fmt: skip


def test_the_port_that_kubernetes_invents_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service named tusd sets TUSD_PORT in every pod of its namespace."""
    monkeypatch.setenv("TUSD_PORT", "tcp://10.0.0.1:80")

    assert "enableServiceLinks" in faults_of()[0]


def test_the_file_takes_dashes_and_native_values(tmp_path: Path) -> None:
    """TOML's own numbers, lists and booleans need no quotes."""
    file = tmp_path / "tusd.toml"
    file.write_text('max-size = 100\nbehind_proxy = ["10.0.0.1"]\naccess_log = false\n')

    config = read(file=file)

    assert (config.max_size, config.behind_proxy, config.access_log) == (100, ("10.0.0.1",), False)


def test_a_file_that_cannot_be_read_is_a_fault_among_others(tmp_path: Path) -> None:
    """It is missing, is no text, or no TOML."""
    binary, broken = tmp_path / "binary", tmp_path / "broken"
    binary.write_bytes(b"\xff")
    broken.write_text("port")

    missing = faults_of("--port", "x", file=tmp_path / "none")

    assert missing[0] == f"{tmp_path / 'none'}: no such file or directory"
    assert len(missing) == 2
    assert faults_of(file=binary) == [f"{binary}: is not text in UTF-8"]
    assert faults_of(file=broken)[0].startswith(f"{broken}: is not TOML: ")


def test_every_setting_has_a_default_that_can_be_read() -> None:
    """The help and the table of settings never show a bare None."""
    defaults = {name: sources.default_of(field) for name, field in Config.model_fields.items()}

    assert defaults["s3_part_size"] == "16MiB"
    assert defaults["network_timeout"] == "1m"
    assert defaults["access_log"] == "on"
    assert "None" not in defaults.values()
