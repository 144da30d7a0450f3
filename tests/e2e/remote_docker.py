"""A Docker engine on another host (remote_machine), as local-docker finds it: by ssh://, with the keys and known hosts
of an ssh configuration of the tests' own."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import crash_cases
import docker_engine
import harness
import remote_machine

HOST = "ssh://far"


def can_run():
    """Why it cannot run here, or None."""
    return remote_machine.lacking("a remote engine's")


class World:
    """`engine` is asked directly by the tests; the daemon, with `environment()`, reaches it as HOST alone. With `shared`
    docker's calls go over one ssh connection, as docs/platforms.md advises; else each opens three of its own."""

    def __init__(self, folder, machine, engine, shared):
        self.shared = shared
        self.folder = pathlib.Path(folder)
        self.machine = machine
        self.engine = engine
        self.known_hosts = self.folder / "known_hosts"
        self.config = self.folder / "ssh_config"
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        # ssh's own home is the user's, whatever HOME says.
        (self.programs / "ssh").write_text(f"#!/bin/bash\nexec {shutil.which('ssh')} -F {self.config} \"$@\"\n")
        (self.programs / "ssh").chmod(0o755)
        self.reset()

    def reset(self):
        key = (self.machine.folder / "host_key.pub").read_text().split()
        self.known_hosts.write_text(f"{self.machine.address} {key[0]} {key[1]}\n")
        self.identity(self.machine.folder / "user_key")

    def identity(self, key):
        self.config.write_text(
            f"Host far\n  Hostname {self.machine.address}\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n" +
            (f"  ControlMaster auto\n  ControlPath {self.folder}/%C\n  ControlPersist 5\n" if self.shared else ""))

    def environment(self, **more):
        return {"DOCKER_HOST": HOST, "DOCKER_CONTEXT": "", "DOCKER_CONFIG": str(self.folder / "docker"),
                "PATH": f"{self.programs}:{os.environ['PATH']}", "SSH_AUTH_SOCK": "", **more}

    def images(self, **behaviour):
        return {f"IMAGE_{key}": self.engine.image(**behaviour) for key in docker_engine.IMAGE_KEYS.values()}


@contextlib.contextmanager
def running(shared=False):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-far-"))
    machine = remote_machine.Machine(folder)
    try:
        with docker_engine.own_engine(machine.enter) as engine:
            machine.start_ssh({"DOCKER_HOST": engine.host, "PATH": os.environ["PATH"]})
            yield World(folder, machine, engine, shared)
            machine.stop_ssh()
    finally:
        machine.close()
        shutil.rmtree(folder)


class RemoteDocker(crash_cases.Driver):
    """The cases that hold for every platform, on local-docker with an engine of another host."""
    platform = "local-docker"
    unreached = ("pull-image",)  # its engine has the images

    def __init__(self, world):
        self.world = world
        self.network = world.engine.network
        self.flags = (f"--docker-network={self.network}",)

    def environment(self, broken):
        behaviour = {"FAIL_AT": "loading_model"} if broken else {}
        return self.world.environment(**self.world.images(**behaviour))

    def jobs(self, folder):
        engine = self.world.engine
        daemon_id = (pathlib.Path(folder) / "state/daemon-id").read_text().strip()
        return {name: engine.inspect(name)["Id"] for name in engine.containers(f"label=tao-daemon={daemon_id}")}

    def leftovers(self, folder):
        networks = [name for name in self.world.engine.networks() if name == self.network]
        return [*self.jobs(folder), *networks, *harness.service_processes(folder)]

    def clear(self, folder):
        engine = self.world.engine
        for name in self.jobs(folder):
            engine.docker("rm", "-f", "-v", name, check=False)
        for network in engine.docker("network", "ls", "-q", "--filter", f"name={self.network}").stdout.split():
            engine.docker("network", "rm", network, check=False)

    # Of the contract.
    def take_away(self, folder, job_id):
        self.world.engine.docker("rm", "-f", "-v", job_id)

    @contextlib.contextmanager
    def unreachable(self):
        self.world.machine.stop_ssh()
        try:
            yield
        finally:
            self.world.machine.start_ssh_again()

    def missing(self):
        return {"DOCKER_HOST": "ssh://no-such-host.invalid"}, (), "engine"
