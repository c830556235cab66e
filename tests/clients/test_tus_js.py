"""tus-js-client in Node, driven by the scripts in `node/`."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import NODE_FOLDER, Payload
from tests.clients.deployment import Deployment, head, metadata_of, wait_for_offset
from tests.clients.wire import Wire
from tusd_s3.model import KIB, MIB

Payloads = Callable[[int], Payload]
LIMIT_S = 60
HEADS = 3 * KIB  # more than the request heads of one upload take


class Script:
    """A running `scenario.mjs`."""

    def __init__(self, node: str, job: dict[str, Any]) -> None:
        command = [node, str(NODE_FOLDER / "scenario.mjs"), json.dumps(job)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, word: str) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def abort(self) -> str:
        """Let the upload be aborted, and return its URL."""
        self.say("abort")
        assert self._process.stdout is not None
        word, url = self._process.stdout.readline().split()
        assert word == "aborted"
        return url

    def outcome(self) -> dict[str, Any]:
        """Wait for the end and return what the script found."""
        out, err = self._process.communicate(timeout=LIMIT_S)
        assert self._process.returncode == 0, err
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def close(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.communicate()


Run = Callable[..., Script]


@pytest.fixture
def run(node: str) -> Iterator[Run]:
    """Return a function that starts a job; what still runs at the end is killed."""
    with ExitStack() as stack:

        def start(sent: Payload | None = None, source: str = "buffer", **job: Any) -> Script:
            file = {"file": str(sent.path)} if sent else {}
            script = Script(node, {"source": source, **file, **job})
            stack.callback(script.close)
            return script

        yield start


def _methods(outcome: dict[str, Any]) -> list[str]:
    return [request["method"] for request in outcome["requests"]]


def _resumed_at(outcome: dict[str, Any]) -> int:
    """Return where the last PATCH began."""
    offset: int = outcome["requests"][-1]["sentOffset"]
    return offset


def _finished(outcome: dict[str, Any]) -> str:
    """Return the URL of an upload that went well."""
    assert outcome["error"] is None, outcome
    url: str = outcome["url"]
    return url


@pytest.mark.parametrize("size", [1, 2 * MIB, pytest.param(100 * MIB, marks=pytest.mark.slow)])
def test_a_file_arrives_from_the_command_line(
    served: Deployment, payload: Payloads, node: str, size: int
) -> None:
    """The script prints seconds and URL of an upload whose bytes are right."""
    sent = payload(size)

    command = [node, str(NODE_FOLDER / "upload.mjs"), str(sent.path), served.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    assert done.returncode == 0, done.stderr
    seconds, url = done.stdout.split()
    assert float(seconds) > 0
    assert served.digest(url) == sent.digest


@pytest.mark.parametrize("parts_per_chunk", [0.3, 1.4])
def test_chunks_need_not_match_parts(
    served: Deployment, payload: Payloads, run: Run, parts_per_chunk: float
) -> None:
    """Chunks smaller and larger than a part give the same object."""
    sent = payload(int(2.5 * served.part_size) + 11)
    options = {"endpoint": served.url, "chunkSize": int(parts_per_chunk * served.part_size)}

    outcome = run(sent, "file", options=options).outcome()

    assert served.digest(_finished(outcome)) == sent.digest
    assert {request["status"] for request in outcome["requests"]} == {201, 204}


def test_an_empty_file_is_finished_by_its_creation(
    served: Deployment, payload: Payloads, run: Run
) -> None:
    """tus-js-client reports success right after the 201; the empty object exists then."""
    sent = payload(0)

    outcome = run(sent, options={"endpoint": served.url}).outcome()

    assert _methods(outcome) == ["POST"]
    assert served.digest(_finished(outcome)) == sent.digest


def test_metadata_come_back_as_sent(served: Deployment, payload: Payloads, run: Run) -> None:
    """Non-ASCII text and empty values survive, the last one without its trailing space."""
    metadata = {"filename": "Grüße 世界 🐘.txt", "empty": "", "filetype": "text/plain", "last": ""}
    options = {"endpoint": served.url, "metadata": metadata, "addRequestId": True}

    outcome = run(payload(11), options=options).outcome()

    expected = {key: text.encode() for key, text in metadata.items()}
    assert metadata_of(_finished(outcome)) == expected


def test_an_aborted_upload_goes_on_where_it_was(
    served: Deployment, payload: Payloads, run: Run, wire: Wire
) -> None:
    """After `abort()` mid-PATCH, `start()` sends only what the server does not have."""
    sent = payload(int(2.5 * served.part_size))
    abort_at = int(1.6 * served.part_size)
    wire.hold_after(abort_at)

    script = run(sent, "file", options={"endpoint": wire.url})
    assert wire.held.wait(LIMIT_S)
    url = script.abort()
    wire.drop()
    wait_for_offset(url, abort_at - HEADS)
    script.say("start")
    outcome = script.outcome()

    assert abort_at - HEADS <= _resumed_at(outcome) < abort_at
    assert served.digest(_finished(outcome)) == sent.digest


def test_another_process_resumes_after_a_crash(
    served: Deployment, payload: Payloads, run: Run, wire: Wire, tmp_path: Path
) -> None:
    """A second process finds the URL that the killed one stored, and goes on there."""
    sent = payload(int(2.5 * served.part_size))
    kill_at = int(1.6 * served.part_size)
    storage = tmp_path / "urls.json"
    job: dict[str, Any] = {"options": {"endpoint": wire.url}, "storage": str(storage)}
    wire.hold_after(kill_at)
    first = run(sent, "file", **job)
    assert wire.held.wait(LIMIT_S)
    first.close()
    wire.drop()
    (stored,) = json.loads(storage.read_text()).values()
    wait_for_offset(stored["uploadUrl"], kill_at - HEADS)

    outcome = run(sent, "file", **job).outcome()

    assert outcome["found"] == 1
    assert "POST" not in _methods(outcome)
    assert kill_at - HEADS <= _resumed_at(outcome) < kill_at
    assert served.digest(_finished(outcome)) == sent.digest


def test_a_cut_connection_is_bridged_by_retries(
    served: Deployment, payload: Payloads, run: Run, wire: Wire
) -> None:
    """tus-js-client retries by itself and creates no second upload."""
    sent = payload(int(2.5 * served.part_size))
    cut_at = int(1.6 * served.part_size)
    wire.cut_after(cut_at)

    outcome = run(sent, options={"endpoint": wire.url}).outcome()

    assert _methods(outcome).count("POST") == 1
    assert 0 < _resumed_at(outcome) < cut_at
    assert served.digest(_finished(outcome)) == sent.digest


def test_creation_may_bring_the_whole_file(served: Deployment, payload: Payloads, run: Run) -> None:
    """With `uploadDataDuringCreation` one request is enough."""
    sent = payload(2 * MIB + 1)
    options = {"endpoint": served.url, "uploadDataDuringCreation": True}

    outcome = run(sent, options=options).outcome()

    assert _methods(outcome) == ["POST"]
    assert served.digest(_finished(outcome)) == sent.digest


def test_creation_may_bring_the_first_chunk(
    served: Deployment, payload: Payloads, run: Run
) -> None:
    """With `uploadDataDuringCreation` and chunks the POST carries the first one."""
    sent = payload(int(1.5 * served.part_size) + 1)
    chunk_size = int(0.6 * served.part_size)
    options = {"endpoint": served.url, "uploadDataDuringCreation": True, "chunkSize": chunk_size}

    outcome = run(sent, options=options).outcome()

    assert _methods(outcome) == ["POST", "PATCH", "PATCH"]
    assert outcome["requests"][0]["offset"] == chunk_size
    assert served.digest(_finished(outcome)) == sent.digest


def test_a_cut_creation_with_upload_is_begun_again(
    served: Deployment, payload: Payloads, run: Run, wire: Wire
) -> None:
    """A client that never learned its upload's URL creates another one."""
    sent = payload(3 * MIB)
    wire.cut_after(MIB)
    options = {"endpoint": wire.url, "uploadDataDuringCreation": True}

    outcome = run(sent, options=options).outcome()

    assert _methods(outcome) == ["POST", "POST"]
    assert served.digest(_finished(outcome)) == sent.digest


