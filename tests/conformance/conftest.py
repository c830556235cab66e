"""Fixtures that the suites share."""

from collections.abc import Iterator

import pytest

from tests.servers import S3Server


@pytest.fixture(scope="module")
def account(any_bucket_kind: str, request: pytest.FixtureRequest) -> Iterator[S3Server | None]:
    """The server of each chosen kind, its credentials in the environment; None for disk."""
    if any_bucket_kind == "disk":
        yield None
        return
    server: S3Server = request.getfixturevalue("s3_of")(any_bucket_kind)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env().items():
            patch.setenv(name, value)
        yield server
