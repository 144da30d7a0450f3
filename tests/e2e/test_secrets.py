"""Secret values are planted in the daemon's environment, and found nowhere: in no helper program's command line, no
file, no output, no error, whatever goes wrong. The services that are to have them have them."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import re
import secrets
import threading

import grpc
import pytest
import yaml

import docker_engine as engines
import harness

ARCH = "tao-dataservices"
HANDLING = yaml.safe_load((harness.SOURCE / "references/service.yaml").read_text())["secrets_handling"]
# Nobody classified these; they stand in the environments of daemons all the same.
UNRELATED = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "GOOGLE_API_KEY"]


class Planted:
    """A value for each name, with characters that every way of quoting changes. What is looked for is the middle of
    each: plain letters, which stay as they are in JSON, shell, URL and the half of a value that was cut."""

    def __init__(self, plain=False):
        self.cores = {name: "planted" + secrets.token_hex(12)
                      for name in [*HANDLING["passed_on"], *HANDLING["own"], *UNRELATED]}
        self.values = {name: f"x\"y'\\{core}/+= %24$(id)ü" for name, core in self.cores.items()}
        self.values["HF_TOKEN"] = f"hf_{self.cores['HF_TOKEN']}"  # one as they are issued
        if plain:
            self.values = {name: f"key-{core}" for name, core in self.cores.items()}
        self.marks = [(name, mark) for name, core in self.cores.items() for mark in self._encodings(core)]

    @staticmethod
    def _encodings(core):
        plain = core.encode()
        yield plain
        yield plain.hex().encode()
        for shift in range(3):  # base64 of any text around it
            text = base64.b64encode(b"\0" * shift + plain)
            yield text[4:-4]

    def found_in(self, data):
        data = data if isinstance(data, bytes) else data.encode(errors="surrogateescape")
        return sorted({name for name, mark in self.marks if mark in data})

    def assert_absent(self, data, where):
        assert not self.found_in(data), f"{self.found_in(data)} in {where}"


@pytest.fixture
def planted():
    return Planted()


@contextlib.contextmanager
def watched_command_lines(planted):
    """Fails when a process that runs meanwhile has a planted value in its command line."""
    seen, ended = {}, threading.Event()

    def watch():
        while not ended.is_set():
            for entry in pathlib.Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes()
                    # What a user types is the user's own.
                    if planted.found_in(command) and not command.split(b"\0")[0].endswith(b"/tao-inference"):
                        seen[entry.name] = command
            ended.wait(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert not seen, seen


SHIM = """\
#!/usr/bin/python3
import json, os, sys
with open({record!r}, "a") as record:
    record.write(json.dumps({{"argv": sys.argv, "names": sorted(os.environ)}}) + "\\n")
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""

# A service that tells what it received, by hash, and prints all of it: whole, in two writes, and as a failure.
SERVICE = """\
#!/bin/bash
for name in {names}; do
  [ -n "${{!name}}" ] && printf '%s %s\\n' "$name" "$(printf %s "${{!name}}" | sha256sum)" >> {received}
done
case "$*" in *talkative*)
  env
  printf 'in two %s' "${{HF_TOKEN:0:12}}"; printf '%s\\n' "${{HF_TOKEN:12}}"
  printf 'no line end, %s' "$HF_TOKEN" ;;
esac
case "$*" in
  *talkative-crash*) exit 9 ;;
  *talkative-fail*)
    export REFERENCE_BACKEND_LOADING_MODEL_MS=50 REFERENCE_BACKEND_FAIL_AT=loading_model
    export REFERENCE_BACKEND_FAIL_MESSAGE="401 for token $HF_TOKEN and key $WANDB_API_KEY" ;;
esac
exec -a python {reference_backend} "$@"
"""

# In place of tao-process-parent: one that fails, and says far too much.
BROKEN_PARENT = """\
#!/bin/bash
echo "cannot go on; environment: $(env)" >&2
exit 77
"""


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