def test_patch_may_travel_as_post(served: Deployment, payload: Payloads, run: Run) -> None:
    """With `overridePatchMethod` only POST and X-HTTP-Method-Override are used."""
    sent = payload(2 * MIB + 3)
    options = {"endpoint": served.url, "overridePatchMethod": True, "chunkSize": MIB}

    outcome = run(sent, options=options).outcome()

    assert [request["override"] for request in outcome["requests"]] == [None, *["PATCH"] * 3]
    assert set(_methods(outcome)) == {"POST"}
    assert served.digest(_finished(outcome)) == sent.digest


@pytest.mark.parametrize("extra", [0, 1], ids=["chunk boundary", "beyond it"])
def test_the_length_may_follow_with_the_last_chunk(
    served: Deployment, payload: Payloads, run: Run, extra: int
) -> None:
    """A stream of unknown length; at a chunk boundary the last PATCH is empty."""
    sent = payload(3 * MIB + extra)
    options = {"endpoint": served.url, "uploadLengthDeferred": True, "chunkSize": MIB}

    outcome = run(sent, "stream", options=options).outcome()

    declared = [request["sentLength"] for request in outcome["requests"]]
    assert declared[-1] == len(sent.data)
    assert set(declared[:-1]) == {None}
    assert served.digest(_finished(outcome)) == sent.digest


