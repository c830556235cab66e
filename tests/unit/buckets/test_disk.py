"""What is special about a bucket in a folder: its files, its crashes, its neighbours."""

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.bucket_suite import (
    HEADERS,
    OTHER_HEADERS,
    CopySuite,
    content,
    create,
    is_missing,
    list_keys,
    put,
    read,
    upload,
)
from tests.conformance.contents import BytesContent, random_bytes, read_all
from tusd_s3.buckets import disk_files
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.buckets.disk_files import Temporary, translated
from tusd_s3.buckets.disk_names import is_key
from tusd_s3.buckets.disk_reader import OpenFile, copy_with_digest
from tusd_s3.digests import Digest
from tusd_s3.errors import (
    ConditionFailed,
    ConfigError,
    ContentCorrupted,
    CopyRefused,
    MultipartMissing,
    ObjectMissing,
    PartsRefused,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
)
from tusd_s3.model import MIB, Limits, ObjectHeaders

PRIVATE = ".tusd-s3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the bucket; not there yet."""
    return tmp_path / "not" / "yet"


@pytest.fixture
async def bucket(folder: Path) -> AsyncIterator[DiskBucket]:
    """A started bucket in an empty folder, with short patience."""
    bucket = DiskBucket(folder, timeout_s=20)
    await bucket.start()
    yield bucket
    await bucket.close()


def names_in(folder: Path) -> list[str]:
    """Return what stands in a folder itself."""
    return sorted(path.name for path in folder.iterdir())


