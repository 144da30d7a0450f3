"""The registry file is shared with other tools, which know nothing of us: they rewrite it whole, from copies that may
be old, add entries of their own, and break it. Nothing of ours is lost, nothing of theirs touched."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest

import harness

ARCH = "tao-dataservices"


class OtherTool:
    """Reads and writes the file as the tools of the release do: whole, through a temporary file and a rename."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def read(self):
        with contextlib.suppress(FileNotFoundError):
            return json.loads(self.path.read_text())
        return {}

    def write(self, content):
        temporary = self.path.with_name(f"other-tool-{threading.get_ident()}.tmp")
        temporary.write_text(json.dumps(content, indent=2))
        temporary.rename(self.path)

    def change(self, **entries):
        """Sets entries; None removes one."""
        content = {**self.read(), **entries}
        self.write({name: value for name, value in content.items() if value is not None})


def entry(job_id, port, arch="acme-vlm", **more):
    return {"job_id": job_id, "platform": "brev", "network_arch": arch, "host_url": f"http://localhost:{port}",
            "host_port": port, "started_at": "2026-01-02T03:04:05+00:00", **more}


def ids(content):
    return {name for name in content if name != "latest"}


@pytest.fixture
def tool(daemon):
    return OtherTool(daemon.registry)


@pytest.fixture
def foreign_backend(folder):
    """Starts backends as another tool would: (job_id, port) of each. They end with the test."""
    running = []

    def start():
        job_id = str(uuid.uuid4())
        with socket.socket() as probe:  # a port of the kernel's choice, outside of our pool
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        running.append(subprocess.Popen(
            [harness.BIN / "reference-backend", "cosmos_predict", "inference_microservice", "start",
             "--checkpoint-path", "/models/foreign", "--output-dir", "/tmp/out", "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"TAO_API_JOB_ID": job_id}))
        return job_id, port

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait(harness.LIMIT)


def start(daemon, arch=ARCH):
    """A service that is READY, and in the file: the entry is written beside the start, on a disk of its own pace."""
    job_id = daemon.start(arch)
    harness.wait_for("its entry", lambda: job_id in OtherTool(daemon.registry).read())
    return job_id


def service_of(daemon, job_id):
    return next((service for service in daemon.services() if service["job_id"] == job_id), None)


# The file as we write it

def test_the_file_is_what_other_tools_expect(daemon):
    """A JSON object by job_id with "latest", indented by 2, for its owner alone; empty when nothing runs."""
    first = start(daemon)
    second = start(daemon, "cosmos-predict2.5")
    text = daemon.registry.read_text()
    content = json.loads(text)
    assert ids(content) == {first, second} and content["latest"] == second
    # Python's own print of it: no other tool's diff shows more than what changed.
    assert text.rstrip("\n") == json.dumps(content, indent=2)
    listed = service_of(daemon, first)
    assert content[first] == {
        "job_id": first, "platform": "local-process", "network_arch": ARCH, "host_url": listed["host_url"],
        "host_port": listed["host_port"], "started_at": content[first]["started_at"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)", content[first]["started_at"])
    assert daemon.registry.stat().st_mode & 0o777 == 0o600
    daemon.cli("stop", second)
    assert json.loads(daemon.registry.read_text())["latest"] == first
    daemon.cli("stop", first)
    assert json.loads(daemon.registry.read_text()) == {}


# What other tools do to entries of ours

def test_a_stale_copy_loses_nothing_of_ours(daemon, tool):
    """A tool that read the file before our starts, and writes it after them, with an entry of its own."""
    first = start(daemon)
    stale = tool.read()
    second = start(daemon)
    theirs = entry("theirs", 9, extra={"kept": [1, 2.50, "ä"]})
    tool.write({**stale, "theirs": theirs, "latest": "theirs"})
    harness.wait_for("our entry, written back", lambda: ids(tool.read()) == {first, second, "theirs"})
    assert tool.read()["theirs"] == theirs
    assert tool.read()["latest"] == second
    assert {daemon.chat(model=job_id).status for job_id in (first, second)} == {200}


def test_an_entry_that_was_dropped_comes_back_while_its_service_runs(daemon, tool):
    job_id = start(daemon)
    before = tool.read()
    tool.write({})
    harness.wait_for("our entry, written back", lambda: tool.read() == before)
    assert "another tool removed the entry" in daemon.log.read_text()
    assert daemon.chat(model=job_id).status == 200


def test_an_entry_that_was_edited_is_put_right_and_keeps_what_was_added(daemon, tool):
    """Our fields are ours; a field that another tool added stays."""
    job_id = start(daemon)
    ours = tool.read()[job_id]
    tool.change(**{job_id: {**ours, "host_url": "http://localhost:9", "host_port": 9, "network_arch": "cosmos-rl",
                            "note": {"by": "another tool"}}})
    harness.wait_for("our fields", lambda: tool.read()[job_id] == {**ours, "note": {"by": "another tool"}})
    answer = daemon.chat(model=ARCH)
    assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id)
    assert daemon.chat(model="cosmos-rl").status == 404


def test_an_entry_of_a_stopped_service_does_not_come_back(folder):
    """Neither while we run nor over a restart, for a day."""
    tool = OtherTool(folder / "registry.json")
    with harness.daemon(folder) as first:
        job_id = start(first)
        stale = tool.read()
        first.cli("stop", job_id)
        tool.write(stale)
        harness.wait_for("the stale entry, removed", lambda: tool.read() == {})
        assert first.chat(model=ARCH).status == 404
    tool.write(stale)
    with harness.daemon(folder, "--stop-services-on-exit") as second:
        harness.wait_for("the stale entry, removed", lambda: tool.read() == {})
        assert second.services() == []


def test_what_was_done_while_no_daemon_ran_is_put_right(folder, foreign_backend):
    """Our entry dropped, another one added, meanwhile."""
    theirs, port = foreign_backend()
    with harness.daemon(folder) as first:
        ours = start(first)
        tool = OtherTool(first.registry)
        before = tool.read()[ours]
    tool.write({theirs: entry(theirs, port)})
    with harness.daemon(folder, "--stop-services-on-exit") as second:
        harness.wait_for("both entries", lambda: ids(tool.read()) == {ours, theirs})
        assert tool.read()[ours] == before
        second.wait_for_phase(theirs, "PHASE_READY")
        assert second.chat(model=ours).status == 200 and second.chat(model=theirs).status == 200


def test_nothing_is_lost_to_a_tool_that_writes_stale_copies_all_the_time(daemon, tool):
    """While services start and stop, another tool reads, waits and writes, with entries of its own that grow."""
    theirs, ended = {}, threading.Event()

    def write_stale_copies():
        while not ended.is_set():
            stale = {name: value for name, value in tool.read().items() if not name.startswith("theirs-")}
            time.sleep(0.03)  # this is what makes it stale, not a wait for something
            if len(theirs) < 200:
                name = f"theirs-{len(theirs)}"
                theirs[name] = {"job_id": name, "note": "no service"}
            tool.write({**stale, **theirs})

    other = threading.Thread(target=write_stale_copies)
    other.start()
    try:
        kept = [daemon.start(ARCH) for _ in range(4)]
        while len(theirs) < 12:
            daemon.cli("stop", daemon.start("cosmos-predict2.5"))
        daemon.cli("stop", kept.pop())
        assert {daemon.chat(model=job_id).status for job_id in kept} == {200}
    finally:
        ended.set()
        other.join()
    harness.wait_for("every entry", lambda: ids(tool.read()) == {*kept, *theirs})
    assert {name: tool.read()[name] for name in theirs} == theirs
    assert tool.read()["latest"] == kept[-1]


# Entries of other tools

def test_entries_of_other_tools_are_routed_to(daemon, tool, foreign_backend):
    """By job_id and by arch, once they answer; listed as foreign, and let go when the entry goes."""
    job_id, port = foreign_backend()
    ours = start(daemon)
    tool.change(**{job_id: entry(job_id, port)})
    listed = daemon.wait_for_phase(job_id, "PHASE_READY")
    assert listed["foreign"] and (listed["platform"], listed["network_arch"]) == ("brev", "acme-vlm")
    for answer in (daemon.chat(model=job_id), daemon.chat(model="acme-vlm"),
                   daemon.chat(path=f"/services/{job_id}/v1/chat/completions")):
        assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id), answer.body
    assert "acme-vlm" in {model["id"] for model in daemon.http("GET", "/v1/models").json()["data"]}
    assert daemon.chat(model=ours).headers["X-TAO-Job-ID"] == ours

    for change in ({job_id: None}, {job_id: entry(job_id, port)}):
        tool.change(**change)
        gone = change[job_id] is None
        harness.wait_for("the change", lambda: (service_of(daemon, job_id) is None) == gone)
        if not gone:
            daemon.wait_for_phase(job_id, "PHASE_READY")
        assert daemon.chat(model="acme-vlm").status == (404 if gone else 200)


def test_an_entry_that_moved_is_followed(daemon, tool, foreign_backend):
    """Another tool's service that got another port."""
    job_id, port = foreign_backend()
    tool.change(**{job_id: entry(job_id, 9)})  # discard: nobody answers there
    harness.wait_for("the entry", lambda: service_of(daemon, job_id))
    assert daemon.chat(model=job_id).status == 503
    tool.change(**{job_id: entry(job_id, port)})
    daemon.wait_for_phase(job_id, "PHASE_READY")
    assert daemon.chat(model=job_id).status == 200


def test_entries_that_cannot_be_routed_to_are_kept_and_said(daemon, tool):
    """Whatever stands there: it is handed on as it is, and hurts nobody."""
    strange = {
        "no-url": {"job_id": "no-url", "platform": "slurm"},
        "bad-url": entry("bad-url", 9, host_url="ftp://localhost:9"),
        "../../etc": entry("../../etc", 9),
        "another-name": entry("not-its-name", 9),
        "a\nb": entry("a\nb", 9),
        "long": entry("long", 9, host_url="http://localhost:9/" + "x" * 2000),
        "a-list": [1, 2], "a-number": 1e300, "nothing": None, "": {}, "deep": {"a": [[[[[[{}]]]]]]},
        "types": {"job_id": 7, "host_url": ["x"], "host_port": "y", "started_at": 3},
    }
    tool.write(strange)
    job_id = start(daemon)
    harness.wait_for("our entry", lambda: job_id in tool.read())
    content = tool.read()
    assert {name: content[name] for name in strange} == strange
    assert [service["job_id"] for service in daemon.services()] == [job_id]
    said = daemon.log.read_text()
    for name in ("no-url", "bad-url", "another-name"):
        assert re.search(rf"cannot be routed to.*{name}", said), name
    daemon.cli("stop", job_id)
    left = tool.read()
    left.pop("latest")  # names the greatest started_at, whosever it is
    assert left == strange


def test_stop_of_an_entry_that_does_not_allow_it_says_so(daemon, tool, foreign_backend):
    """Its entry has no instance, or no process: nothing is done, and the way is named."""
    job_id, port = foreign_backend()
    for platform in ("brev", "local-process"):
        tool.change(**{job_id: entry(job_id, port, platform=platform)})
        harness.wait_for("the entry", lambda: (service_of(daemon, job_id) or {}).get("platform") == platform)
        refused = daemon.cli("stop", job_id, check=False)
        assert refused.returncode == 1 and "the tool that started it" in refused.stderr
        assert job_id in tool.read()
    daemon.wait_for_phase(job_id, "PHASE_READY")
    assert daemon.chat(model=job_id).status == 200


def test_ports_in_entries_of_other_tools_are_not_taken(daemon, tool):
    """8081 and 8082 are somebody else's as long as the file says so."""
    taken = {f"theirs-{port}": entry(f"theirs-{port}", port, platform="local-docker") for port in (8081, 8082)}
    tool.write(taken)
    harness.wait_for("their entries", lambda: len(daemon.services()) == 2)
    job_id = start(daemon)
    assert service_of(daemon, job_id)["host_port"] > 8082


# A broken file

# All in one step, for the daemon makes anew at once what it sees removed or empty.

def put(path, make):
    """What `make` makes takes the place of the file."""
    made = path.with_name("made-aside")
    make(made)
    os.replace(made, path)


def put_symlink(path):
    target = path.with_name("precious")
    target.write_text('{"precious": {}}')
    put(path, lambda made: made.symlink_to(target))


def put_huge(path):
    put(path, lambda made: (made.touch(), os.truncate(made, 1 << 30)))


def put_folder(path):
    """A folder cannot replace a file, so this is tried until nobody is in between."""
    def made():
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return True
        return False
    harness.wait_for("the folder", made)


def put_fifo(path):
    put(path, os.mkfifo)


def put_bytes(content):
    return lambda path: put(path, lambda made: made.write_bytes(content))


def restored(daemon, job_ids):
    content = OtherTool(daemon.registry).read()
    return ids(content) == set(job_ids)


@pytest.mark.parametrize("damage, is_broken", [
    (lambda path: path.unlink(), False),
    (lambda path: path.write_text(""), False),
    (lambda path: pathlib.Path(f"{path}.lock").unlink(), False),
    (put_bytes(b'{"half": {"job_id": "ha'), True),
    (put_bytes(b"[]"), True),
    (put_bytes(b"\xff\xfe\x00"), True),
    (put_bytes(b"[" * 100000), True),
], ids=["deleted", "truncated", "lock-deleted", "half", "list", "binary", "deep"])
def test_a_broken_file_is_made_anew_and_kept_aside(daemon, damage, is_broken):
    """Requests go on, and what it held is not thrown away."""
    first = start(daemon)
    damage(daemon.registry)
    assert daemon.chat(model=first).status == 200
    second = daemon.start(ARCH)
    harness.wait_for("both entries", lambda: restored(daemon, [first, second]))
    assert len(list(daemon.folder.glob("registry.json.broken-*"))) == is_broken


@pytest.mark.parametrize("damage", [put_symlink, put_huge, put_folder, put_fifo],
                         ids=["symlink", "huge", "folder", "fifo"])
def test_what_is_no_registry_file_is_left_alone(daemon, damage):
    """It is neither followed nor removed nor read for ever; services go on, and when it is gone the file is made."""
    first = start(daemon)
    damage(daemon.registry)
    assert daemon.chat(model=first).status == 200
    second = daemon.start(ARCH)
    assert daemon.chat(model=second).status == 200
    harness.wait_for("the error", lambda: "could not be kept in step" in daemon.log.read_text())
    if damage is put_symlink:
        assert daemon.registry.is_symlink()
        assert daemon.registry.with_name("precious").read_text() == '{"precious": {}}'
    if daemon.registry.is_dir() and not daemon.registry.is_symlink():
        shutil.rmtree(daemon.registry)
    else:
        daemon.registry.unlink()
    harness.wait_for("both entries", lambda: restored(daemon, [first, second]))


def test_a_start_on_what_is_no_registry_file_says_what_to_do(folder):
    target = folder / "precious"
    target.write_text("{}")
    (folder / "registry.json").symlink_to(target)
    with pytest.raises(AssertionError, match="symbolic link.*Remove it, or give the path it points to"):
        harness.Daemon(folder)
    assert target.read_text() == "{}"


def test_a_file_that_may_not_be_read_is_said_and_mended(daemon):
    """As root nothing is unreadable; for others the daemon goes on without the file until it is readable."""
    first = start(daemon)
    daemon.registry.chmod(0)
    second = daemon.start(ARCH)
    assert daemon.chat(model=second).status == 200
    if os.geteuid() != 0:
        harness.wait_for("the error", lambda: "could not be kept in step" in daemon.log.read_text())
        daemon.registry.chmod(0o600)
    harness.wait_for("both entries", lambda: restored(daemon, [first, second]))
    assert daemon.registry.stat().st_mode & 0o777 == 0o600


def test_a_file_with_thousands_of_entries_is_no_trouble(daemon, tool, foreign_backend):
    """Of tools that never clean up: ours are still started, found and written in time."""
    job_id, port = foreign_backend()
    crowd = {f"old-{n}": {"job_id": f"old-{n}", "platform": "slurm", "note": "x" * 100} for n in range(5000)}
    tool.write({**crowd, job_id: entry(job_id, port)})
    daemon.wait_for_phase(job_id, "PHASE_READY")
    ours = daemon.start(ARCH)
    harness.wait_for("our entry", lambda: ours in tool.read())
    assert ids(tool.read()) == {*crowd, job_id, ours}
    assert daemon.chat(model=job_id).status == 200 and daemon.chat(model=ours).status == 200


# Two daemons

def test_two_daemons_share_one_file(folder):
    """Each with its own state directory: each keeps the other's entries, routes to its services, takes none of its
    ports, and stops and forgets only its own."""
    shared = folder / "shared.json"
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    with harness.daemon(folder / "a", "--stop-services-on-exit", registry=shared) as a, \
            harness.daemon(folder / "b", "--stop-services-on-exit", registry=shared) as b:
        of_a, of_b = start(a), start(b, "cosmos-predict2.5")
        assert service_of(a, of_a)["host_port"] != service_of(b, of_b)["host_port"]
        assert ids(OtherTool(shared).read()) == {of_a, of_b}
        for daemon, foreign in ((a, of_b), (b, of_a)):
            assert daemon.wait_for_phase(foreign, "PHASE_READY")["foreign"]
            for job_id in (of_a, of_b):
                assert daemon.chat(model=job_id).headers["X-TAO-Job-ID"] == job_id
            refused = daemon.cli("stop", foreign, check=False)
            assert refused.returncode == 1, refused.stderr

        ended = []  # both start and stop at once

        def churn(daemon, arch):
            for _ in range(3):
                daemon.cli("stop", daemon.start(arch))
            ended.append(daemon)

        threads = [threading.Thread(target=churn, args=each) for each in ((a, ARCH), (b, "cosmos-predict2.5"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ended) == 2
        assert ids(OtherTool(shared).read()) == {of_a, of_b}

        b.cli("stop", of_b)
        harness.wait_for("the entry to go", lambda: service_of(a, of_b) is None)
        assert a.chat(model="cosmos-predict2.5").status == 404
        a.kill()
        assert b.chat(model=of_a).status == 200, "a service runs on without its daemon"
        with harness.daemon(folder / "a", "--stop-services-on-exit", registry=shared) as again:
            again.wait_for_phase(of_a, "PHASE_READY")
            assert not service_of(again, of_a)["foreign"]
        harness.wait_for("the entry to go", lambda: service_of(b, of_a) is None)
    assert OtherTool(shared).read() == {}
