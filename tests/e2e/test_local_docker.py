"""The main job on local-docker, with a real Docker engine and containers of the reference backend."""

import concurrent.futures
import json
import os
import signal
import subprocess
import threading

import docker_engine as engines
import harness
from docker_engine import start

SECRETS = {"HF_TOKEN": "hf_planted_0123456789abcdef", "NGC_KEY": "nvapi-planted-0123456789abcdef",
           "AWS_SECRET_ACCESS_KEY": "planted/aws+0123456789abcdef"}


def in_container(engine, job_id, script):
    """What bash says in the container; builtins alone, since the image has no other programs."""
    return engine.docker("exec", job_id, "/bin/bash", "-c", script, check=False)


def test_three_services_at_once(engine, folder):
    """One cosmos-rl and two cosmos-predict2.5, all on 8080 inside: each request reaches the one it means."""
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        rl = start(daemon, "cosmos-rl")
        first = start(daemon, "cosmos-predict2.5")
        second = start(daemon, "cosmos-predict2.5")
        services = {service["job_id"]: service for service in daemon.services()}
        assert len({service["host_port"] for service in services.values()}) == 3
        assert engine.containers(f"network={engine.network}") == {rl, first, second}

        for job_id in services:
            answer = daemon.chat(model=job_id)
            assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id), answer.body
        # The containers say so, too: each has noted one request.
        assert [engine.docker("logs", job_id).stdout.count("POST /v1/chat/completions") +
                engine.docker("logs", job_id).stderr.count("POST /v1/chat/completions")
                for job_id in services] == [1, 1, 1]
        assert daemon.chat(model="cosmos-rl").headers["X-TAO-Job-ID"] == rl
        ambiguous = daemon.chat(headers={"X-TAO-Network-Arch": "cosmos-predict2.5"})
        assert (ambiguous.status, ambiguous.json()["error"]["code"]) == (400, "ambiguous_service")
        assert first in ambiguous.body.decode() and second in ambiguous.body.decode()

        registry = json.loads(daemon.registry.read_text())
        assert registry[rl]["host_url"] == f"http://localhost:{services[rl]['host_port']}"
        for job_id in services:
            daemon.cli("stop", job_id, "--yes")
            assert engine.inspect(job_id) is None
        assert daemon.services() == []
        assert engine.network not in engine.networks()


def test_the_whole_job_by_command_line(engine, folder, tmp_path):
    """Start, list, chat, logs and stop as a user types them; the model folder is mounted read-only."""
    model = tmp_path / "model, with comma"
    model.mkdir()
    (model / "config.json").write_text("weights here")
    cache = tmp_path / "cache"
    cache.mkdir()
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        started = daemon.cli("start", "--network-arch", "tao-dataservices", "--model-path", "/models/x",
                             "--mount", f"{model}:/models/x:ro", "--hf-cache", str(cache),
                             "--env", "WANDB_PROJECT=a project")
        assert "Use this Job ID to send requests or stop the service." in started.stdout
        job_id = next(line for line in started.stdout.splitlines() if line.startswith("Job ID:")).split()[-1]
        assert in_container(engine, job_id, "echo $(</models/x/config.json)").stdout == "weights here\n"
        assert in_container(engine, job_id, "echo x > /models/x/new").returncode != 0
        assert in_container(engine, job_id, "echo $WANDB_PROJECT").stdout == "a project\n"
        assert in_container(engine, job_id, "echo kept > $HF_HOME/weights").returncode == 0
        assert (cache / "weights").read_text() == "kept\n"

        listed = daemon.cli("list").stdout
        assert job_id in listed and "local-docker" in listed and "READY" in listed
        assert "a question" in daemon.cli("chat", "--accept-defaults", "a question").stdout
        assert daemon.cli("logs", job_id).stdout.strip()
        assert daemon.cli("stop", job_id, "--yes").returncode == 0
        assert engine.inspect(job_id) is None
        assert (model / "config.json").exists() and (cache / "weights").exists()