def files(folder: Path, room: str) -> list[str]:
    """Return the files below a room of the private folder."""
    root = folder / PRIVATE / room
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class TestFiles:
    """What stands in the folder."""

    async def test_an_object_is_a_plain_file(self, bucket: DiskBucket, folder: Path) -> None:
        """Any program can read `<directory>/<key>`; everything else is in one private folder."""
        await bucket.put("a/b.bin", content(bucket, b"data"), headers=HEADERS)

        assert (folder / "a" / "b.bin").read_bytes() == b"data"
        assert names_in(folder) == [PRIVATE, "a"]

    async def test_nothing_is_left_behind(self, bucket: DiskBucket, folder: Path) -> None:
        """When everything is deleted, only lock files stay."""
        for key in ("a/b/c", "d"):
            await bucket.put(key, content(bucket, b"data"), headers=HEADERS)
        multipart_id = await create(bucket, "a/x", HEADERS)
        part = await upload(bucket, "a/x", multipart_id, 1, b"data")
        await bucket.complete_multipart("a/x", multipart_id, [part])
        other = await create(bucket, "y")
        await upload(bucket, "y", other, 1, b"data")
        await bucket.abort_multipart("y", other)

        await bucket.delete(["a/b/c", "d", "a/x"])

        assert names_in(folder) == [PRIVATE]
        assert files(folder, "tmp") + files(folder, "meta") + files(folder, "multipart") == []

    async def test_failures_leave_no_temporary_files(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """Refused writes are removed at once, large ones and small ones."""
        await put(bucket, "key", b"x")
        bad = BytesContent(random_bytes(3 * MIB), "CRC64NVME")
        bad.size -= 1

        with pytest.raises(ContentCorrupted):
            await bucket.put("new", bad)
        with pytest.raises(ConditionFailed):
            await bucket.put("key", content(bucket, b"y"), if_absent=True)

        assert files(folder, "tmp") == []
        assert await is_missing(bucket, "new")

    async def test_only_the_present_headers_are_kept(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """Headers of old versions do not pile up, and go with the last that had some."""
        for number in range(5):
            headers = ObjectHeaders(metadata={"n": f"v{number}"})
            await bucket.put("key", content(bucket, b"x"), headers=headers)
        (name,) = files(folder, "meta")
        text = (folder / PRIVATE / "meta" / name).read_text()
        assert [f"v{number}" in text for number in range(5)] == [False, False, False, True, True]

        await put(bucket, "key", b"x")

        assert files(folder, "meta") == []

    async def test_objects_survive_a_restart(self, bucket: DiskBucket, folder: Path) -> None:
        """Objects, headers and open multipart uploads are there for the next process."""
        etag = await bucket.put("key", content(bucket, b"data"), headers=HEADERS)
        multipart_id = await create(bucket, "multi", HEADERS)
        part = await upload(bucket, "multi", multipart_id, 1, b"part")
        await bucket.close()

        again = DiskBucket(folder)
        await again.start()
        stat = await again.head("key")
        parts = await again.list_parts("multi", multipart_id)
        await again.complete_multipart("multi", multipart_id, parts)

        assert (stat.etag, stat.headers) == (etag, HEADERS)
        assert parts == [part]
        assert (await again.head("multi")).headers == HEADERS
        await again.close()

    async def test_a_file_changed_by_hand_is_another_version(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """It has another ETag, no headers of the old one, and conditions notice it."""
        etag = await bucket.put("key", content(bucket, b"data"), headers=HEADERS)
        (folder / "key").write_bytes(b"by hand")

        stat = await bucket.head("key")

        assert stat.etag != etag
        assert stat.headers == ObjectHeaders()
        with pytest.raises(ConditionFailed):
            await bucket.put("key", content(bucket, b"x"), if_match=etag)

    async def test_equal_bytes_are_different_versions(self, bucket: DiskBucket) -> None:
        """Each write has its own ETag."""
        etags = [await put(bucket, "key", b"same") for _ in range(5)]

        assert len(set(etags)) == 5

    async def test_a_version_is_newer_than_one_from_the_future(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """A clock that was set back does not make two versions look alike."""
        await put(bucket, "key", b"same")
        future = 4_000_000_000 * 10**9
        os.utime(folder / "key", ns=(future, future))
        before = await bucket.head("key")

        etag = await put(bucket, "key", b"same")

        assert etag != before.etag
        assert (folder / "key").stat().st_mtime_ns > future

    async def test_what_is_no_plain_file_is_no_object(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """Folders, pipes and links that somebody put there are not read, listed or opened."""
        (folder / "folder").mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to("/etc/hostname")

        for key in ("folder", "pipe", "link"):
            assert await is_missing(bucket, key)
        assert await list_keys(bucket) == []

    async def test_a_reader_keeps_its_version(self, bucket: DiskBucket) -> None:
        """A replacement and a deletion do not disturb whoever reads."""
        data = random_bytes(5 * MIB)
        await put(bucket, "key", data)

        async with bucket.get("key") as reader:
            await put(bucket, "key", b"other")
            await bucket.delete(["key"])
            got = await read_all(reader)

        assert got == data

    async def test_an_object_that_shrinks_while_it_is_read_is_not_whole(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """A body that is cut short is an error, not an end."""
        await put(bucket, "key", random_bytes(3 * MIB))

        async with bucket.get("key") as reader:
            os.truncate(folder / "key", 100)
            with pytest.raises(StoreBusy, match="cut short"):
                await read_all(reader)

    async def test_a_range_outside_is_refused(self, bucket: DiskBucket) -> None:
        """The first byte asked for has to exist."""
        await put(bucket, "key", b"0123456789")

        with pytest.raises(StoreError, match="outside"):
            async with bucket.get("key", start=10):
                pass


class TestNames:
    """Which keys a folder can hold."""

    @pytest.mark.parametrize(
        "key",
        ["", "/", "/etc/x", "a//b", "a/", "../x", "a/../../x", ".", "a/./b", "a\0b", "\udcff",
         PRIVATE, f"{PRIVATE}/tmp/x", f"{PRIVATE}/meta"],
    )  # fmt: skip
    async def test_no_key_leads_elsewhere(self, bucket: DiskBucket, folder: Path, key: str) -> None:
        """Such keys cannot be written, are missing when read, and deleting them does nothing."""
        with pytest.raises(StoreError, match="cannot hold"):
            await put(bucket, key, b"x")
        with pytest.raises(StoreError, match="cannot hold"):
            await create(bucket, key)
        assert await is_missing(bucket, key)
        await bucket.delete([key])

        assert await list_keys(bucket, key) == []
        await bucket.check()
        assert names_in(folder) == [PRIVATE]
        assert names_in(folder.parent) == [folder.name]

    @pytest.mark.parametrize(
        "key", ["a", "a/b", "..a", "a..", ".hidden", f"x/{PRIVATE}", f"{PRIVATE}2", "ä/ö", "a b"]
    )
    def test_ordinary_keys(self, key: str) -> None:
        """Dots that are not a whole segment, and our private name elsewhere, are fine."""
        assert is_key(key)

    @given(st.text(max_size=30))
    def test_a_key_stays_inside(self, key: str) -> None:
        """Whatever passes is a path below the folder and outside the private one."""
        if is_key(key):
            path = os.path.normpath(f"/bucket/{key}")
            assert path == f"/bucket/{key}"
            assert not path.startswith(f"/bucket/{PRIVATE}/")

    async def test_an_object_cannot_lie_below_another(self, bucket: DiskBucket) -> None:
        """S3 can have `a` and `a/b`, a folder cannot: the second one is refused clearly."""
        await put(bucket, "a", b"x")
        await put(bucket, "b/c", b"x")

        with pytest.raises(StoreError, match="is an object"):
            await put(bucket, "a/b/c", b"y")
        with pytest.raises(StoreError, match="below it"):
            await put(bucket, "b", b"y")

        assert await is_missing(bucket, "a/b/c")
        assert await list_keys(bucket) == ["a", "b/c"]

    async def test_an_empty_folder_is_no_obstacle(self, bucket: DiskBucket, folder: Path) -> None:
        """What a crash left of a deleted object gives way to a new one."""
        (folder / "a" / "b").mkdir(parents=True)

        await put(bucket, "a/b", b"x")

        assert await read(bucket, "a/b") == b"x"

    async def test_too_long_a_name_is_missing(self, bucket: DiskBucket) -> None:
        """An id that no file could have is a missing upload, not an outage."""
        key = "x" * 300

        assert await is_missing(bucket, key)
        await bucket.delete([key])
        with pytest.raises(StoreError, match="ENAMETOOLONG"):
            await put(bucket, key, b"x")


class TestCrashes:
    """Each state in which a kill -9 can leave the folder."""

    async def test_headers_without_their_version(self, bucket: DiskBucket, folder: Path) -> None:
        """Killed between headers and rename: the old object, with the old headers."""
        await bucket.put("key", content(bucket, b"old"), headers=HEADERS)
        old = (folder / "key").read_bytes(), (folder / "key").stat()
        await bucket.put("key", content(bucket, b"new"), headers=OTHER_HEADERS)
        # as it was right before the rename
        (folder / "key").write_bytes(old[0])
        os.utime(folder / "key", ns=(old[1].st_atime_ns, old[1].st_mtime_ns))

        stat = await bucket.head("key")

        assert stat.headers == HEADERS
        await bucket.put("key", content(bucket, b"next"), if_match=stat.etag)
        assert (await bucket.head("key")).headers == ObjectHeaders()

    async def test_headers_of_a_deleted_object(self, bucket: DiskBucket, folder: Path) -> None:
        """Killed between deleting bytes and headers: the next delete takes them."""
        await bucket.put("key", content(bucket, b"old"), headers=HEADERS)
        (folder / "key").unlink()

        assert await is_missing(bucket, "key")
        await bucket.delete(["key"])
        assert files(folder, "meta") == []

    async def test_an_object_whose_parts_are_still_there(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """Killed between rename and clean-up: completing again makes the same object."""
        multipart_id = await create(bucket, "key", HEADERS)
        part = await upload(bucket, "key", multipart_id, 1, b"data")
        home = folder / PRIVATE / "multipart" / multipart_id
        copy = {path.name: path.read_bytes() for path in home.iterdir()}
        await bucket.complete_multipart("key", multipart_id, [part])
        home.mkdir()
        for name, data in copy.items():
            (home / name).write_bytes(data)

        await bucket.complete_multipart("key", multipart_id, [part])

        assert await read(bucket, "key") == b"data"
        assert (await bucket.head("key")).headers == HEADERS
        assert not home.exists()

    @pytest.mark.slow  # starts interpreters and kills them
    async def test_whenever_it_is_killed_bytes_and_headers_belong_together(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """After each kill -9 a whole version is there, at least the last one acknowledged."""
        await put(bucket, "key", b"")

        for round_number in range(3):
            acknowledged = await asyncio.to_thread(write_until_killed, folder, 5 + round_number)
            data = await read(bucket, "key")
            stat = await bucket.head("key")
            number = int(stat.headers.metadata["n"])

            assert data == random_bytes(100_000 + number, number)
            assert number in {acknowledged, acknowledged + 1}

    async def test_files_of_the_dead_are_removed_and_those_of_the_living_stay(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """A start cleans up after processes that were killed, and only after those."""
        script = (
            "import asyncio, os, sys\n"
            "from pathlib import Path\n"
            "from tusd_s3.buckets.disk import DiskBucket\n"
            "async def main():\n"
            "    bucket = DiskBucket(Path(sys.argv[1]))\n"
            "    await bucket.start()\n"
            "    for room in (Path(sys.argv[1]) / '.tusd-s3' / 'tmp').iterdir():\n"
            "        (room / 'half-written').write_bytes(b'x')\n"
            "    os.kill(os.getpid(), 9)\n"
            "asyncio.run(main())\n"
        )
        await asyncio.to_thread(run_python, script, folder, expected=-9)
        rooms = folder / PRIVATE / "tmp"
        assert len(list(rooms.iterdir())) == 2

        other = DiskBucket(folder)
        await other.start()
        await other.close()

        assert [path.name for path in rooms.glob("*/*")] == ["half-written"]
        assert len(list((folder / PRIVATE / "locks").glob("process-*"))) == 1
        await put(bucket, "key", b"still alive")

    async def test_a_damaged_record_is_an_error(self, bucket: DiskBucket, folder: Path) -> None:
        """What cannot be understood is not taken for "no headers", nor for "no upload"."""
        await bucket.put("key", content(bucket, b"x"), headers=HEADERS)
        (name,) = files(folder, "meta")
        (folder / PRIVATE / "meta" / name).write_bytes(b"{")
        multipart_id = await create(bucket, "key")
        await upload(bucket, "key", multipart_id, 1, b"data")
        os.truncate(folder / PRIVATE / "multipart" / multipart_id / "00001", 3)

        with pytest.raises(StoreError, match="cannot be read"):
            await bucket.head("key")
        with pytest.raises(StoreError, match="EIO"):
            await bucket.list_parts("key", multipart_id)


def run_python(script: str, *args: object, expected: int = 0) -> str:
    """Run a script in another process with our code, and return what it printed."""
    root = str(Path(disk_files.__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == expected, ran.stderr
    return ran.stdout


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.conformance.bucket_suite import content
from tests.conformance.contents import random_bytes
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.model import ObjectHeaders

async def main():
    bucket = DiskBucket(Path(sys.argv[1]))
    await bucket.start()
    number = 0
    while True:
        data = random_bytes(100_000 + number, number)
        headers = ObjectHeaders(metadata={"n": str(number)})
        await bucket.put("key", content(bucket, data), headers=headers)
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


def write_until_killed(folder: Path, acknowledgements: int) -> int:
    """Kill a writing process after so many writes; return the last one that it acknowledged."""
    root = str(Path(disk_files.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(acknowledgements)]
        child.kill()
        lines += child.stdout.readlines()
    return int(lines[-1])


COUNTER = """
import asyncio, sys
from pathlib import Path
from tests.conformance.bucket_suite import content, put, read
from tusd_s3.buckets.disk import DiskBucket
from tusd_s3.errors import ConditionFailed

async def main():
    bucket = DiskBucket(Path(sys.argv[1]))
    await bucket.start()
    done = 0
    while done < 25:
        async with bucket.get("counter") as reader:
            etag = reader.stat.etag
            count = int(b"".join([bytes(chunk) async for chunk in reader.chunks()]))
        try:
            await bucket.put("counter", content(bucket, b"%d" % (count + 1)), if_match=etag)
        except ConditionFailed:
            continue
        done += 1
    for number in range(25):
        await put(bucket, "folder/x", b"x")
        await bucket.delete(["folder/x"])
    await bucket.close()

asyncio.run(main())
"""


class TestNeighbours:
    """Several processes, threads and impatient callers on one folder."""

    @pytest.mark.slow  # starts three interpreters
    async def test_no_update_of_another_process_is_lost(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """Three processes count to 75 with conditional writes; folders come and go meanwhile."""
        await put(bucket, "counter", b"0")

        await asyncio.gather(*(asyncio.to_thread(run_python, COUNTER, folder) for _ in range(3)))

        assert await read(bucket, "counter") == b"75"
        assert await list_keys(bucket) == ["counter"]

    async def test_a_key_that_is_held_makes_the_others_wait_only_so_long(
        self, folder: Path
    ) -> None:
        """A process that hangs with a lock in its hands costs others a limited time."""
        bucket = DiskBucket(folder, timeout_s=0.2)
        await bucket.start()
        with bucket._folder.lock("key"), pytest.raises(StoreBusy, match="held"):
            await put(bucket, "key", b"x")

        await put(bucket, "key", b"x")

        assert files(folder, "tmp") == []
        await bucket.close()

    async def test_what_can_be_deleted_is_deleted(self, folder: Path) -> None:
        """A key that cannot be deleted is an error, after the others were."""
        bucket = DiskBucket(folder, timeout_s=0.4)
        await bucket.start()
        for key in ("held", "free"):
            await put(bucket, key, b"x")

        with bucket._folder.lock("held"), pytest.raises(StoreBusy, match="held"):
            await bucket.delete(["held", "free"])

        assert await list_keys(bucket) == ["held"]
        await bucket.close()

    def test_a_discarded_file_takes_no_more_bytes(self, tmp_path: Path) -> None:
        """A thread that goes on after its task was cancelled writes nothing any more."""
        unused, used = Temporary(tmp_path / "unused"), Temporary(tmp_path / "used")
        used.append([b"x"])

        for file in (unused, used):
            file.discard()
            file.discard()
            with pytest.raises(OSError, match="discarded"):
                file.append([b"y"])

        assert list(tmp_path.iterdir()) == []

    def test_a_file_opened_too_late_is_closed(self, tmp_path: Path) -> None:
        """A descriptor that arrives after its reader has gone does not stay open."""
        (tmp_path / "file").write_bytes(b"x")
        fd = os.open(tmp_path / "file", os.O_RDONLY)
        file = OpenFile()
        file.close()

        with pytest.raises(OSError, match="closed"):
            file.adopt(fd)
        with pytest.raises(OSError, match="closed"):
            file.read_at(0, 1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    def test_times_are_strictly_newer_where_the_file_system_rounds_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With times of two seconds' grain two versions still differ."""
        grain = 2 * 10**9
        exactly = os.utime

        def rounded(fd: int, *, ns: tuple[int, int]) -> None:
            exactly(fd, ns=(ns[0] // grain * grain, ns[1] // grain * grain))

        monkeypatch.setattr(os, "utime", rounded)
        file = Temporary(tmp_path / "file")

        first = file.stamp_newer_than(0).st_mtime_ns
        second = file.stamp_newer_than(first).st_mtime_ns
        file.discard()

        assert second > first

    async def test_deleting_and_writing_in_one_folder_at_once(self, bucket: DiskBucket) -> None:
        """A folder that is pruned at the moment somebody writes into it is made again."""

        async def churn(name: str) -> None:
            for _ in range(20):
                await put(bucket, f"a/b/{name}", b"x")
                await bucket.delete([f"a/b/{name}"])
            await put(bucket, f"a/b/{name}", b"last")

        await asyncio.gather(*(churn(name) for name in "pqrs"))

        assert await list_keys(bucket) == ["a/b/p", "a/b/q", "a/b/r", "a/b/s"]

    async def test_a_cancelled_write_leaves_nothing(self, bucket: DiskBucket, folder: Path) -> None:
        """Whoever is cancelled in the middle of its bytes leaves no file open or behind."""
        begun = asyncio.Event()
        endless = BytesContent(random_bytes(3 * MIB), "CRC64NVME")

        class Hanging(BytesContent):
            async def chunks(self) -> AsyncIterator[bytes]:
                yield random_bytes(2 * MIB)
                begun.set()
                await asyncio.Event().wait()

        writing = asyncio.create_task(bucket.put("key", Hanging(b"", "CRC64NVME")))
        await begun.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

        assert files(folder, "tmp") == []
        assert await is_missing(bucket, "key")
        await bucket.put("key", endless)

    async def test_complete_and_abort_cannot_both_happen(self, bucket: DiskBucket) -> None:
        """Of a Complete and an abort at once one succeeds; the object says which."""
        for _ in range(10):
            multipart_id = await create(bucket, "key")
            part = await upload(bucket, "key", multipart_id, 1, b"data")

            outcomes = await asyncio.gather(
                bucket.complete_multipart("key", multipart_id, [part]),
                bucket.abort_multipart("key", multipart_id),
                return_exceptions=True,
            )

            assert [type(outcome) for outcome in outcomes if outcome] == [MultipartMissing]
            assert await is_missing(bucket, "key") == (outcomes[1] is None)
            await bucket.delete(["key"])


class TestMultipart:
    """What only this bucket checks."""

    @pytest.mark.parametrize("multipart_id", ["", "..", "../tmp", "0" * 31, "G" * 32, "0" * 33])
    async def test_ids_are_checked_before_the_disk_is(
        self, bucket: DiskBucket, multipart_id: str
    ) -> None:
        """An id that was never ours is unknown."""
        with pytest.raises(MultipartMissing):
            await bucket.list_parts("key", multipart_id)
        with pytest.raises(MultipartMissing):
            await bucket.abort_multipart("key", multipart_id)

    async def test_an_id_belongs_to_its_key(self, bucket: DiskBucket) -> None:
        """With another key it is unknown."""
        multipart_id = await create(bucket, "key")

        for key in ("other", "key/x"):
            with pytest.raises(MultipartMissing):
                await upload(bucket, key, multipart_id, 1, b"x")
            with pytest.raises(MultipartMissing):
                await bucket.abort_multipart(key, multipart_id)
        assert await bucket.list_parts("key", multipart_id) == []

    async def test_complete_wants_parts_in_ascending_order(self, bucket: DiskBucket) -> None:
        """None, twice the same, and descending are refused; so is another checksum."""
        multipart_id = await create(bucket, "key")
        one = await upload(bucket, "key", multipart_id, 1, random_bytes(5 * MIB))
        two = await upload(bucket, "key", multipart_id, 2, random_bytes(5 * MIB, 2))
        other = replace(one, checksum=two.checksum)

        for parts in ([], [one, one], [two, one], [other, two]):
            with pytest.raises(PartsRefused):
                await bucket.complete_multipart("key", multipart_id, parts)
        await bucket.complete_multipart("key", multipart_id, [replace(one, checksum=None), two])

    async def test_the_limits_hold(self, folder: Path) -> None:
        """Part numbers, sizes and the algorithm are those that were agreed on."""
        bucket = DiskBucket(folder, limits=Limits(min_part=10, max_part=20, max_parts=5))
        await bucket.start()
        multipart_id = await create(bucket, "key")

        for number, data in ((0, b"x"), (6, b"x"), (1, b"x" * 21)):
            with pytest.raises(StoreError):
                await upload(bucket, "key", multipart_id, number, data)
        with pytest.raises(StoreError, match="CRC64NVME"):
            await bucket.upload_part("key", multipart_id, 1, BytesContent(b"x", "MD5"))
        with pytest.raises(StoreError, match="unknown"):
            await bucket.create_multipart("key", headers=HEADERS, checksum="SHA3")

        assert await bucket.list_parts("key", multipart_id) == []
        await bucket.close()

    @pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32C", "CRC32", "MD5"])
    async def test_every_algorithm_is_kept(self, folder: Path, algorithm: str) -> None:
        """Parts are listed with the checksum they were sent with."""
        bucket = DiskBucket(folder, checksum=algorithm)
        await bucket.start()
        multipart_id = await create(bucket, "key")

        part = await upload(bucket, "key", multipart_id, 1, b"data")

        assert bucket.features.checksum == algorithm
        assert part.checksum == content(bucket, b"data").checksum
        assert await bucket.list_parts("key", multipart_id) == [part]
        await bucket.close()

    @pytest.mark.parametrize("kernel", ["copies", "refuses", "cannot"])
    def test_bytes_are_copied_with_and_without_the_kernels_help(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
    ) -> None:
        """Where `copy_file_range` is missing, or does not work between files, nothing differs."""

        def refuse(*_args: object, **_kwargs: object) -> int:
            raise OSError(errno.EXDEV, "another file system")

        if kernel == "cannot":
            monkeypatch.delattr(os, "copy_file_range")
        elif kernel == "refuses":
            monkeypatch.setattr(os, "copy_file_range", refuse)
        data = random_bytes(2 * MIB + 5)
        (tmp_path / "source").write_bytes(data)
        source = os.open(tmp_path / "source", os.O_RDONLY)
        target = Temporary(tmp_path / "target")
        target.append([b"before"])

        target.append_from(source, at=3, count=2 * MIB)
        with pytest.raises(OSError, match="shorter"):
            target.append_from(source, at=2 * MIB, count=6)
        target.release()
        os.close(source)

        assert (tmp_path / "target").read_bytes()[: 2 * MIB + 6] == b"before" + data[3:][: 2 * MIB]


class TestCopy(CopySuite):
    """Parts that are copied from objects."""

    @pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 4), (-1, 2), (0, 11), (10, 11)])
    async def test_a_range_that_is_not_there_is_refused(
        self, bucket: DiskBucket, folder: Path, start: int, end: int
    ) -> None:
        """A copy is all of the range or nothing."""
        etag = await put(bucket, "source", b"0123456789")
        multipart_id = await create(bucket, "key")

        with pytest.raises(CopyRefused):
            await bucket.copy_part(
                "key", multipart_id, 1, "source", start=start, end=end, source_etag=etag
            )

        assert await bucket.list_parts("key", multipart_id) == []
        assert files(folder, "tmp") == []

    def test_a_source_that_shrinks_is_not_copied(self, tmp_path: Path) -> None:
        """A copy that is cut short is an error, not a short part."""
        (tmp_path / "source").write_bytes(b"short")
        source, target = OpenFile(), Temporary(tmp_path / "target")
        source.adopt(os.open(tmp_path / "source", os.O_RDONLY))

        with pytest.raises(OSError, match="shorter"):
            copy_with_digest(source, target, Digest("CRC32"), 0, 6)

        source.close()
        target.discard()


class TestStart:
    """Which folders are refused, and when a folder is not what it was."""

    async def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        """The message names the folder."""
        (tmp_path / "file").write_bytes(b"")
        bucket = DiskBucket(tmp_path / "file")

        with pytest.raises(ConfigError, match=r"file' cannot be used as a bucket"):
            await bucket.start()

    async def test_a_folder_that_cannot_be_written(self) -> None:
        """Not even root can make files in /proc."""
        bucket = DiskBucket(Path("/proc/tusd-s3"))

        with pytest.raises(ConfigError, match="cannot be used"):
            await bucket.start()

    def test_an_unknown_algorithm_is_refused(self, tmp_path: Path) -> None:
        """Settings that cannot work are found when they are made."""
        with pytest.raises(ConfigError, match="SHA3"):
            DiskBucket(tmp_path, checksum="SHA3")

    async def test_a_bucket_has_to_be_started(self, tmp_path: Path) -> None:
        """Using it before is a bug of the caller."""
        with pytest.raises(RuntimeError, match="not started"):
            await DiskBucket(tmp_path).head("key")

    async def test_a_bucket_can_be_started_again(self, bucket: DiskBucket) -> None:
        """After closing, and harmlessly twice."""
        await bucket.close()
        await bucket.start()
        await bucket.start()

        await put(bucket, "key", b"x")

        assert await read(bucket, "key") == b"x"

    async def test_a_folder_that_vanished_knows_nothing_about_objects(
        self, bucket: DiskBucket, folder: Path
    ) -> None:
        """With the disk unmounted no upload is "not found": clients would throw it away."""
        await put(bucket, "key", b"x")
        multipart_id = await create(bucket, "key")
        elsewhere = folder.with_name("elsewhere")
        os.rename(folder, elsewhere)  # noqa: PTH104

        for call in (bucket.head("key"), bucket.list_parts("key", multipart_id)):
            with pytest.raises(StoreBusy, match="gone"):
                await call
        with pytest.raises(StoreError):
            await bucket.check()
        os.rename(elsewhere, folder)  # noqa: PTH104
        await bucket.check()

    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (errno.ENOSPC, StoreFull),
            (errno.EDQUOT, StoreFull),
            (errno.EACCES, StoreRefused),
            (errno.EPERM, StoreRefused),
            (errno.EROFS, StoreRefused),
            (errno.EMFILE, StoreBusy),
            (errno.EIO, StoreError),
        ],
    )
    def test_errors_of_the_system_have_a_meaning(
        self, number: int, expected: type[StoreError]
    ) -> None:
        """Each is translated once, and its name is the reason."""
        with pytest.raises(StoreError) as caught, translated("put", "key"):
            raise OSError(number, "words")

        assert type(caught.value) is expected
        assert caught.value.reason == errno.errorcode[number]

    def test_a_full_disk_is_said_to_be_full(self, tmp_path: Path) -> None:
        """A write to a device without room, which the system's own is, is `StoreFull`."""
        file = Temporary(tmp_path / "full")
        file._fd = os.open("/dev/full", os.O_WRONLY)

        with pytest.raises(StoreFull), translated("put", "key"):
            file.append([b"x"])

        file.release()


KEYS = ["a", "b/c", "b/d"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put_absent", "put_match", "delete", "read"]),
        st.sampled_from(KEYS),
        st.binary(max_size=8),
        st.booleans(),
    ),
    max_size=20,
)


@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_any_sequence_agrees_with_a_dict(
    steps: list[tuple[str, str, bytes, bool]],
) -> None:
    """Bytes, headers, versions and listings are those of a plain dictionary."""
    asyncio.run(follow(steps))


async def follow(steps: list[tuple[str, str, bytes, bool]]) -> None:
    """Do the same with a bucket and with a dictionary, and compare after each step."""
    with tempfile.TemporaryDirectory() as folder:
        bucket = DiskBucket(Path(folder))
        await bucket.start()
        model: dict[str, tuple[bytes, ObjectHeaders, str]] = {}
        for action, key, data, has_headers in steps:
            await take(bucket, model, action, key, data, has_headers=has_headers)
            assert await list_keys(bucket) == sorted(model)
        await bucket.close()


async def take(
    bucket: DiskBucket,
    model: dict[str, tuple[bytes, ObjectHeaders, str]],
    action: str,
    key: str,
    data: bytes,
    *,
    has_headers: bool,
) -> None:
    """Take one step with both."""
    known = model.get(key)
    if action == "delete":
        await bucket.delete([key])
        model.pop(key, None)
    elif action == "read":
        if known is None:
            with pytest.raises(ObjectMissing):
                await bucket.head(key)
        else:
            stat = await bucket.head(key)
            assert (await read(bucket, key), stat.headers, stat.etag) == known
    else:
        headers = HEADERS if has_headers else ObjectHeaders()
        match = None
        if action == "put_match":
            match = known[2] if known else '"none"'
        is_allowed = known is None if action == "put_absent" else not (match and known is None)
        writing = bucket.put(
            key,
            content(bucket, data),
            headers=headers,
            if_match=match,
            if_absent=action == "put_absent",
        )
        if is_allowed:
            model[key] = (data, headers, await writing)
        else:
            with pytest.raises(ConditionFailed):
                await writing
