"""What `interfaces.Bucket` promises, sentence by sentence, for any implementation.

A test module subclasses the suites, names the classes ``Test...`` and gives the ``bucket``
fixture: a started bucket with nothing in it.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.conformance.contents import (
    BytesContent,
    CorruptContent,
    Unreadable,
    UnreadableContent,
    random_bytes,
    read_all,
)
from tusd_s3.errors import (
    ConditionFailed,
    ContentCorrupted,
    MultipartMissing,
    ObjectMissing,
    PartsRefused,
    StoreError,
)
from tusd_s3.interfaces import Bucket
from tusd_s3.model import KIB, MIB, ObjectHeaders, ObjectStat, Part

HEADERS = ObjectHeaders(
    content_type="video/mp4",
    content_disposition="attachment; filename=\"a 'film'.mp4\"",
    metadata={"tus-upload-id": "abc+def", "filename": "a film.mp4", "x": "~!@#$%^&*()=?"},
)
OTHER_HEADERS = ObjectHeaders(content_type="text/plain", metadata={"y": "1"})
AWKWARD_KEYS = [
    "a b+c%20d&e=f",
    "folder/of/many/levels/x",
    "trailing.dots...",
    "!-_.*'()",
    '?#;:@$,=[]{}|^~`"<>',
    "percent%2Fslash",
    "x" * 200,
]
STALE_ETAG = '"00000000000000000000000000000000"'


def content(bucket: Bucket, data: bytes, *, chunk_size: int = 256 * KIB) -> BytesContent:
    """Return bytes with the checksum that the bucket wants."""
    return BytesContent(data, bucket.features.checksum, chunk_size=chunk_size)


async def put(bucket: Bucket, key: str, data: bytes) -> str:
    """Store an object without headers."""
    return await bucket.put(key, content(bucket, data))


async def read(bucket: Bucket, key: str) -> bytes:
    """Return an object's bytes."""
    async with bucket.get(key) as reader:
        return await read_all(reader)


async def list_keys(bucket: Bucket, prefix: str = "") -> list[str]:
    """Return the keys of a listing, in its order."""
    return [stat.key async for stat in bucket.list_objects(prefix)]


async def is_missing(bucket: Bucket, key: str) -> bool:
    """Return whether both ways of looking say that there is no such object."""
    try:
        await bucket.head(key)
    except ObjectMissing:
        with pytest.raises(ObjectMissing):
            await read(bucket, key)
        return True
    return False


async def create(bucket: Bucket, key: str, headers: ObjectHeaders = ObjectHeaders()) -> str:
    """Begin a multipart upload with the bucket's own checksum."""
    return await bucket.create_multipart(key, headers=headers, checksum=bucket.features.checksum)


async def upload(bucket: Bucket, key: str, multipart_id: str, number: int, data: bytes) -> Part:
    """Store a part."""
    return await bucket.upload_part(key, multipart_id, number, content(bucket, data))


def require_conditions(bucket: Bucket) -> None:
    """Skip the test where the bucket has no conditional writes."""
    if not bucket.features.conditional_writes:
        pytest.skip("this bucket has no conditional writes")


class LifetimeSuite:
    """`start`, `close` and `check`; ``unstarted_bucket`` is a bucket before `start`."""

    async def test_a_bucket_that_never_started_can_be_closed_twice(
        self, unstarted_bucket: Bucket
    ) -> None:
        """Closing is safe whatever happened before."""
        await unstarted_bucket.close()
        await unstarted_bucket.close()

    async def test_a_started_bucket_is_empty_works_and_can_be_closed_twice(
        self, unstarted_bucket: Bucket
    ) -> None:
        """Finding out the features leaves nothing behind; the check is silent if all is well."""
        await unstarted_bucket.start()
        try:
            await unstarted_bucket.check()
            keys = await list_keys(unstarted_bucket)
        finally:
            await unstarted_bucket.close()
            await unstarted_bucket.close()

        assert keys == []


