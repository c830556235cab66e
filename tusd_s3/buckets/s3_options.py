"""Where a bucket on S3 is and how patiently it is talked to. No I/O."""

from dataclasses import dataclass, field

from tusd_s3.model import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Where a bucket is and how patiently it is talked to; credentials come the AWS way.

    Attributes:
        endpoint: URL of the service; None is Amazon's (or what the AWS settings say).
        region: None is that of the AWS settings; ``us-east-1`` where an endpoint is given.
        path_style: None is path style if and only if an endpoint is given.
        timeout_s: limit of one data call, for each 64 MiB of its body; and of the wait for
            the next bytes of an object that is read.
        control_timeout_s: limit of every other call.
        complete_timeout_s: limit of a Complete, which Amazon may take minutes for.
        max_connections: data calls at the same time.
        attempts: how often a call that may pass (`StoreBusy`) is tried in all.
        scratch_prefix: what the keys begin with that are written, and removed, to find out
            what the bucket can do.
    """

    bucket: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    timeout_s: float = 60
    control_timeout_s: float = 20
    complete_timeout_s: float = 300
    max_connections: int = 32
    attempts: int = 4
    scratch_prefix: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> str:
        """The service in words."""
        return self.endpoint or f"Amazon S3 ({self.region or 'region by the AWS settings'})"
