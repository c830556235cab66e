"""Our signatures are botocore's."""

import string

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.unit.buckets.raw_store import Arrived, signature_of
from tusd_s3.buckets.s3_sign import Request, Signer

NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=30).map(
    "X-Amz-Meta-{}".format
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50)
WORDS = st.text(string.ascii_letters + string.digits + "%._~-/", max_size=50)


def sign(
    target: str, headers: dict[str, str], *, token: str | None = None, secret: str = "s"
) -> CIMultiDict[str]:
    """Return the headers of a signed request for a bucket at ``store.test:9000``."""
    request = Request("PUT", f"http://store.test:9000{target}", CIMultiDict(headers))
    signer = Signer("eu-west-1", "store.test:9000")
    signer.sign(request, ReadOnlyCredentials("key", secret, token))
    return request.headers


@given(
    path=WORDS,
    query=st.dictionaries(st.sampled_from(["partNumber", "uploadId", "x"]), WORDS),
    headers=st.dictionaries(NAMES, VALUES),
    token=st.none() | st.text(string.ascii_letters, min_size=1),
    secret=st.text(string.printable, min_size=1),
)
@example(path="", query={}, headers={"X-Amz-Meta-A": "  two   blanks  "}, token=None, secret="s")
def test_every_signature_is_botocores(
    path: str, query: dict[str, str], headers: dict[str, str], token: str | None, secret: str
) -> None:
    """Whatever is asked for, with whatever headers and secrets."""
    headers = {name.lower(): value for name, value in headers.items()}
    text = "&".join(f"{name}={value.replace('/', '')}" for name, value in sorted(query.items()))
    target = f"/b/{path}" + (f"?{text}" if text else "")

    signed = sign(target, headers, token=token, secret=secret)

    sent = {name.lower(): value for name, value in signed.items()} | {"host": "store.test:9000"}
    expected = signature_of(Arrived("PUT", target, "HTTP/1.1", sent), secret)
    assert sent["authorization"].endswith(f"Signature={expected}")


def test_the_same_headers_are_added_as_botocore_adds() -> None:
    """Names and forms; the clock alone makes a difference."""
    request = AWSRequest(method="PUT", url="http://store.test:9000/b/k", headers={"If-Match": "e"})
    request.context["client_config"] = Config(s3={"payload_signing_enabled": False})
    S3SigV4Auth(ReadOnlyCredentials("key", "s", "token"), "s3", "eu-west-1").add_auth(request)

    ours = sign("/b/k", {"If-Match": "e"}, token="token")

    theirs = dict(request.headers.items())
    assert ours.keys() == theirs.keys()
    for name in theirs.keys() - {"X-Amz-Date", "Authorization"}:
        assert ours[name] == theirs[name]
    parts = [headers["Authorization"].rpartition(", ")[0] for headers in (ours, theirs)]
    assert parts[0] == parts[1]