class ObjectSuite:
    """`put`, `get` and `head`."""

    async def test_an_object_is_read_as_it_was_written(self, bucket: Bucket) -> None:
        """Bytes, size, ETag, headers and metadata come back, from GET and from HEAD."""
        data = random_bytes(1000)
        before = time.time()

        etag = await bucket.put("key", content(bucket, data), headers=HEADERS)
        async with bucket.get("key") as reader:
            got = reader.stat
            read_back = await read_all(reader)

        assert read_back == data
        assert (got.key, got.size, got.etag, got.headers) == ("key", 1000, etag, HEADERS)
        assert abs(got.modified - before) < 60
        # a listing may know the time more exactly than the Last-Modified header
        head = await bucket.head("key")
        assert replace(head, modified=0.0) == replace(got, modified=0.0)
        assert abs(head.modified - got.modified) < 1

    async def test_an_object_without_headers_has_no_metadata(self, bucket: Bucket) -> None:
        """Nothing is made up (a content type is: S3 always has one)."""
        await put(bucket, "key", b"x")

        headers = (await bucket.head("key")).headers

        assert headers.metadata == {}
        assert headers.content_disposition is None

    @pytest.mark.parametrize("size", [0, 1, 255, MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
    @pytest.mark.parametrize("chunk_size", [100_003, 5 * MIB])
    async def test_any_size_in_any_chunks(self, bucket: Bucket, size: int, chunk_size: int) -> None:
        """However a content is cut into chunks, the object is the same."""
        data = random_bytes(size)

        await bucket.put("key", content(bucket, data, chunk_size=chunk_size))

        assert (await bucket.head("key")).size == size
        assert await read(bucket, "key") == data

    async def test_an_object_of_tiny_chunks(self, bucket: Bucket) -> None:
        """A thousand chunks of a few bytes are as good as one."""
        data = random_bytes(3000)

        await bucket.put("key", content(bucket, data, chunk_size=3))

        assert await read(bucket, "key") == data

    async def test_a_put_replaces_bytes_and_headers(self, bucket: Bucket) -> None:
        """Nothing of the old object stays, neither longer bytes nor metadata."""
        first = await bucket.put("key", content(bucket, b"a long one"), headers=HEADERS)
        second = await bucket.put("key", content(bucket, b"short"), headers=OTHER_HEADERS)

        stat = await bucket.head("key")

        assert await read(bucket, "key") == b"short"
        assert (stat.etag, stat.size, stat.headers) == (second, 5, OTHER_HEADERS)
        assert first != second

    async def test_the_same_content_can_be_put_again(self, bucket: Bucket) -> None:
        """A content is read from its beginning each time, as retries need it."""
        again = content(bucket, b"once more")

        for key in ("a", "b", "a"):
            await bucket.put(key, again)

        assert again.iterations >= 3
        assert [await read(bucket, key) for key in ("a", "b")] == [b"once more"] * 2

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    async def test_awkward_keys(self, bucket: Bucket, key: str) -> None:
        """A key is what it is, in every operation, whatever a URL would make of it."""
        await put(bucket, key, b"data")
        await put(bucket, "other", b"other")

        assert await read(bucket, key) == b"data"
        assert (await bucket.head(key)).key == key
        assert await list_keys(bucket, key) == [key]
        await bucket.delete([key])
        assert await list_keys(bucket) == ["other"]

    async def test_what_is_missing_is_said_to_be(self, bucket: Bucket) -> None:
        """Neither a prefix of a key nor a longer one is the key."""
        await put(bucket, "folder/key", b"x")

        for key in ("key", "folder", "folder/ke", "folder/key2", "folder/key/x"):
            assert await is_missing(bucket, key), key

    async def test_corrupted_content_never_becomes_visible(self, bucket: Bucket) -> None:
        """A wrong checksum is refused, and what was there before stays."""
        bad = CorruptContent(random_bytes(100_000), bucket.features.checksum)
        await bucket.put("old", content(bucket, b"old"), headers=HEADERS)

        for key in ("new", "old"):
            with pytest.raises(ContentCorrupted):
                await bucket.put(key, bad, headers=OTHER_HEADERS)

        assert await list_keys(bucket) == ["old"]
        assert await read(bucket, "old") == b"old"
        assert (await bucket.head("old")).headers == HEADERS

    async def test_content_that_cannot_be_read_never_becomes_visible(self, bucket: Bucket) -> None:
        """Half an object is no object."""
        bad = UnreadableContent(random_bytes(3 * MIB), bucket.features.checksum)

        with pytest.raises((StoreError, Unreadable)):
            await bucket.put("key", bad)

        assert await is_missing(bucket, "key")

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, None), (0, 10), (3, None), (3, 7), (9, 10), (0, 1), (9, None), (5, 1000)],
    )
    async def test_ranges(self, bucket: Bucket, start: int, end: int | None) -> None:
        """A range is cut out of the object; the description is still that of the whole."""
        await bucket.put("key", content(bucket, b"0123456789"), headers=HEADERS)

        async with bucket.get("key", start=start, end=end) as reader:
            stat = reader.stat
            data = await read_all(reader)

        assert data == b"0123456789"[start:end]
        assert (stat.size, stat.headers) == (10, HEADERS)

    async def test_a_range_in_a_larger_object(self, bucket: Bucket) -> None:
        """Ranges over many chunks begin and end where they should."""
        data = random_bytes(4 * MIB)
        await put(bucket, "key", data)

        async with bucket.get("key", start=MIB - 5, end=3 * MIB + 5) as reader:
            got = await read_all(reader)

        assert got == data[MIB - 5 : 3 * MIB + 5]

    async def test_a_reader_may_stop_early(self, bucket: Bucket) -> None:
        """Leaving after the first chunk, or before it, leaves the bucket usable."""
        await put(bucket, "key", random_bytes(4 * MIB))

        async with bucket.get("key") as reader:
            async for chunk in reader.chunks():
                assert len(chunk) > 0
                break
        async with bucket.get("key"):
            pass

        assert (await bucket.head("key")).size == 4 * MIB

    async def test_a_read_can_insist_on_a_version(self, bucket: Bucket) -> None:
        """`if_match` reads the version it names and no other."""
        old = await put(bucket, "key", b"old")
        new = await put(bucket, "key", b"new")

        async with bucket.get("key", if_match=new) as reader:
            assert await read_all(reader) == b"new"
        with pytest.raises(ConditionFailed):
            async with bucket.get("key", if_match=old):
                pass

    async def test_many_operations_at_once(self, bucket: Bucket) -> None:
        """Forty concurrent writes and reads do not mix anything up."""

        async def write_and_read(number: int) -> bool:
            data = random_bytes(10_000 + number, number)
            await put(bucket, f"many/{number}", data)
            return await read(bucket, f"many/{number}") == data

        assert all(await asyncio.gather(*(write_and_read(number) for number in range(40))))


