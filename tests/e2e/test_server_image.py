"""The server's own image (docker/Dockerfile), on a base made with debootstrap, run beside containers that it starts."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest

import docker_engine as engines
import harness

# What the Dockerfile would install.
PACKAGES = ("libgrpc++1.51,libprotobuf32,libabsl20220623,libyaml-cpp0.7,libcurl4,libspdlog1.10,libsimdjson14,"
            "ca-certificates,docker.io,openssh-client")


def _mirror():
    """Where this machine's apt has Debian 12 from."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
                            capture_output=True, text=True, check=True).stdout.split("\n")
    return next(line.split()[0] for line in listed if line.endswith(" bookworm"))


@pytest.fixture(scope="module")
def image(docker_engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server-image")
    base = f"tao-base:{docker_engine.tag}"
    tag = f"tao-inference-server:{docker_engine.tag}"
    environment = {**os.environ, **docker_engine.environment()}
    made = subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm",
                           str(folder / "base"), _mirror()], capture_output=True, text=True, timeout=280)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr
    shutil.rmtree(folder / "base/var/cache/apt/archives", ignore_errors=True)
    with subprocess.Popen(["tar", "-C", str(folder / "base"), "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["docker", "import", "-", base], stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True,
                       timeout=120, env=environment)
    assert tar.returncode == 0
    shutil.rmtree(folder / "base")
    subprocess.run(["cmake", "--install", harness.BUILD, "--prefix", folder / "installed", "--strip"], check=True,
                   stdout=subprocess.DEVNULL)
    built = subprocess.run(
        ["docker", "build", "--network=none", "--file", harness.SOURCE / "docker/Dockerfile", "--tag", tag,
         "--build-arg", f"BASE_IMAGE={base}", folder / "installed"],
        capture_output=True, text=True, timeout=120, env={**environment, "DOCKER_BUILDKIT": "0"})
    assert built.returncode == 0, built.stdout + built.stderr
    yield tag
    docker_engine.docker("rmi", "-f", tag, base, check=False)


class Container:
    """The server in a container; what harness.Daemon offers of its faces, from outside."""

    cli = harness.Daemon.cli
    services = harness.Daemon.services
    http = harness.Daemon.http
    chat = harness.Daemon.chat

    def __init__(self, engine, image, name, *flags, env):
        self.engine = engine
        self.name = name
        socket = engine.host.removeprefix("unix://")
        variables = [word for each in env.items() for word in ("--env", "=".join(each))]
        engine.docker("run", "--detach", "--init", "--name", name, "--network", engine.network,
                      "--publish", "127.0.0.1::8000", "--publish", "127.0.0.1::50051",
                      "--volume", f"{socket}:/var/run/docker.sock", *variables, image,
                      "--reach=network", f"--docker-network={engine.network}", "--gpu-mode=none", "--insecure",
                      "--gateway-listen=0.0.0.0:8000", "--grpc-listen=0.0.0.0:50051", *flags)
        ports = engine.inspect(name)["NetworkSettings"]["Ports"]
        self.gateway = f"http://127.0.0.1:{ports['8000/tcp'][0]['HostPort']}"
        self.grpc = f"127.0.0.1:{ports['50051/tcp'][0]['HostPort']}"
        harness.wait_for("the server's ready line", lambda: " server: ready " in self.log())

    def log(self):
        done = self.engine.docker("logs", self.name)
        return done.stdout + done.stderr


@contextlib.contextmanager
def network(engine):
    """The engine's network, on which containers reach each other."""
    engine.docker("network", "create", engine.network)
    bridge = "br-" + engine.docker("network", "inspect", "--format", "{{.Id}}", engine.network).stdout[:12]
    # An engine of the tests' own makes no rules; a host on which Docker ran before may drop what is forwarded.
    rule = ["FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"]
    ruled = isinstance(engine, engines.OwnEngine) and subprocess.run(["iptables", "-I", *rule]).returncode == 0
    try:
        yield
    finally:
        for container in engine.containers(f"network={engine.network}"):
            engine.docker("rm", "-f", "-v", container, check=False)
        engine.docker("network", "rm", engine.network, check=False)
        if ruled:
            subprocess.run(["iptables", "-D", *rule], check=False)


def test_it_starts_services_beside_itself_and_reaches_them_by_name(engine, image):
    with network(engine):
        backend = engine.image()
        server = Container(engine, image, f"tao-server-{engine.tag}",
                           env={"IMAGE_COSMOS_RL": backend, "IMAGE_COSMOS_PREDICT2_5": backend})
        jobs = {}
        for arch in ("cosmos-rl", "cosmos-predict2.5", "cosmos-predict2.5"):
            done = server.cli("start", "--json", "--platform", "local-docker", "--network-arch", arch,
                              "--model-path", "/models/x")
            service = json.loads(done.stdout)
            assert service["phase"] == "PHASE_READY", service
            assert service["docker_url"] == f"http://{service['job_id']}:8080"
            jobs[service["job_id"]] = arch
        for job_id, arch in jobs.items():
            answer = server.chat(model=job_id)
            assert answer.status == 200, answer.body
            assert (answer.headers["X-TAO-Job-ID"], answer.headers["X-TAO-Network-Arch"]) == (job_id, arch)
        assert server.chat(model="cosmos-predict2.5").json()["error"]["code"] == "ambiguous_service"
        for job_id in jobs:
            server.cli("stop", job_id, "--yes")
        assert engine.containers(f"network={engine.network}") == {server.name}
        engine.docker("stop", "-t", "20", server.name)
        assert engine.inspect(server.name)["State"]["ExitCode"] == 0, server.log()


def test_without_insecure_it_does_not_listen_for_everybody(engine, image):
    done = engine.docker("run", "--rm", image, "--gateway-listen=0.0.0.0:8000", check=False)
    assert done.returncode != 0 and "--insecure" in done.stderr + done.stdout