def test_what_the_container_is_made_of(engine, folder):
    """Name, labels, network, one published port on loopback; no restart, no removal behind our back, no GPU."""
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        job_id = start(daemon, "cosmos-rl")
        port = str(daemon.services()[0]["host_port"])
        seen = engine.inspect(job_id)
        assert seen["Name"] == f"/{job_id}"
        assert seen["Config"]["Labels"]["tao-job"] == job_id
        assert seen["Config"]["Labels"]["tao-daemon"]
        assert list(seen["NetworkSettings"]["Networks"]) == [engine.network]
        assert seen["NetworkSettings"]["Ports"]["8080/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": port}]
        host = seen["HostConfig"]
        assert host["Init"] is True and host["ShmSize"] == 16 << 30 and not host["DeviceRequests"]
        assert host["RestartPolicy"]["Name"] in ("", "no") and host["AutoRemove"] is False
        assert seen["Config"]["Entrypoint"] == ["/bin/bash"]
        assert seen["Config"]["Cmd"][0] == "-c" and seen["Config"]["Cmd"][1].startswith("umask 0 && ")
        listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True,
                                   check=True).stdout.split("\n")
        assert [line.split()[3] for line in listening if line] == [f"127.0.0.1:{port}"]


def test_many_at_once(engine, folder):
    """Starts and stops that meet: ports of their own, and the network is there whenever somebody needs it."""
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon, \
            concurrent.futures.ThreadPoolExecutor(6) as pool:
        def stop(job_id):
            daemon.cli("stop", job_id, "--yes")
        first = list(pool.map(lambda _: start(daemon, "cosmos-rl"), range(4)))
        assert len({service["host_port"] for service in daemon.services()}) == 4
        stops = [pool.submit(stop, job_id) for job_id in first]
        second = list(pool.map(lambda _: start(daemon, "cosmos-predict2.5"), range(2)))
        for each in stops:
            each.result()
        assert engine.containers(f"network={engine.network}") == set(second)
        for job_id in second:
            assert daemon.chat(model=job_id).status == 200
        list(pool.map(stop, second))
        assert daemon.services() == [] and engine.network not in engine.networks()


def test_streams_of_containers_that_can_and_that_cannot(engine, folder):
    """One container streams itself, over connections that stay open; the other answers JSON: the same text."""
    images = {"cosmos-rl": engine.image(SSE=1, KEEP_ALIVE=1, SSE_EVENTS=5)}
    with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
        texts = set()
        for job_id in (start(daemon, "cosmos-rl"), start(daemon, "tao-dataservices")):
            for _ in range(3):
                answer = daemon.chat(path=f"/services/{job_id}/v1/chat/completions", stream=True)
                assert answer.headers["Content-Type"].startswith("text/event-stream"), answer.body
                events = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
                assert events.pop() == "[DONE]"
                texts.add("".join(choice["delta"].get("content") or ""
                                  for event in events for choice in json.loads(event)["choices"]))
        assert len(texts) == 1 and "hello" in texts.pop()