class ConditionSuite:
    """Conditional writes."""

    async def test_if_absent_creates(self, bucket: Bucket) -> None:
        """A key that does not exist can be created under that condition."""
        require_conditions(bucket)

        etag = await bucket.put("key", content(bucket, b"x"), headers=HEADERS, if_absent=True)

        stat = await bucket.head("key")
        assert (stat.etag, stat.headers) == (etag, HEADERS)

    async def test_if_absent_refuses_what_exists(self, bucket: Bucket) -> None:
        """An object that exists stays as it is."""
        require_conditions(bucket)
        await bucket.put("key", content(bucket, b"first"), headers=HEADERS)

        with pytest.raises(ConditionFailed):
            await bucket.put(
                "key", content(bucket, b"second"), headers=OTHER_HEADERS, if_absent=True
            )

        assert await read(bucket, "key") == b"first"
        assert (await bucket.head("key")).headers == HEADERS

    async def test_if_absent_after_a_delete(self, bucket: Bucket) -> None:
        """What was deleted is absent."""
        require_conditions(bucket)
        await put(bucket, "key", b"first")
        await bucket.delete(["key"])

        await bucket.put("key", content(bucket, b"second"), if_absent=True)

        assert await read(bucket, "key") == b"second"

    async def test_if_match_replaces_that_version(self, bucket: Bucket) -> None:
        """A chain of writes, each on the version before, succeeds."""
        require_conditions(bucket)
        etag = await put(bucket, "key", b"0")

        for number in range(1, 5):
            etag = await bucket.put("key", content(bucket, b"%d" % number), if_match=etag)

        assert await read(bucket, "key") == b"4"
        assert (await bucket.head("key")).etag == etag

    async def test_if_match_refuses_another_version(self, bucket: Bucket) -> None:
        """A stale ETag, or one that never was, changes nothing."""
        require_conditions(bucket)
        stale = await put(bucket, "key", b"first")
        await put(bucket, "key", b"second")

        for etag in (stale, STALE_ETAG):
            with pytest.raises(ConditionFailed):
                await bucket.put("key", content(bucket, b"third"), if_match=etag)

        assert await read(bucket, "key") == b"second"

    async def test_if_match_refuses_a_missing_key(self, bucket: Bucket) -> None:
        """No version matches where there is none."""
        require_conditions(bucket)

        with pytest.raises(ConditionFailed):
            await bucket.put("key", content(bucket, b"x"), if_match=STALE_ETAG)

        assert await is_missing(bucket, "key")

    async def test_one_of_twelve_creators_wins(self, bucket: Bucket) -> None:
        """Of racing `if_absent` writes one succeeds, and its bytes are there."""
        require_conditions(bucket)

        async def race(number: int) -> bool:
            try:
                await bucket.put("key", content(bucket, b"%d" % number), if_absent=True)
            except ConditionFailed:
                return False
            return True

        won = await asyncio.gather(*(race(number) for number in range(12)))

        assert sum(won) == 1
        assert await read(bucket, "key") == b"%d" % won.index(True)

    async def test_one_of_twelve_successors_wins(self, bucket: Bucket) -> None:
        """Of racing `if_match` writes on one version one succeeds."""
        require_conditions(bucket)
        etag = await put(bucket, "key", b"begin")

        async def race(number: int) -> bool:
            try:
                await bucket.put("key", content(bucket, b"%d" % number), if_match=etag)
            except ConditionFailed:
                return False
            return True

        won = await asyncio.gather(*(race(number) for number in range(12)))

        assert sum(won) == 1
        assert await read(bucket, "key") == b"%d" % won.index(True)


