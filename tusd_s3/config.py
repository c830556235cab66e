"""Every setting once: name, type, default and help. Flags, environment and file come from here.

Nothing but the command line reads the environment: `Config(...)` in somebody's program takes
its arguments and the defaults. `docs/configuration.md` is compared with this file by a test.
"""

import difflib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tusd_s3 import values

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of a type are called in the help, and how one is written."""

    metavar: str
    write: Callable[[Any], str] = str


Text = Annotated[str, Kind("TEXT")]
Size = Annotated[int, BeforeValidator(values.parse_size), Kind("SIZE", values.format_size)]
Duration = Annotated[
    float, BeforeValidator(values.parse_positive_duration), Kind("TIME", values.format_duration)
]
Grace = Annotated[
    float, BeforeValidator(values.parse_duration), Kind("TIME", values.format_duration)
]
Port = Annotated[int, BeforeValidator(values.number_between(0, 65535)), Kind("PORT")]
Count = Annotated[int, BeforeValidator(values.number_between(1, 10_000)), Kind("NUMBER")]
Headers = Annotated[
    tuple[str, ...], BeforeValidator(values.parse_header_names), Kind("LIST", ",".join)
]
Networks = Annotated[
    tuple[str, ...], BeforeValidator(values.parse_networks), Kind("LIST", ",".join)
]
BasePath = Annotated[str, BeforeValidator(values.parse_base_path), Kind("PATH")]
Folder = Annotated[Path, Kind("FOLDER")]
Endpoint = Annotated[str, BeforeValidator(values.parse_endpoint), Kind("URL")]
BucketName = Annotated[str, BeforeValidator(values.parse_bucket_name), Kind("NAME")]
Prefix = Annotated[str, BeforeValidator(values.parse_prefix), Kind("PREFIX")]
Pattern = Annotated[str, BeforeValidator(values.parse_pattern), Kind("REGEX")]


def _setting(default: Any, words: str, *, group: str, shown: str | None = None) -> Any:
    """Declare a field: its default, its help, and where the help lists it."""
    return Field(
        default=default, description=words, json_schema_extra={"group": group, "shown": shown}
    )


LISTEN = "Where it listens"
UPLOADS = "Uploads"
FOLDER = "Storage in a folder"
S3 = "Storage in an S3 bucket"
LIMITS = "Memory, disk and time"
CORS = "Browsers (CORS)"
LOGS = "Logs"


class Config(BaseSettings):
    """All settings of the server. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(
        env_prefix="TUSD_",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        enable_decoding=False,  # a list in the environment is separated by commas, not JSON
        extra="forbid",
        frozen=True,
    )

    host: Text = _setting("127.0.0.1", "address to listen on", group=LISTEN)
    port: Port = _setting(8080, "port to listen on; 0 takes a free one", group=LISTEN)
    base_path: BasePath = _setting("/files/", "URL path of the uploads", group=LISTEN)
    behind_proxy: Networks = _setting(
        (),
        "believe Forwarded and X-Forwarded-* from these addresses or networks; * is everybody",
        group=LISTEN,
        shown="nobody",
    )
    relative_location: bool = _setting(
        False, "answer with Location as a path, without scheme and host", group=LISTEN
    )
    max_header_size: Size = _setting(
        64 * 1024, "longest header line that is accepted", group=LISTEN
    )

    max_size: Size = _setting(0, "longest upload that is accepted; 0 is any", group=UPLOADS)
    disable_download: bool = _setting(False, "refuse GET of uploads", group=UPLOADS)
    disable_termination: bool = _setting(False, "refuse DELETE of uploads", group=UPLOADS)
    disable_concatenation: bool = _setting(
        False, "refuse to put uploads together from others", group=UPLOADS
    )
    delete_partials: bool = _setting(
        False, "delete partial uploads when their final upload is complete", group=UPLOADS
    )

    upload_dir: Folder = _setting(
        Path("data"), "folder for the uploads when no bucket is given", group=FOLDER, shown="./data"
    )

    s3_bucket: BucketName | None = _setting(
        None, "keep uploads in this bucket instead of a folder", group=S3, shown="none"
    )
    s3_endpoint: Endpoint | None = _setting(
        None, "address of the S3 service", group=S3, shown="Amazon's, by region"
    )
    s3_path_style: bool | None = _setting(
        None,
        "put the bucket into the path, not into the host name",
        group=S3,
        shown="with an endpoint",
    )
    s3_object_prefix: Prefix = _setting("", "what all keys begin with", group=S3, shown="none")
    s3_metadata_prefix: Prefix | None = _setting(
        None,
        "what the keys of .info and .part objects begin with",
        group=S3,
        shown="the object prefix",
    )
    s3_part_size: Size = _setting(
        16 * MIB, "preferred size of a part; long uploads get larger ones", group=S3
    )
    s3_concurrent_part_uploads: Count = _setting(
        10, "parts on their way to S3 at the same time, over all uploads", group=S3
    )
    s3_timeout: Duration = _setting(60, "longest wait for one call of S3", group=S3)

    memory_budget: Size = _setting(
        64 * MIB, "memory for parts that are being filled, over all uploads", group=LIMITS
    )
    disk_budget: Size = _setting(
        4096 * MIB, "temporary files for the parts that do not fit in memory", group=LIMITS
    )
    temp_dir: Folder | None = _setting(
        None, "folder for the temporary files", group=LIMITS, shown="the system's"
    )
    network_timeout: Duration = _setting(
        60, "end a request whose client has sent nothing for so long", group=LIMITS
    )
    acquire_lock_timeout: Duration = _setting(
        20, "longest wait for an upload that another request holds", group=LIMITS
    )
    silent_takeover: Duration = _setting(
        5, "a HEAD may end a request whose client has been silent for so long", group=LIMITS
    )
    shutdown_timeout: Grace = _setting(
        10, "time for running requests to save what arrived when the server stops", group=LIMITS
    )

    disable_cors: bool = _setting(False, "leave the CORS headers to somebody else", group=CORS)
    cors_allow_origin: Pattern = _setting(
        ".*", "origins that may upload; the whole origin has to match", group=CORS
    )
    cors_allow_credentials: bool = _setting(
        False, "let browsers send cookies and authorization", group=CORS
    )
    cors_allow_headers: Headers = _setting(
        (), "request headers to allow besides those of tus", group=CORS, shown="none"
    )
    cors_expose_headers: Headers = _setting(
        (), "response headers to expose besides those of tus", group=CORS, shown="none"
    )
    cors_max_age: Grace = _setting(86400, "how long a browser may remember a preflight", group=CORS)

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "least important events that are logged", group=LOGS
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "auto", "auto is console on a terminal and json elsewhere", group=LOGS
    )
    access_log: bool = _setting(True, "log every request", group=LOGS)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the caller gives; where it comes from is the command line's business."""
        return (init_settings,)

    @model_validator(mode="wrap")
    @classmethod
    def _find_every_fault(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Check settings and their combinations together, so that all faults are told at once."""
        given: dict[str, Any] = dict(data)
        faults: list[InitErrorDetails] = []
        faulty: set[str] = set()
        try:
            config = handler(given)
        except ValidationError as exc:
            faults = [_reworded(error) for error in exc.errors()]
            faulty = {str(fault["loc"][0]) for fault in faults}
            config = handler({name: given[name] for name in given.keys() - faulty})
        for involved, text in _contradictions(config, given.keys()):
            if not faulty & set(involved):
                faults.append(_fault(involved[0], text, given.get(involved[0])))
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return config


def _contradictions(
    config: Config, given: AbstractSet[str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what cannot work together: the settings involved, and words about the first."""
    if config.s3_bucket is None:
        for name in sorted(given & Config.model_fields.keys()):
            if name.startswith("s3_") and name != "s3_bucket":
                yield (name, "s3_bucket"), "has no meaning without s3-bucket"
    elif not 1024 <= config.s3_part_size <= 5 * 1024 * MIB:  # below 5 MiB: the store is asked
        yield ("s3_part_size", "s3_bucket"), "is not between 1KiB and 5GiB"
    if config.s3_part_size > config.disk_budget:
        size, room = values.format_size(config.s3_part_size), values.format_size(config.disk_budget)
        if "s3_part_size" in given:
            yield ("s3_part_size", "disk_budget"), f"is more than disk-budget ({room}) can hold"
        else:
            yield ("disk_budget", "s3_part_size"), f"cannot hold a single part ({size})"
    if config.disable_cors:
        for name in sorted(given & Config.model_fields.keys()):
            if name.startswith("cors_"):
                yield (name, "disable_cors"), "has no meaning with disable-cors"


def _reworded(error: ErrorDetails) -> InitErrorDetails:
    """Say in the user's words what pydantic found in one setting."""
    name = str(error["loc"][0])
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(name, Config.model_fields, n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            return _fault(name, f"is not a setting{guess}", None)
        case "value_error":
            text = str(error["ctx"]["error"])
        case "literal_error":
            text = f"is not {error['ctx']['expected']}".replace("'", "")
        case "bool_parsing" | "bool_type":
            text = "is not true or false"
        case _:
            text = f"is not accepted: {error['msg']}"
    return _fault(name, text, error["input"])


def _fault(name: str, text: str, value: object) -> InitErrorDetails:
    problem = PydanticCustomError("fault", "{text}", {"text": text})
    return InitErrorDetails(type=problem, loc=(name,), input=value)