def test_a_deferred_empty_stream_becomes_an_empty_object(
    served: Deployment, payload: Payloads, run: Run
) -> None:
    """A deferred upload that ends with 0 bytes is finished by its empty PATCH."""
    sent = payload(0)
    options = {"endpoint": served.url, "uploadLengthDeferred": True}

    outcome = run(sent, "buffer", options=options).outcome()

    assert served.digest(_finished(outcome)) == sent.digest


def test_a_declared_length_may_be_declared_again(
    served: Deployment, payload: Payloads, run: Run, wire: Wire
) -> None:
    """The last PATCH of a deferred upload breaks; the retry repeats its length (AMB-16)."""
    sent = payload(int(1.5 * served.part_size))
    cut_at = int(1.2 * served.part_size)
    wire.cut_after(cut_at)
    options = {"endpoint": wire.url, "uploadLengthDeferred": True}

    outcome = run(sent, options=options).outcome()

    patches = [request for request in outcome["requests"] if request["method"] == "PATCH"]
    assert [patch["sentLength"] for patch in patches] == [len(sent.data)] * len(patches)
    assert len(patches) >= 2
    assert 0 < _resumed_at(outcome) < cut_at
    assert served.digest(_finished(outcome)) == sent.digest


def test_a_running_upload_is_terminated(
    served: Deployment, payload: Payloads, run: Run, wire: Wire
) -> None:
    """`abort(true)` mid-PATCH deletes the upload; tus-js-client insists on a 204."""
    sent = payload(int(1.5 * served.part_size))
    wire.hold_after(served.part_size)

    script = run(sent, options={"endpoint": wire.url})
    assert wire.held.wait(LIMIT_S)
    script.say("terminate")
    outcome = script.outcome()

    status, headers = head(_finished(outcome))
    assert status in {404, 410}
    assert headers["Upload-Offset"] is None


def test_a_finished_upload_is_terminated(served: Deployment, payload: Payloads, run: Run) -> None:
    """`Upload.terminate` deletes a finished upload and its object."""
    sent = payload(2 * MIB)
    url = _finished(run(sent, options={"endpoint": served.url}).outcome())

    run(terminate=url).outcome()

    assert head(url)[0] in {404, 410}


def test_a_finished_upload_is_recognised(served: Deployment, payload: Payloads, run: Run) -> None:
    """Resuming what is complete sends nothing but a HEAD."""
    sent = payload(2 * MIB)
    url = _finished(run(sent, options={"endpoint": served.url}).outcome())

    outcome = run(sent, options={"uploadUrl": url}).outcome()

    assert _methods(outcome) == ["HEAD"]
    assert _finished(outcome) == url


def test_an_unknown_upload_is_begun_again(served: Deployment, payload: Payloads, run: Run) -> None:
    """A URL that the server does not know makes tus-js-client create a new upload."""
    sent = payload(MIB)
    options = {"endpoint": served.url, "uploadUrl": served.url + "0" * 32}

    outcome = run(sent, options=options).outcome()

    assert _methods(outcome) == ["HEAD", "POST", "PATCH"]
    assert served.digest(_finished(outcome)) == sent.digest


def test_an_upload_survives_a_restart(
    mortal: Deployment, payload: Payloads, run: Run, mortal_wire: Wire
) -> None:
    """tus-js-client outlasts a server that is killed mid-PATCH and keeps its upload."""
    sent = payload(2 * mortal.part_size + 3)
    chunk_size = mortal.part_size + MIB
    mortal_wire.hold_after(chunk_size + 2 * MIB)

    script = run(sent, options={"endpoint": mortal_wire.url, "chunkSize": chunk_size})
    assert mortal_wire.held.wait(LIMIT_S)
    mortal.kill()
    mortal.start_again()
    mortal_wire.retarget(mortal.url)
    mortal_wire.drop()
    outcome = script.outcome()

    assert _methods(outcome).count("POST") == 1
    assert chunk_size <= _resumed_at(outcome)
    assert mortal.digest(_finished(outcome)) == sent.digest


def test_parallel_uploads_are_concatenated(served: Deployment, payload: Payloads, run: Run) -> None:
    """With `parallelUploads` the partials become one object."""
    if "concatenation" not in served.extensions:
        pytest.skip("the server does not offer concatenation")
    sent = payload(3 * served.part_size + 1)

    outcome = run(sent, "file", options={"endpoint": served.url, "parallelUploads": 3}).outcome()

    assert served.digest(_finished(outcome)) == sent.digest