class ManySuite:
    """`delete` and `list_objects`."""

    async def test_what_is_deleted_is_missing(self, bucket: Bucket) -> None:
        """Deleting takes the keys named and no others."""
        for key in ("a", "a.info", "b/c", "b/d"):
            await bucket.put(key, content(bucket, b"x"), headers=HEADERS)

        await bucket.delete(["a", "b/c"])

        assert await is_missing(bucket, "a")
        assert await is_missing(bucket, "b/c")
        assert await list_keys(bucket) == ["a.info", "b/d"]

    async def test_a_deleted_key_can_be_used_again(self, bucket: Bucket) -> None:
        """Headers of the deleted object do not come back with the key."""
        await bucket.put("a/b", content(bucket, b"same"), headers=HEADERS)
        await bucket.delete(["a/b"])

        await put(bucket, "a/b", b"same")

        assert (await bucket.head("a/b")).headers.metadata == {}

    async def test_missing_keys_can_be_deleted(self, bucket: Bucket) -> None:
        """Nothing, one, and several missing keys are all fine, again and again."""
        for keys in ([], ["x"], ["x", "y/z"], ["x", "x"]):
            await bucket.delete(keys)

        assert await list_keys(bucket) == []

    async def test_more_than_a_thousand_keys_are_deleted(self, bucket: Bucket) -> None:
        """The number of keys has no limit; the missing ones among them do not matter."""
        for number in (0, 999, 1000, 1001, 2100):
            await put(bucket, f"many/{number}", b"x")
        await put(bucket, "many/not-this", b"x")

        await bucket.delete([f"many/{number}" for number in range(2101)])

        assert await list_keys(bucket) == ["many/not-this"]

    async def test_a_listing_is_in_the_order_of_keys(self, bucket: Bucket) -> None:
        """Keys are compared byte by byte; a slash is a byte like any other."""
        keys = ["a-b", "a.b", "a/b", "a/b.c/d", "a/b2", "a0", "aB/x", "ab", "b"]
        for key in reversed(keys):
            await put(bucket, key, b"x")

        assert await list_keys(bucket) == sorted(keys)

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", ["a/b/1", "a/b/2", "a/bc", "ab", "c"]),
            ("a", ["a/b/1", "a/b/2", "a/bc", "ab"]),
            ("a/", ["a/b/1", "a/b/2", "a/bc"]),
            ("a/b", ["a/b/1", "a/b/2", "a/bc"]),
            ("a/b/", ["a/b/1", "a/b/2"]),
            ("a/b/1", ["a/b/1"]),
            ("c", ["c"]),
            ("c/", []),
            ("a/x/", []),
            ("x", []),
        ],
    )
    async def test_a_prefix_is_no_folder(
        self, bucket: Bucket, prefix: str, expected: Sequence[str]
    ) -> None:
        """A listing has the keys that begin with the prefix, wherever it ends."""
        for key in ("a/b/1", "a/b/2", "a/bc", "ab", "c"):
            await put(bucket, key, b"x")

        assert await list_keys(bucket, prefix) == expected

    async def test_a_listing_describes_objects_without_their_headers(self, bucket: Bucket) -> None:
        """Key, size, ETag and time are those that HEAD tells."""
        await bucket.put("key", content(bucket, b"12345"), headers=HEADERS)
        head = await bucket.head("key")

        listed = [stat async for stat in bucket.list_objects("")]

        assert [replace(stat, modified=0.0) for stat in listed] == [
            ObjectStat("key", 5, head.etag, 0.0)
        ]
        assert abs(listed[0].modified - head.modified) < 1.001  # HTTP dates have no fractions

    @pytest.mark.slow  # writes 1,010 objects
    async def test_a_listing_goes_over_pages(self, bucket: Bucket) -> None:
        """More keys than fit into a page all come, once each."""
        keys = [f"page/{number:04d}" for number in range(1010)]
        slots = asyncio.Semaphore(16)

        async def write(key: str) -> None:
            async with slots:
                await put(bucket, key, b"x")

        await asyncio.gather(*(write(key) for key in keys))

        assert await list_keys(bucket, "page/") == keys