class Watched:
    """A daemon with planted secrets, a recording shim before each helper program, and all output kept."""

    def __init__(self, folder, planted, *flags, **options):
        self.planted = planted
        self.record = folder / "record.jsonl"
        self.received = folder / "received"
        self.output = []
        programs = folder / "programs"
        if not programs.exists():
            programs.mkdir()
            write_program(programs / "python", SERVICE.format(
                names=" ".join(planted.values), received=self.received,
                reference_backend=harness.BIN / "reference-backend"))
            write_program(folder / "parent", SHIM.format(record=str(self.record),
                                                         real=str(harness.BIN / "tao-process-parent")))
        self.daemon = harness.Daemon(folder, "--log-level=debug", f"--process-parent={folder / 'parent'}",
                                     *flags, env=planted.values, programs=programs, **options)

    def cli(self, *arguments):
        done = self.daemon.cli(*arguments, check=False)
        self.output += [done.stdout, done.stderr]
        return done

    def start(self, model, *flags):
        return self.cli("--json", "start", "--network-arch", ARCH, "--platform", "local-process", "--model-path",
                        model, *flags)

    def chat(self, **arguments):
        answer = self.daemon.chat(**arguments)
        self.output += [answer.body, str(answer.headers)]
        return answer

    def check(self):
        """Nothing was found anywhere: all output, and every file but what the services kept for themselves."""
        for text in self.output:
            self.planted.assert_absent(text, text)
        files = [path for path in self.daemon.folder.rglob("*") if path.is_file()]
        assert self.daemon.log in files and self.record in files
        assert any("state" in path.parts for path in files)
        for path in files:
            with contextlib.suppress(FileNotFoundError):  # the temporary file of a write that went on meanwhile
                self.planted.assert_absent(path.read_bytes(), path)

    def calls(self):
        return [json.loads(line) for line in self.record.read_text().splitlines()]


@pytest.fixture(params=["text", "json"])
def watched(folder, planted, request):
    with watched_command_lines(planted):
        running = Watched(folder, planted, f"--log-format={request.param}", "--stop-services-on-exit")
        try:
            yield running
        finally:
            running.daemon.stop()
    running.check()


def test_a_service_has_its_secrets_and_nobody_else(watched):
    """The catalog's passed_on reach it whole; the daemon's own and what nobody classified do not."""
    job_id = json.loads(watched.start("/models/x", "--env", "TAO_LOG_LEVEL=debug").stdout)["job_id"]
    planted = watched.planted
    lines = dict(line.split()[:2] for line in watched.received.read_text().splitlines())
    assert lines == {name: hashlib.sha256(planted.values[name].encode()).hexdigest()
                     for name in HANDLING["passed_on"]}
    (call,) = watched.calls()
    assert set(HANDLING["passed_on"]) <= set(call["names"])
    assert not set(call["names"]) & {*HANDLING["own"], *UNRELATED}
    for stream in (False, True):
        assert watched.chat(model=job_id, stream=stream).status == 200
    for command in (["list"], ["list", "--json"], ["watch", job_id], ["logs", job_id], ["chat", "--accept-defaults", "hello"]):
        assert watched.cli(*command).returncode == 0, command
    assert watched.daemon.http("GET", "/v1/models").status == 200
    watched.check()  # while it runs, too
    assert watched.cli("stop", job_id).returncode == 0


def test_a_service_that_prints_its_secrets_gives_nothing_away(watched):
    """Its log shows ***, in the file and in StreamLogs, however the value was written."""
    job_id = json.loads(watched.start("/models/talkative").stdout)["job_id"]
    shown = watched.cli("logs", job_id, "--tail", "-1").stdout
    for line in ("HF_TOKEN=***", "WANDB_API_KEY=***", "in two ***", "no line end, ***"):
        assert line in shown, shown
    watched.check()
    watched.cli("logs", job_id, "--json")


@pytest.mark.parametrize("model, reason", [("/models/talkative-crash", "exited"),
                                           ("/models/talkative-fail", "model_load")])
