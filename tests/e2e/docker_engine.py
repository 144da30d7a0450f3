"""A real Docker engine for the tests: the one that runs, or Debian's dockerd started by hand in a folder of its
own. Of the second kind nothing is left, whatever becomes of the tests: a guard outlives them and cleans up.

Images of the reference backend are made without a registry (docker/reference-backend/make_image.sh). What a
container does is in its image's environment, so each behaviour is an image of its own: see `Engine.image`."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import harness

START_LIMIT = 60  # seconds; a busy machine, a cold disk
# The image keys of references/service.yaml.
IMAGE_KEYS = {"cosmos-rl": "COSMOS_RL", "cosmos-predict2.5": "COSMOS_PREDICT2_5",
              "tao-dataservices": "TAO_DATASERVICES"}


class Engine:
    """Talks to the engine at `host` (a DOCKER_HOST). The names of what it makes end in `tag`."""

    def __init__(self, host):
        self.host = host
        self.tag = f"e2e-{os.getpid()}-{time.monotonic_ns() % 10**9}"
        self.network = f"tao-{self.tag}"
        self._images = {}

    def environment(self):
        """For a process that is to talk to this engine."""
        return {"DOCKER_HOST": self.host}

    def docker(self, *arguments, check=True):
        done = subprocess.run(["docker", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=START_LIMIT, env={**os.environ, **self.environment()})
        if check and done.returncode != 0:
            raise AssertionError(f"docker {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def answers(self):
        return self.docker("version", "--format", "{{.Server.Version}}", check=False).returncode == 0

    def image(self, **behaviour):
        """The image of a reference backend that behaves so, by the names of its README without the prefix:
        image(LOADING_MODEL_MS=2000), image(SSE=1, KEEP_ALIVE=1), image(CRASH_AFTER_MS=300). Made once."""
        key = tuple(sorted(behaviour.items()))
        if key not in self._images:
            name = f"tao-reference-backend:{self.tag}-{len(self._images)}"
            subprocess.run(
                [harness.SOURCE / "docker/reference-backend/make_image.sh", name,
                 *(f"REFERENCE_BACKEND_{setting}={value}" for setting, value in key)],
                check=True, stdout=subprocess.DEVNULL, timeout=START_LIMIT,
                env={**os.environ, **self.environment(),
                     "REFERENCE_BACKEND_PROGRAM": str(harness.BIN / "reference-backend")})
            self._images[key] = name
        return self._images[key]

    def take_image(self, **behaviour):
        """Such an image as `docker save` writes it; the engine has it no more."""
        name = self.image(**behaviour)
        saved = subprocess.run(["docker", "save", name], stdin=subprocess.DEVNULL, capture_output=True, check=True,
                               timeout=START_LIMIT, env={**os.environ, **self.environment()}).stdout
        self.docker("rmi", name)
        self._images = {key: each for key, each in self._images.items() if each != name}
        return saved

    def remove_images(self):
        if self._images:
            self.docker("rmi", "-f", *self._images.values(), check=False)
            self._images = {}

    def inspect(self, container):
        """What `docker inspect` says, or None when there is no such container."""
        done = self.docker("inspect", "--type", "container", container, check=False)
        if done.returncode != 0:
            assert "no such" in done.stderr.lower(), done.stderr
            return None
        return json.loads(done.stdout)[0]

    def containers(self, *filters):
        """Names of all containers, also of those that do not run, which pass docker's filters."""
        flags = [word for each in filters for word in ("--filter", each)]
        return set(self.docker("ps", "--all", "--format", "{{.Names}}", *flags).stdout.split())

    def networks(self):
        return set(self.docker("network", "ls", "--format", "{{.Name}}").stdout.split())

    def volumes(self):
        return set(self.docker("volume", "ls", "--quiet").stdout.split())

    def holdings(self):
        """Everything that a test could leave behind in the engine."""
        return {"containers": self.containers(), "networks": self.networks(), "volumes": self.volumes()}


    def remove_leftovers(self, before):
        """What a failed test left on our network, and the network."""
        named = self.docker("network", "ls", "--quiet", "--filter", f"name=^{self.network}$").stdout.split()
        for network in named:
            for name in self.containers(f"network={network}") - before["containers"]:
                self.docker("rm", "-f", "-v", name, check=False)
            self.docker("network", "rm", network, check=False)