class MultipartSuite:
    """Multipart uploads: their parts."""

    async def test_parts_become_the_object(self, bucket: Bucket) -> None:
        """Parts, stored in any order, are assembled by number; the object has the headers."""
        size = bucket.limits.min_part
        data = random_bytes(2 * size + 1000)
        multipart_id = await create(bucket, "key", HEADERS)

        sent = [
            await upload(bucket, "key", multipart_id, number, data[(number - 1) * size :][:size])
            for number in (3, 1, 2)
        ]
        listed = await bucket.list_parts("key", multipart_id)
        await bucket.complete_multipart("key", multipart_id, listed)

        assert listed == sorted(sent, key=lambda part: part.number)
        assert [(part.number, part.size) for part in listed] == [(1, size), (2, size), (3, 1000)]
        stat = await bucket.head("key")
        assert (stat.size, stat.headers) == (len(data), HEADERS)
        assert await read(bucket, "key") == data

    async def test_the_parts_that_were_answered_complete_as_well(self, bucket: Bucket) -> None:
        """What `upload_part` returns is enough for Complete; no listing is needed."""
        multipart_id = await create(bucket, "key")
        part = await upload(bucket, "key", multipart_id, 1, b"all of it")

        await bucket.complete_multipart("key", multipart_id, [part])

        assert await read(bucket, "key") == b"all of it"

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    async def test_awkward_keys(self, bucket: Bucket, key: str) -> None:
        """A key is what it is in multipart operations too."""
        multipart_id = await create(bucket, key)
        await upload(bucket, key, multipart_id, 1, b"data")
        parts = await bucket.list_parts(key, multipart_id)

        await bucket.complete_multipart(key, multipart_id, parts)

        assert await list_keys(bucket) == [key]
        assert await read(bucket, key) == b"data"

    async def test_nothing_is_visible_before_complete(self, bucket: Bucket) -> None:
        """An open multipart upload is neither an object nor a change of one."""
        await bucket.put("old", content(bucket, b"old"), headers=OTHER_HEADERS)
        for key in ("old", "new"):
            multipart_id = await create(bucket, key, HEADERS)
            await upload(bucket, key, multipart_id, 1, b"part")

        assert await is_missing(bucket, "new")
        assert await read(bucket, "old") == b"old"
        assert (await bucket.head("old")).headers == OTHER_HEADERS
        assert await list_keys(bucket) == ["old"]

    async def test_complete_replaces_an_object(self, bucket: Bucket) -> None:
        """Bytes and headers of the assembled object take the place of the old ones."""
        await bucket.put("key", content(bucket, b"old"), headers=OTHER_HEADERS)
        multipart_id = await create(bucket, "key", HEADERS)
        part = await upload(bucket, "key", multipart_id, 1, b"assembled")

        await bucket.complete_multipart("key", multipart_id, [part])

        assert await read(bucket, "key") == b"assembled"
        assert (await bucket.head("key")).headers == HEADERS

    async def test_a_fresh_multipart_upload_has_no_parts(self, bucket: Bucket) -> None:
        """Listing it is no error."""
        multipart_id = await create(bucket, "key")

        assert await bucket.list_parts("key", multipart_id) == []

    async def test_multipart_uploads_of_one_key_are_independent(self, bucket: Bucket) -> None:
        """Each has its parts; ending one leaves the other."""
        first = await create(bucket, "key")
        second = await create(bucket, "key")
        await upload(bucket, "key", first, 1, b"first")
        part = await upload(bucket, "key", second, 1, b"second")

        await bucket.abort_multipart("key", first)
        await bucket.complete_multipart("key", second, [part])

        assert first != second
        assert await read(bucket, "key") == b"second"

    async def test_a_part_is_replaced(self, bucket: Bucket) -> None:
        """Of two parts with one number the later one counts, in size too."""
        multipart_id = await create(bucket, "key")
        await upload(bucket, "key", multipart_id, 1, b"the first and longer one")
        later = await upload(bucket, "key", multipart_id, 1, b"later")

        parts = await bucket.list_parts("key", multipart_id)
        await bucket.complete_multipart("key", multipart_id, parts)

        assert parts == [later]
        assert await read(bucket, "key") == b"later"

    async def test_a_replaced_part_does_not_complete(self, bucket: Bucket) -> None:
        """Complete takes the parts it was given, or none."""
        multipart_id = await create(bucket, "key")
        replaced = await upload(bucket, "key", multipart_id, 1, b"other")
        await upload(bucket, "key", multipart_id, 1, b"later")

        with pytest.raises(PartsRefused):
            await bucket.complete_multipart("key", multipart_id, [replaced])

        assert await is_missing(bucket, "key")

    async def test_gaps_between_part_numbers_do_not_matter(self, bucket: Bucket) -> None:
        """Numbers only say the order, up to the largest that the limits allow."""
        data = random_bytes(bucket.limits.min_part)
        last = bucket.limits.max_parts
        multipart_id = await create(bucket, "key")
        parts = [
            await upload(bucket, "key", multipart_id, 2, data),
            await upload(bucket, "key", multipart_id, last, b"end"),
        ]

        await bucket.complete_multipart("key", multipart_id, parts)

        assert await read(bucket, "key") == data + b"end"

    async def test_parts_that_are_not_named_are_left_out(self, bucket: Bucket) -> None:
        """The object consists of the parts given, not of those stored."""
        multipart_id = await create(bucket, "key")
        part = await upload(bucket, "key", multipart_id, 1, b"named")
        await upload(bucket, "key", multipart_id, 2, b"not named")

        await bucket.complete_multipart("key", multipart_id, [part])

        assert await read(bucket, "key") == b"named"

    async def test_a_corrupted_part_never_becomes_visible(self, bucket: Bucket) -> None:
        """A wrong checksum is refused, and the part that was there stays."""
        bad = CorruptContent(random_bytes(100_000), bucket.features.checksum)
        multipart_id = await create(bucket, "key")
        kept = await upload(bucket, "key", multipart_id, 2, b"kept")

        for number in (1, 2):
            with pytest.raises(ContentCorrupted):
                await bucket.upload_part("key", multipart_id, number, bad)

        assert await bucket.list_parts("key", multipart_id) == [kept]

    async def test_an_unreadable_part_never_becomes_visible(self, bucket: Bucket) -> None:
        """Half a part is no part."""
        bad = UnreadableContent(random_bytes(3 * MIB), bucket.features.checksum)
        multipart_id = await create(bucket, "key")

        with pytest.raises((StoreError, Unreadable)):
            await bucket.upload_part("key", multipart_id, 1, bad)

        assert await bucket.list_parts("key", multipart_id) == []

    async def test_the_same_content_can_be_uploaded_again(self, bucket: Bucket) -> None:
        """A retry of a part sends the same bytes and gives the same part."""
        again = content(bucket, b"once more")
        multipart_id = await create(bucket, "key")

        for _ in range(2):
            part = await bucket.upload_part("key", multipart_id, 1, again)

        assert again.iterations >= 2
        assert await bucket.list_parts("key", multipart_id) == [part]

    async def test_parts_are_uploaded_concurrently(self, bucket: Bucket) -> None:
        """Twenty parts at once are all there, each with its size."""
        multipart_id = await create(bucket, "key")

        sent = await asyncio.gather(
            *(
                upload(bucket, "key", multipart_id, number, random_bytes(1000 + number))
                for number in range(1, 21)
            )
        )

        assert await bucket.list_parts("key", multipart_id) == sent

    @pytest.mark.slow  # uploads 1,005 parts
    async def test_parts_are_listed_over_pages(self, bucket: Bucket) -> None:
        """More parts than fit into a page all come, in order of their numbers."""
        multipart_id = await create(bucket, "key")
        slots = asyncio.Semaphore(16)

        async def send(number: int) -> Part:
            async with slots:
                return await upload(bucket, "key", multipart_id, number, b"%d" % number)

        sent = await asyncio.gather(*(send(number) for number in range(1, 1006)))

        assert await bucket.list_parts("key", multipart_id) == sent


