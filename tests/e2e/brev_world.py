"""What platform brev runs in, for the tests: a stand-in brev program (fake_brev.py), and behind its instances one
machine with a real sshd and a real Docker engine. The machine is a network namespace with addresses of its own, so
that what it publishes on its loopback is reached by a tunnel and by nothing else."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

import docker_engine
import docker_registry
import harness
import remote_machine


def can_run():
    """Why it cannot run here, or None."""
    return remote_machine.lacking("brev's")


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
    machine = remote_machine.Machine(folder)
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
