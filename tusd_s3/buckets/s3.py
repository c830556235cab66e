"""The bucket on S3: each operation of `Bucket` as calls of S3's. How they are made: `s3_client`.

IAM rights that are enough: s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload,
s3:ListMultipartUploadParts. With s3:ListBucket as well, a missing key is told from a forbidden
one, and `list_objects` works.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tusd_s3 import log
from tusd_s3.buckets import probe, s3_errors, s3_listing
from tusd_s3.buckets.s3_client import Connection
from tusd_s3.buckets.s3_erase import Eraser
from tusd_s3.buckets.s3_options import S3Options
from tusd_s3.buckets.s3_values import (
    Reader,
    checksum_arguments,
    header_arguments,
    parse_checksum,
    parse_stat,
    understood,
)
from tusd_s3.errors import (
    ConditionFailed,
    ObjectMissing,
    StoreBusy,
    StoreError,
    StoreRefused,
)
from tusd_s3.interfaces import Content, ObjectReader
from tusd_s3.model import Features, Limits, ObjectHeaders, ObjectStat, Part

__all__ = ["S3Bucket", "S3Options"]

_CHECKSUM_TYPES = {"CRC64NVME": "FULL_OBJECT", "CRC32C": "COMPOSITE", "CRC32": "COMPOSITE"}

_log = log.get_logger(__name__)


class S3Bucket:
    """A `Bucket` on any S3-compatible store, by way of aiobotocore.

    Invariants:
        1. Every body that is sent carries a checksum that the store verifies.
        2. Only an answer that names the key says that it is missing: a bare 404 is verified.
    """

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._connection: Connection | None = None
        self._features: Features | None = None
        self._denied_means_missing = False
        self._eraser = Eraser()

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self._options.bucket

    @property
    def limits(self) -> Limits:
        return self._options.limits

    @property
    def features(self) -> Features:
        if self._features is None:
            raise RuntimeError("features are known after start()")
        return self._features

    async def start(self) -> None:
        self._connection = Connection(self._options)
        try:
            await self._connection.open()
            # While they are being found out, conditions are sent, and the safest checksum.
            self._features = Features(conditional_writes=True, checksum="MD5")
            async with asyncio.timeout(self._options.control_timeout_s):
                await self._find_out_absence()
            self._features = await probe.find_features(self, self._options.scratch_prefix)
        except StoreError as exc:
            await self.close()
            raise s3_errors.explain(exc, self.name, self._options.place) from exc
        except TimeoutError as exc:
            await self.close()
            late = StoreBusy("start", "", f"{self._options.control_timeout_s:g} s without answer")
            raise s3_errors.explain(late, self.name, self._options.place) from exc
        except BaseException:
            await self.close()
            raise

    async def _find_out_absence(self) -> None:
        key = probe.scratch_key(self._options.scratch_prefix)
        try:
            await self._expect_missing(key)
        except StoreRefused as exc:
            if exc.reason != "AccessDenied":
                raise
            await probe.require_rights(self, key)
            self._denied_means_missing = True
            _log.warning(
                "this account may not list the bucket, so S3 does not tell a missing key from a "
                "forbidden one: allow s3:ListBucket on the bucket",
                bucket=self.name,
            )

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    @property
    def _s3(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("the bucket is not started, or closed")
        return self._connection

    async def check(self) -> None:
        await self._expect_missing(probe.scratch_key(self._options.scratch_prefix))

    async def _expect_missing(self, key: str) -> None:
        """Ask for a key that does not exist: with GET, since only its answer has a body."""
        try:
            async with self.get(key):
                pass
        except ObjectMissing:
            pass

    async def put(
        self,
        key: str,
        content: Content,
        *,
        headers: ObjectHeaders = ObjectHeaders(),
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        extra = header_arguments(headers)
        if self.features.conditional_writes:
            if if_match is not None:
                extra["IfMatch"] = if_match
            if if_absent:
                extra["IfNoneMatch"] = "*"
        s3 = self._s3
        try:
            answer = await s3.send("put", content, s3.data.put_object, Key=key, **extra)
        except ObjectMissing as exc:
            # If-Match on a key that does not exist is answered by 404 NoSuchKey.
            raise ConditionFailed("put", key, exc.reason) from exc
        with understood("put", key):
            etag: str = answer["ETag"]
        return etag

    @asynccontextmanager
    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[ObjectReader]:
        extra: Any = {}
        if start or end is not None:
            if end is not None and end <= start:
                raise ValueError(f"the range {start}..{end} is empty")
            extra["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if if_match is not None:
            extra["IfMatch"] = if_match
        s3 = self._s3
        try:
            answer = await s3.ask("get", s3.reads.get_object, Key=key, **extra)
        except StoreRefused as exc:
            if self._denied_means_missing and exc.reason == "AccessDenied":
                raise ObjectMissing("get", key, exc.reason) from exc
            raise
        body = answer["Body"]
        try:
            yield Reader(key, answer, start=start, end=end)
        finally:
            body.close()  # an answer read to its end has already given its connection back

    async def head(self, key: str) -> ObjectStat:
        s3 = self._s3
        try:
            answer = await s3.ask("head", s3.quick.head_object, Key=key)
        except StoreError as exc:
            # An answer to HEAD has no body, so it does not say what is missing, a key, the bucket
            # or a proxy's backend, nor why it is refused. GET does.
            if isinstance(exc, StoreBusy) or not exc.reason.isdecimal():
                raise
            async with self.get(key) as reader:
                return reader.stat
        with understood("head", key):
            return parse_stat(key, answer, size=answer["ContentLength"])

    async def delete(self, keys: Sequence[str]) -> None:
        await self._eraser.erase(self._s3, keys)

    async def list_objects(self, prefix: str) -> AsyncIterator[ObjectStat]:
        async for stat in s3_listing.list_objects(self._s3, prefix):
            yield stat

    async def create_multipart(self, key: str, *, headers: ObjectHeaders, checksum: str) -> str:
        extra = header_arguments(headers)
        if checksum in _CHECKSUM_TYPES:
            extra["ChecksumAlgorithm"] = checksum
            extra["ChecksumType"] = _CHECKSUM_TYPES[checksum]
        s3 = self._s3
        answer = await s3.ask(
            "create_multipart", s3.control.create_multipart_upload, Key=key, **extra
        )
        with understood("create_multipart", key):
            return answer["UploadId"]

    async def upload_part(self, key: str, multipart_id: str, number: int, content: Content) -> Part:
        s3 = self._s3
        answer = await s3.send(
            "upload_part",
            content,
            s3.data.upload_part,
            Key=key,
            UploadId=multipart_id,
            PartNumber=number,
        )
        checksum = content.checksum if content.checksum.algorithm in _CHECKSUM_TYPES else None
        with understood("upload_part", key):
            return Part(number, content.size, answer["ETag"], checksum)

    async def copy_part(
        self,
        key: str,
        multipart_id: str,
        number: int,
        source: str,
        *,
        start: int,
        end: int,
        source_etag: str,
    ) -> Part:
        s3 = self._s3
        try:
            answer = await s3.ask(
                "copy_part",
                s3.control.upload_part_copy,
                timeout_s=self._options.complete_timeout_s,
                Key=key,
                UploadId=multipart_id,
                PartNumber=number,
                CopySource={"Bucket": self.name, "Key": source},
                CopySourceRange=f"bytes={start}-{end - 1}",
                CopySourceIfMatch=source_etag,
            )
        except StoreRefused:
            if self._denied_means_missing:
                await self.head(source)  # a missing source is said to be missing
            raise
        with understood("copy_part", key):
            result = answer["CopyPartResult"]
            return Part(number, end - start, result["ETag"], parse_checksum(result))

    async def list_parts(self, key: str, multipart_id: str) -> list[Part]:
        return await s3_listing.list_parts(self._s3, key, multipart_id)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> None:
        listed: list[Any] = []
        for part in parts:
            entry: dict[str, Any] = {"PartNumber": part.number, "ETag": part.etag}
            if part.checksum is not None and part.checksum.algorithm != "MD5":
                entry |= checksum_arguments(part.checksum)
            listed.append(entry)
        s3 = self._s3
        answer = await s3.ask(
            "complete_multipart",
            s3.control.complete_multipart_upload,
            timeout_s=self._options.complete_timeout_s,
            Key=key,
            UploadId=multipart_id,
            MultipartUpload={"Parts": listed},
        )
        with understood("complete_multipart", key):
            _ = answer["ETag"]

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        s3 = self._s3
        await s3.ask(
            "abort_multipart", s3.control.abort_multipart_upload, Key=key, UploadId=multipart_id
        )