class MultipartEndSuite:
    """How multipart uploads end, and how they refuse to."""

    async def test_complete_can_be_repeated(self, bucket: Bucket) -> None:
        """The second Complete succeeds or says that there is none; the object stays."""
        multipart_id = await create(bucket, "key", HEADERS)
        part = await upload(bucket, "key", multipart_id, 1, b"data")
        await bucket.complete_multipart("key", multipart_id, [part])

        with suppress(MultipartMissing):
            await bucket.complete_multipart("key", multipart_id, [part])

        assert await read(bucket, "key") == b"data"
        assert (await bucket.head("key")).headers == HEADERS

    async def test_a_completed_multipart_upload_is_gone(self, bucket: Bucket) -> None:
        """Its parts can be neither listed nor added to."""
        multipart_id = await create(bucket, "key")
        part = await upload(bucket, "key", multipart_id, 1, b"data")
        await bucket.complete_multipart("key", multipart_id, [part])

        with pytest.raises(MultipartMissing):
            await bucket.list_parts("key", multipart_id)
        with pytest.raises(MultipartMissing):
            await upload(bucket, "key", multipart_id, 2, b"late")

    async def test_a_part_that_was_never_stored_is_refused(self, bucket: Bucket) -> None:
        """Complete does not skip what is missing, and can be called again without it."""
        multipart_id = await create(bucket, "key")
        part = await upload(bucket, "key", multipart_id, 1, random_bytes(bucket.limits.min_part))

        with pytest.raises(PartsRefused):
            await bucket.complete_multipart("key", multipart_id, [part, replace(part, number=2)])

        assert await is_missing(bucket, "key")
        await bucket.complete_multipart("key", multipart_id, [part])
        assert (await bucket.head("key")).size == part.size

    async def test_a_part_with_another_etag_is_refused(self, bucket: Bucket) -> None:
        """ETags are compared, and the multipart upload survives the refusal."""
        multipart_id = await create(bucket, "key")
        part = await upload(bucket, "key", multipart_id, 1, b"data")

        with pytest.raises(PartsRefused):
            await bucket.complete_multipart("key", multipart_id, [replace(part, etag=STALE_ETAG)])

        assert await is_missing(bucket, "key")
        assert await bucket.list_parts("key", multipart_id) == [part]

    async def test_small_parts_are_refused_except_the_last(self, bucket: Bucket) -> None:
        """A part below the smallest size may only come last."""
        size = bucket.limits.min_part
        multipart_id = await create(bucket, "key")
        parts = [
            await upload(bucket, "key", multipart_id, 1, random_bytes(size - 1)),
            await upload(bucket, "key", multipart_id, 2, random_bytes(size)),
        ]

        with pytest.raises(PartsRefused):
            await bucket.complete_multipart("key", multipart_id, parts)

        assert await is_missing(bucket, "key")

    async def test_an_aborted_multipart_upload_is_gone(self, bucket: Bucket) -> None:
        """After an abort nothing of it can be used, and no object appeared."""
        multipart_id = await create(bucket, "key")
        part = await upload(bucket, "key", multipart_id, 1, b"data")

        await bucket.abort_multipart("key", multipart_id)

        with pytest.raises(MultipartMissing):
            await bucket.list_parts("key", multipart_id)
        with pytest.raises(MultipartMissing):
            await upload(bucket, "key", multipart_id, 2, b"late")
        with pytest.raises(MultipartMissing):
            await bucket.complete_multipart("key", multipart_id, [part])
        assert await is_missing(bucket, "key")

    async def test_an_abort_leaves_the_object_of_that_key(self, bucket: Bucket) -> None:
        """Giving parts up does not touch what is finished."""
        await put(bucket, "key", b"finished")
        multipart_id = await create(bucket, "key")
        await upload(bucket, "key", multipart_id, 1, b"data")

        await bucket.abort_multipart("key", multipart_id)

        assert await read(bucket, "key") == b"finished"

    async def test_what_never_was_cannot_be_used(self, bucket: Bucket) -> None:
        """Every operation on an id that was never given says that there is none."""
        real = await create(bucket, "key")
        part = await upload(bucket, "key", real, 1, b"data")
        # not the ends: they may be a server's name, or bits that Base64 does not use
        unknown = real[:-6] + ("0" if real[-6] != "0" else "1") + real[-5:]

        with pytest.raises(MultipartMissing):
            await bucket.list_parts("key", unknown)
        with pytest.raises(MultipartMissing):
            await upload(bucket, "key", unknown, 1, b"data")
        with pytest.raises(MultipartMissing):
            await bucket.complete_multipart("key", unknown, [part])
        assert await bucket.list_parts("key", real) == [part]