def test_a_failure_gives_nothing_away(watched, model, reason):
    """Crash at once, and a container that puts its token into its error: reason and log lines without it."""
    done = watched.start(model)
    assert done.returncode == 3, done.stderr
    service = json.loads(done.stdout)
    assert service["phase"] == "PHASE_FAILED" and service["reason"].startswith(reason), service
    assert "HF_TOKEN=***" in "\n".join(service["last_log_lines"])
    if reason == "model_load":
        assert "401 for token *** and key ***" in service["message"], service["message"]
    for command in (["list", "--json"], ["watch", service["job_id"]], ["logs", service["job_id"]]):
        watched.cli(*command)
    assert watched.chat(model=service["job_id"]).status == 503


def test_a_helper_that_fails_and_prints_its_environment_gives_nothing_away(watched):
    write_program(watched.daemon.folder / "parent", BROKEN_PARENT)
    watched.record.touch()
    done = watched.start("/models/x")
    assert done.returncode == 3 and "cannot go on" in done.stdout + done.stderr, done.stderr


def test_a_secret_in_a_request_is_refused_without_being_repeated(watched):
    """In whatever field, by command line, gRPC and HTTP; nothing is started."""
    watched.record.touch()
    values = watched.planted.values
    token = values["HF_TOKEN"]
    refused = watched.start("/models/x", "--env", f"HF_TOKEN={token}")
    assert refused.returncode == 1 and "export HF_TOKEN=..." in refused.stderr
    assert "NGC_KEY" in watched.start("/models/x", "--env", f"NGC_KEY={values['NGC_KEY']}").stderr
    for name in [*HANDLING["passed_on"], *HANDLING["own"]]:
        for flags in (["--env", f"TAO_LOG_LEVEL={values[name]}"], ["--request-id", f"a{values[name]}"],
                      ["--mount", f"/{values[name]}:/x"]):
            done = watched.start("/models/x", *flags)
            assert done.returncode == 1 and name in done.stderr, (flags, done.stderr)

    pb, stubs = harness.load_stubs()
    body = json.dumps({"model": token, "messages": [{"role": "user", "content": "x"}]}).encode()
    with grpc.insecure_channel(watched.daemon.grpc) as channel:
        api = stubs.InferenceServiceStub(channel)
        good = {"network_arch": ARCH, "platform": "local-process", "model_path": "/models/x"}
        for call, request in (
                *((api.Start, pb.StartRequest(**{**good, field: token}))
                  for field in ("network_arch", "platform", "model_path", "model_key", "request_id", "hf_cache")),
                (api.Start, pb.StartRequest(**good, arch_options={token: "1"})),
                (api.Start, pb.StartRequest(**good, arch_options={"idle-timeout-minutes": token})),
                (api.Start, pb.StartRequest(**good, env={token: "1"})),
                (api.Start, pb.StartRequest(**good, gpu_ids=[token])),
                (api.Resolve, pb.ResolveRequest(model=token)),
                (api.Resolve, pb.ResolveRequest(selector=pb.Selector(job_id=token))),
                (api.Infer, pb.InferRequest(body=body)),
                (api.WatchReadiness, pb.WatchReadinessRequest(job_id=token)),
                (api.StreamLogs, pb.StreamLogsRequest(job_id=token))):
            with pytest.raises(grpc.RpcError) as error:
                answer = call(request, timeout=harness.LIMIT)
                for _ in answer:
                    pass
            watched.output += [error.value.details(), *(
                value if isinstance(value, bytes) else value.encode()
                for _, value in error.value.trailing_metadata() or [])]
    for answer in (watched.chat(model=token), watched.chat(model=values["WANDB_API_KEY"]),
                   watched.chat(headers={"X-TAO-Job-ID": token}),
                   watched.chat(path=f"/archs/{token}/v1/chat/completions")):
        assert answer.status in (400, 404), answer.body
    assert watched.daemon.services() == []


def test_a_daemon_that_adopts_gives_nothing_away(folder, planted):
    """It never handed the secrets out itself, and knows them all the same."""
    with watched_command_lines(planted):
        first = Watched(folder, planted)
        job_id = json.loads(first.start("/models/talkative").stdout)["job_id"]
        first.daemon.kill()
        first.daemon.stop()
        second = Watched(folder, planted, "--stop-services-on-exit")
        try:
            second.daemon.wait_for_phase(job_id, "PHASE_READY")
            assert "HF_TOKEN=***" in second.cli("logs", job_id).stdout
        finally:
            second.daemon.stop()
    first.check()
    second.check()


