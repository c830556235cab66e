"""What settings there are, and which of them cannot go together."""

from typing import Any

import pytest
from pydantic import ValidationError

from tusd_s3.config import Config
from tusd_s3.model import GIB, MIB


def faults_of(**settings: Any) -> dict[str, str]:
    """Return what is wrong with each setting."""
    with pytest.raises(ValidationError) as caught:
        Config(**settings)
    return {str(error["loc"][0]): error["msg"] for error in caught.value.errors()}


def test_the_defaults_serve_a_folder_on_this_machine() -> None:
    """Nothing has to be set, and nobody else on the network can reach it."""
    config = Config()

    assert (config.host, config.port, config.base_path) == ("127.0.0.1", 8080, "/files/")
    assert str(config.upload_dir) == "data"
    assert config.s3_bucket is None


def test_the_environment_is_the_command_lines_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that mounts us is not configured by variables it does not know of."""
    monkeypatch.setenv("TUSD_PORT", "1")

    assert Config().port == 8080


def test_values_are_read_as_people_write_them() -> None:
    """Sizes and times in Python may be numbers or text."""
    texts: dict[str, Any] = {"max_size": "5GiB", "network_timeout": "1m30s"}

    config = Config(**texts, disk_budget=20 * MIB)

    assert (config.max_size, config.network_timeout) == (5 * GIB, 90)
    assert config.disk_budget == 20 * MIB


def test_all_faults_are_told_at_once() -> None:
    """Wrong values, unknown names and contradictions come in one exception."""
    faults = faults_of(port=99_999, max_sise="1", s3_endpoint="http://s3", access_log="perhaps")

    assert faults == {
        "port": "is not a number from 0 to 65535",
        "max_sise": "is not a setting; did you mean max_size?",
        "s3_endpoint": "has no meaning without s3-bucket",
        "access_log": "is not true or false",
    }


def test_choices_are_listed_when_none_was_met() -> None:
    """The user need not look them up."""
    assert faults_of(log_level="loud") == {"log_level": "is not debug, info, warning or error"}


def test_a_value_of_an_impossible_type_is_a_fault_like_any_other() -> None:
    """A TOML file can hold anything."""
    assert faults_of(host=[1])["host"].startswith("is not accepted: ")
    assert faults_of(host=[1], zzz=1)["zzz"] == "is not a setting"


def test_a_fault_in_a_setting_does_not_cause_others() -> None:
    """A bucket with a wrong name is still a bucket to the settings that need one."""
    faults = faults_of(s3_bucket="s3://x", s3_endpoint="http://s3", s3_part_size="8MiB")

    assert set(faults) == {"s3_bucket"}


def test_s3_settings_need_a_bucket_even_with_their_default_value() -> None:
    """What was given was meant, so uploads do not silently go into a folder."""
    faults = faults_of(s3_part_size="16MiB", s3_path_style=True)

    assert set(faults) == {"s3_part_size", "s3_path_style"}


@pytest.mark.parametrize("size", ["1023", "6GiB"])
def test_parts_have_the_sizes_that_a_store_may_take(size: str) -> None:
    """At most 5 GiB as on S3; whether less than 5 MiB will do, the store is asked at start."""
    faults = faults_of(s3_bucket="uploads", s3_part_size=size, disk_budget="7GiB")

    assert faults == {"s3_part_size": "is not between 1KiB and 5GiB"}


def test_a_part_has_to_fit_on_the_disk() -> None:
    """The setting that was given is the one that is blamed."""
    small = faults_of(disk_budget="1MiB")
    large = faults_of(s3_bucket="uploads", s3_part_size="5GiB")

    assert small == {"disk_budget": "cannot hold a single part (16MiB)"}
    assert large == {"s3_part_size": "is more than disk-budget (4GiB) can hold"}


def test_cors_settings_have_no_meaning_without_cors() -> None:
    """Somebody who sets both has misunderstood one of them."""
    faults = faults_of(disable_cors=True, cors_allow_credentials=True)

    assert faults == {"cors_allow_credentials": "has no meaning with disable-cors"}


def test_settings_cannot_be_changed_afterwards() -> None:
    """What was checked stays true."""
    config = Config()

    with pytest.raises(ValidationError, match="frozen"):
        config.port = 1