class CopySuite:
    """`copy_part`.

    Copies go into multipart uploads without a checksum algorithm, as the assembler makes them:
    not every store has checksums of the parts that it copied.
    """

    @staticmethod
    async def create(bucket: Bucket, key: str, headers: ObjectHeaders = ObjectHeaders()) -> str:
        """Begin a multipart upload that takes copies."""
        return await bucket.create_multipart(key, headers=headers, checksum="MD5")

    async def test_a_range_of_an_object_becomes_a_part(self, bucket: Bucket) -> None:
        """Copied and uploaded parts are listed alike and are assembled together."""
        size = bucket.limits.min_part
        data = random_bytes(2 * size + 10)
        key, source = "new object+1", "a source%20 with+odd&name"
        etag = await put(bucket, source, data)
        multipart_id = await self.create(bucket, key, HEADERS)

        copied = await bucket.copy_part(
            key, multipart_id, 1, source, start=7, end=7 + size, source_etag=etag
        )
        uploaded = await bucket.upload_part(key, multipart_id, 2, BytesContent(b"the end", "MD5"))
        listed = await bucket.list_parts(key, multipart_id)
        await bucket.complete_multipart(key, multipart_id, listed)

        assert (copied.number, copied.size) == (1, size)
        assert [(part.number, part.size) for part in listed] == [(1, size), (2, 7)]
        assert listed[0].etag == copied.etag
        assert listed[1] == uploaded
        assert await read(bucket, key) == data[7 : 7 + size] + b"the end"
        assert (await bucket.head(key)).headers == HEADERS
        assert await read(bucket, source) == data

    async def test_a_whole_object_becomes_a_part(self, bucket: Bucket) -> None:
        """The part that was answered is enough for Complete."""
        data = random_bytes(bucket.limits.min_part + 1)
        etag = await put(bucket, "source", data)
        multipart_id = await self.create(bucket, "key")

        part = await bucket.copy_part(
            "key", multipart_id, 1, "source", start=0, end=len(data), source_etag=etag
        )
        await bucket.complete_multipart("key", multipart_id, [part])

        assert await read(bucket, "key") == data

    async def test_only_the_version_that_was_meant_is_copied(self, bucket: Bucket) -> None:
        """A source that was replaced is refused, and no part appears."""
        data = random_bytes(bucket.limits.min_part)
        old = await put(bucket, "source", data)
        await put(bucket, "source", data[::-1])
        multipart_id = await self.create(bucket, "key")

        with pytest.raises(ConditionFailed):
            await bucket.copy_part(
                "key", multipart_id, 1, "source", start=0, end=len(data), source_etag=old
            )

        assert await bucket.list_parts("key", multipart_id) == []

    async def test_a_missing_source_is_missing(self, bucket: Bucket) -> None:
        """It is the source that is missing, not the multipart upload."""
        multipart_id = await self.create(bucket, "key")

        with pytest.raises(ObjectMissing):
            await bucket.copy_part(
                "key", multipart_id, 1, "source", start=0, end=1, source_etag=STALE_ETAG
            )

        assert await bucket.list_parts("key", multipart_id) == []

    async def test_nothing_is_copied_into_what_is_gone(self, bucket: Bucket) -> None:
        """An aborted multipart upload takes no copies."""
        data = random_bytes(bucket.limits.min_part)
        etag = await put(bucket, "source", data)
        multipart_id = await self.create(bucket, "key")
        await bucket.abort_multipart("key", multipart_id)

        with pytest.raises(MultipartMissing):
            await bucket.copy_part(
                "key", multipart_id, 1, "source", start=0, end=len(data), source_etag=etag
            )