def test_logs_are_followed_to_the_end_of_the_service(engine, folder):
    """`logs --follow` shows the past and what comes, and ends with the service."""
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        job_id = start(daemon, "cosmos-rl")
        follower = subprocess.Popen(
            [harness.BIN / "tao-inference", "--server", daemon.grpc, "logs", job_id, "--follow"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            lines = []
            reader = threading.Thread(target=lambda: lines.extend(follower.stdout), daemon=True)
            reader.start()
            assert daemon.chat(model=job_id).status == 200
            harness.wait_for("a line of the request", lambda: any("chat/completions" in line for line in lines))
            daemon.cli("stop", job_id, "--yes")
            assert follower.wait(harness.LIMIT) == 0, follower.stderr.read()
        finally:
            follower.kill()
            follower.communicate()
            reader.join(harness.LIMIT)


def test_secrets_reach_the_container_and_nothing_else(engine, folder):
    """The container gets HF_TOKEN, as environment alone. No other secret, and none in a command or a label."""
    programs = folder / "path"
    programs.mkdir()
    argv, environment = folder / "argv", folder / "environment"
    real = subprocess.run(["which", "docker"], capture_output=True, text=True, check=True).stdout.strip()
    (programs / "docker").write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {argv}\n"
                                     f"[ \"$3\" = run ] || env >> {environment}\nexec {real} \"$@\"\n")
    (programs / "docker").chmod(0o755)
    with engines.daemon(engine, folder, "--stop-services-on-exit",
                        env={**SECRETS, "PATH": f"{programs}:{os.environ['PATH']}"}) as daemon:
        job_id = start(daemon, "cosmos-rl")
        seen = engine.inspect(job_id)
        assert f"HF_TOKEN={SECRETS['HF_TOKEN']}" in seen["Config"]["Env"]
        got = in_container(engine, job_id, "echo $HF_TOKEN; echo $NGC_KEY$AWS_SECRET_ACCESS_KEY").stdout
        assert got == SECRETS["HF_TOKEN"] + "\n\n"
        daemon.cli("logs", job_id)
        daemon.cli("stop", job_id, "--yes")
        shown = json.dumps([seen["Config"]["Cmd"], seen["Config"]["Labels"], seen["Args"], seen["Name"]])
        assert any(f"--host {engine.host} run " in line for line in argv.read_text().splitlines())
    for value in SECRETS.values():
        assert value not in shown and value not in argv.read_text()
    # Nor in the state, the registry file, the log, or what docker inherits for its other commands.
    for path in folder.rglob("*"):
        text = path.read_text(errors="replace") if path.is_file() else ""
        assert SECRETS["HF_TOKEN"] not in text and SECRETS["NGC_KEY"] not in text, path


def test_a_new_daemon_adopts_what_runs(engine, folder):
    """SIGKILL of the daemon: containers run on, and the next daemon has them: same job_id, READY, answering."""
    with engines.daemon(engine, folder) as first:
        jobs = {start(first, "cosmos-rl"), start(first, "cosmos-predict2.5")}
        ports = {service["job_id"]: service["host_port"] for service in first.services()}
        began = {job_id: engine.inspect(job_id)["State"]["StartedAt"] for job_id in jobs}
        first.kill()
    with engines.daemon(engine, folder, "--stop-services-on-exit") as second:
        services = harness.wait_for("both READY", lambda: [
            each for each in [second.services()] if [s["phase"] for s in each] == ["PHASE_READY"] * 2])[0]
        assert {service["job_id"]: service["host_port"] for service in services} == ports
        assert {job_id: engine.inspect(job_id)["State"]["StartedAt"] for job_id in jobs} == began
        for job_id in jobs:
            answer = second.chat(model=job_id)
            assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id)


def test_another_daemons_containers_are_left_alone(engine, folder, tmp_path):
    """Two daemons on one engine and network: neither stop, nor recovery, nor exit of one touches the other's."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with engines.daemon(engine, tmp_path / "other", "--stop-services-on-exit") as other:
        theirs = start(other, "cosmos-rl")
        with engines.daemon(engine, tmp_path / "one") as one:
            ours = start(one, "cosmos-rl")
            assert engine.docker("network", "inspect", engine.network).returncode == 0
            one.kill()
        with engines.daemon(engine, tmp_path / "one", "--stop-services-on-exit") as one:
            harness.wait_for("READY", lambda: [s["phase"] for s in one.services()] == ["PHASE_READY"])
            assert one.cli("stop", theirs, "--yes", check=False).returncode == 0  # nothing of ours: a success
            one.cli("stop", ours, "--yes")
            assert engine.containers(f"network={engine.network}") == {theirs}
        assert other.chat(model=theirs).status == 200
        assert [s["phase"] for s in other.services()] == ["PHASE_READY"]


def test_sigterm_leaves_services_running(engine, folder):
    """SIGTERM without --stop-services-on-exit: the container runs on; the next daemon can stop it."""
    with engines.daemon(engine, folder) as first:
        job_id = start(first, "cosmos-rl")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(harness.LIMIT) == 0
    assert engine.inspect(job_id)["State"]["Running"]
    with engines.daemon(engine, folder) as second:
        second.cli("stop", job_id, "--yes")
        assert engine.inspect(job_id) is None