# local-docker

@pytest.fixture
def talkative_image(engine):
    """The reference backend, after its shell has printed its environment (BASH_ENV is expanded by every shell that
    runs a command line), in containers that end with 7 when asked to load."""
    made = []

    def make(**behaviour):
        name = f"tao-talkative:{engine.tag}-{len(made)}"
        container = engine.docker("create", engine.image(**behaviour), "/bin/bash").stdout.strip()
        engine.docker("commit", "--change", "ENV BASH_ENV=$(export\\ -p\\ >&2)", container, name)
        engine.docker("rm", container)
        made.append(name)
        return name

    yield make
    for name in made:
        engine.docker("rmi", "-f", name, check=False)


def test_containers_have_their_secrets_and_nobody_else(engine, folder, talkative_image):
    """docker's command lines and environment names, the container's command and labels, its log through us, also
    from a daemon that adopted it, and of one that crashed."""
    planted = Planted(plain=True)  # bash prints others escaped, and the text that a container makes of one is its own
    record = folder / "record.jsonl"
    shims = folder / "shims"
    shims.mkdir()
    real = engines.shutil.which("docker")
    write_program(shims / "docker", SHIM.format(record=str(record), real=real))
    images = {"cosmos-rl": talkative_image(), ARCH: talkative_image(CRASH_AFTER_MS=300, CRASH_EXIT_CODE=7,
                                                                    LOADING_MODEL_MS=60000)}
    env = {**planted.values, "PATH": f"{shims}:{os.environ['PATH']}"}
    output = []

    def cli(daemon, *arguments):
        done = daemon.cli(*arguments, check=False)
        output.extend([done.stdout, done.stderr])
        return done

    with watched_command_lines(planted):
        with engines.daemon(engine, folder, "--log-level=debug", images=images, env=env) as first:
            job_id = json.loads(cli(first, "start", "--json", "--network-arch", "cosmos-rl", "--model-path",
                                    "/models/x").stdout)["job_id"]
            seen = engine.inspect(job_id)
            for name in HANDLING["passed_on"]:
                assert f"{name}={planted.values[name]}" in seen["Config"]["Env"], name
            names = {each.split("=")[0] for each in seen["Config"]["Env"]}
            assert not names & {*HANDLING["own"], *UNRELATED}
            for part in (seen["Config"]["Cmd"], seen["Args"], seen["Path"], seen["Config"]["Labels"], seen["Name"]):
                planted.assert_absent(json.dumps(part), part)
            crashed = cli(first, "start", "--json", "--network-arch", ARCH, "--model-path", "/models/x")
            assert crashed.returncode == 3, crashed.stderr
            assert 'HF_TOKEN="***"' in "\n".join(json.loads(crashed.stdout)["last_log_lines"])
            first.kill()
        with engines.daemon(engine, folder, "--log-level=debug", "--stop-services-on-exit", images=images,
                            env=env) as second:
            second.wait_for_phase(job_id, "PHASE_READY")
            assert 'HF_TOKEN="***"' in cli(second, "logs", job_id, "--tail", "-1").stdout
            output.append(second.chat(model=job_id).body)
            cli(second, "list", "--json")
    for text in output:
        planted.assert_absent(text, text)
    calls = [json.loads(line) for line in record.read_text().splitlines()]

    def is_run(call):  # the engine's name comes first
        return "run" in call["argv"][1:4:2]

    assert any(map(is_run, calls))
    for path in folder.rglob("*"):
        if path.is_file():
            planted.assert_absent(path.read_bytes(), path)
    # docker's own environment: the names are there only where they are handed on.
    for call in calls:
        if not is_run(call):
            assert not set(call["names"]) & {*HANDLING["passed_on"], *HANDLING["own"]}, call["argv"][:3]
