"""What platform brev runs in, for the tests: a stand-in brev program (fake_brev.py), and behind its instances one
machine with a real sshd and a real Docker engine. The machine is a network namespace with addresses of its own, so
that what it publishes on its loopback is reached by a tunnel and by nothing else."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import docker_engine
import docker_registry
import harness

PROGRAMS = ("sshd", "ssh-keygen", "ip", "nsenter", "unshare", "dockerd")
CLONE_NEWNET = 0x40000000


def can_run():
    """Why it cannot run here, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        return f"brev's tests need {' '.join(missing)} (scripts/deps.sh)"
    return None if os.geteuid() == 0 else "only root can make the network of a brev instance"


class Machine:
    """The host behind every instance. Its programs end with it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        # Lives for as long as we do; the namespace and its half of the cable go with it.
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec cat"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.enter = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]
        subnet = f"10.{200 + os.getpid() // 256 % 50}.{os.getpid() % 256}"
        self.address = f"{subnet}.2"
        cable = f"tao-{os.getpid()}"
        self._run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        self._run("ip", "addr", "add", f"{subnet}.1/30", "dev", cable)
        self._run("ip", "link", "set", cable, "up")
        self._run(*self.enter, "ip", "addr", "add", f"{self.address}/30", "dev", "eth0")
        self._run(*self.enter, "ip", "link", "set", "eth0", "up")
        self.sshd = None

    @staticmethod
    def _run(*command):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=harness.LIMIT)

    def inside(self, function):
        """What `function` returns; the sockets and threads that it makes are the machine's."""
        outcome = []

        def call():
            with open(f"/proc/{self.holder.pid}/ns/net", "rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            outcome.append(function())

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return outcome[0]

    def listens(self, port):
        done = subprocess.run([*self.enter, "ss", "-Hltn", f"sport = :{port}"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True)
        return [line.split()[3] for line in done.stdout.splitlines()]

    def start_ssh(self, environment):
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for key in ("host_key", "user_key"):
            if not (self.folder / key).exists():
                self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key))
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        words = " ".join(f'"{name}={value}"' for name, value in environment.items())
        (self.folder / "sshd_config").write_text(
            f"Port 22\nListenAddress {self.address}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n"
            f"PasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 200\nMaxSessions 100\nUseDNS no\n"
            f"PrintMotd no\nLogLevel ERROR\nSetEnv {words}\n")
        self.start_ssh_again()

    def start_ssh_again(self):
        with open(self.folder / "sshd.log", "ab") as log:
            self.sshd = subprocess.Popen(
                [*self.enter, shutil.which("sshd", path="/usr/sbin:/sbin"), "-D", "-e", "-f",
                 str(self.folder / "sshd_config")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        harness.wait_for("sshd", lambda: self.listens(22))

    def stop_ssh(self):
        """And what came in through it."""
        if self.sshd is None:
            return
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if entry.name.isdigit() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == \
                        self.sshd.pid:
                    os.kill(int(entry.name), signal.SIGKILL)
        self.sshd.terminate()
        self.sshd.wait(harness.LIMIT)
        self.sshd = None

    def close(self):
        self.stop_ssh()
        self.holder.stdin.close()
        self.holder.wait(harness.LIMIT)


class World:
    """brev, as a daemon with `environment()` finds it."""

    def __init__(self, folder, machine, engine):
        self.folder = pathlib.Path(folder)
        self.machine = machine
        self.engine = engine
        self.service = self.folder / "service"
        self.home = self.folder / "home"
        self.programs = self.folder / "bin"
        self.remote = self.folder / "remote-bin"
        for path in (self.service, self.home, self.programs, self.remote):
            path.mkdir()
        (self.programs / "brev").symlink_to(harness.SOURCE / "tests/e2e/fake_brev.py")
        self._recorder(self.programs / "ssh", shutil.which("ssh"), self.folder / "ssh-calls")
        self._recorder(self.remote / "docker", shutil.which("docker"), self.folder / "docker-calls")
        self.network = f"tao-{engine.tag}"

    @staticmethod
    def _recorder(path, program, calls):
        """A program that writes down its arguments before it is the real one."""
        path.write_text("#!/bin/bash\n{ printf '%q ' \"$@\"; echo; } >> "
                        f"{calls}\nexec {program} \"$@\"\n")
        path.chmod(0o755)

    def reset(self):
        """An account without instances, that is logged in."""
        shutil.rmtree(self.service)
        self.service.mkdir()
        for name in ("ssh-calls", "docker-calls"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        (self.service / "ssh-entry").write_text(
            f"  Hostname {self.machine.address}\n  Port 22\n  User root\n"
            f"  IdentityFile {self.machine.folder}/user_key\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n"
            f"  UserKnownHostsFile /dev/null\n  ForwardAgent yes\n  RequestTTY yes\n  ControlMaster auto\n"
            f"  ControlPath {self.home}/%C\n  ControlPersist 10m\n")

    def environment(self):
        return {"HOME": str(self.home), "PATH": f"{self.programs}:{os.environ['PATH']}",
                "FAKE_BREV": str(self.service), "SSH_AUTH_SOCK": ""}

    def set(self, switch, on=True):
        if on:
            (self.service / switch).touch()
        else:
            (self.service / switch).unlink(missing_ok=True)

    def instances(self):
        path = self.service / "instances.json"
        return json.loads(path.read_text()) if path.exists() else []

    def add(self, name, status="RUNNING", **fields):
        running = status == "RUNNING"
        instance = {"name": name, "id": f"id-{name}", "status": status, "build_status": "COMPLETED",
                    "shell_status": "READY" if running else "NOT READY", "health_status": "", "instance_type": "t4",
                    "instance_kind": "vm", "gpu": "T4", **fields}
        self._write([*self.instances(), instance])
        return instance["id"]

    def change(self, name, **fields):
        self._write([{**each, **fields} if each["name"] == name else each for each in self.instances()])

    def _write(self, instances):
        (self.service / "instances.json").write_text(json.dumps(instances))

    def calls(self):
        path = self.service / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def commands(self):
        """The kinds of command that brev was called with."""
        return {call["argv"][0] for call in self.calls()}


@contextlib.contextmanager
def running():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-brev-"))
    machine = Machine(folder)
    try:
        with docker_engine.own_engine(machine.enter) as engine:
            world = World(folder, machine, engine)
            engine.docker("network", "create", world.network)
            machine.start_ssh({"DOCKER_HOST": engine.host, "HOME": str(folder),
                               "PATH": f"{world.remote}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
            world.reset()
            yield world
            machine.stop_ssh()
            for name in engine.containers():
                engine.docker("rm", "-f", "-v", name, check=False)
            engine.docker("network", "rm", world.network, check=False)
    finally:
        machine.close()
        shutil.rmtree(folder)


@contextlib.contextmanager
def registry(world):
    """A registry that the machine's engine reaches."""
    context = docker_registry.running()
    served = world.machine.inside(context.__enter__)
    try:
        yield served
    finally:
        context.__exit__(None, None, None)