class OwnEngine(Engine):
    """Debian's dockerd in `folder`. Containers outlive it (--live-restore), as on careful hosts, so that `kill`
    and `start` are an engine that went away and came back."""

    def __init__(self, folder, launcher=()):
        super().__init__(f"unix://{folder}/docker.sock")
        self.launcher = launcher  # what dockerd is executed by, e.g. in a network of its own
        self.folder = pathlib.Path(folder)
        self.process = None
        self.live_restore = True
        vfs = ["--storage-driver=vfs"]
        self.storages = [vfs] if (self.folder / "data/vfs").exists() else [[], vfs]

    def start(self):
        # The containerd of an engine that was killed dies a moment later, and is reaped later still: an engine that
        # starts in between takes it for alive, and waits for it in vain.
        harness.wait_for("the end of the last containerd", lambda: not _processes(self.folder, "containerd"))
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        # Overlay needs a file system below it that can; vfs works anywhere. Images and containers belong to the
        # one it began with.
        for storage in self.storages:
            if self._start(storage):
                self.storages = [storage]
                return
        log = (self.folder / "dockerd.log").read_text(errors="replace")
        raise AssertionError("dockerd did not start:\n" + "\n".join(log.splitlines()[-20:]))

    def _start(self, flags):
        # No default bridge and no rules of its own: an engine beside it, and the host's firewall, are left as
        # they are. A port that is published on loopback goes through docker's own proxy.
        with open(self.folder / "dockerd.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, "dockerd", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec",
                 f"--host={self.host}", f"--pidfile={self.folder}/pid", "--bridge=none", "--iptables=false",
                 "--ip-masq=false", f"--live-restore={str(self.live_restore).lower()}", *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_LIMIT
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.05)
        self.end()
        return False

    def _signal(self, number, limit):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(limit)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def end(self):
        """In order; the containers run on."""
        self._signal(signal.SIGTERM, START_LIMIT)

    def kill(self):
        self._signal(signal.SIGKILL, START_LIMIT)


def clean_up(folder):
    """Ends whatever runs in `folder`'s engine, and removes it; safe to repeat."""
    folder = pathlib.Path(folder)
    if not folder.exists():
        return
    for pid in _processes(folder, "dockerd"):  # of tests that were killed
        _end(pid)
    engine = OwnEngine(folder)
    ids = [entry.name for entry in folder.glob("data/containers/*")]
    bridges = []
    with contextlib.suppress(AssertionError, OSError, subprocess.SubprocessError):
        if (folder / "data").exists():
            engine.start()  # it alone can undo its containers and networks in order
            bridges = engine.docker("network", "ls", "--quiet", "--filter", "driver=bridge").stdout.split()
            for name in engine.containers():
                engine.docker("rm", "-f", "-v", name, check=False)
            engine.docker("network", "prune", "-f")
        engine.end()
    # What is left if it could not: containers by their cgroup, then its own programs, bridges and mounts.
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and any(each in (entry / "cgroup").read_text() for each in ids):
                os.kill(int(entry.name), signal.SIGKILL)
    for pid in _processes(folder):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for bridge in bridges:
        if pathlib.Path(f"/sys/class/net/br-{bridge}").exists():
            subprocess.run(["ip", "link", "delete", f"br-{bridge}"], check=False)
    for _ in range(50):
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        mounts = [mount for mount in mounts if mount.startswith(f"{folder}/")]
        for mount in reversed(mounts):
            subprocess.run(["umount", mount], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
        if not mounts and not folder.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{folder} could not be removed; mounts: {mounts}")


def _processes(folder, program=""):
    """Pids of the processes in whose command line `folder` stands, of `program` alone if it is given."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) not in (os.getpid(), os.getppid()):
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if any(f"{folder}/" in word for word in command) and command[0].endswith(program):
                    found.append(int(entry.name))
    return found


def _end(pid):
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    _wait_gone(pid)


def _wait_gone(pid):
    """Until process `pid` has ended, reaped or not."""
    def ended():
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True
    harness.wait_for(f"the end of process {pid}", ended, START_LIMIT)


@contextlib.contextmanager
def own_engine(launcher=()):
    """An engine of the tests' own, whatever else runs. Root alone can start one."""
    # Short: a socket's path has 107 bytes at most, and the engine makes some below it.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-docker-"))
    # The guard cleans up when it reads the end of its input: at the end of the tests, however they end.
    guard = subprocess.Popen([sys.executable, __file__, str(folder)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    engine = OwnEngine(folder, launcher)
    try:
        engine.start()
        yield engine
    finally:
        engine.end()
        said, _ = guard.communicate(timeout=3 * START_LIMIT)
        assert guard.returncode == 0, said.decode(errors="replace")
        assert not folder.exists()


@contextlib.contextmanager
def any_engine():
    """The engine that DOCKER_HOST, docker's context or the default socket mean, if it answers; else an own one."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    engine = Engine(host)
    if not engine.answers():
        with own_engine() as own:
            yield own
        return
    try:
        yield engine
    finally:
        engine.remove_images()


def can_run():
    """Why there can be no engine here, or None."""
    if os.geteuid() == 0 or Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")).answers():
        return None
    return "no Docker engine answers, and only root can start one"


@contextlib.contextmanager
def daemon(engine, folder, *flags, images=None, env=None, **options):
    """A tao-inference-server whose containers run in `engine`. `images`: network_arch -> image, where it is to be
    another one than the plain reference backend."""
    chosen = {arch: engine.image() for arch in IMAGE_KEYS if arch not in (images or {})}
    chosen.update(images or {})
    with harness.daemon(folder, "--default-platform=local-docker", f"--docker-network={engine.network}", *flags,
                        env={**{f"IMAGE_{IMAGE_KEYS[arch]}": image for arch, image in chosen.items()},
                             **engine.environment(), **(env or {})}, **options) as running:
        yield running


def start(daemon, arch, *flags, model="/models/x"):
    """Starts on the daemon's default platform, waits until it is READY, and gives its job_id."""
    done = daemon.cli("start", "--json", "--network-arch", arch, "--model-path", model, *flags)
    service = json.loads(done.stdout)
    assert service["phase"] == "PHASE_READY", service
    return service["job_id"]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean_up(sys.argv[1])
