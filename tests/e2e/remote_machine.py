"""Another host for the tests: a network namespace with addresses of its own and a real sshd, so that what it publishes
on its loopback is reached by a tunnel and by nothing else."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import threading

import harness

PROGRAMS = ("sshd", "ssh-keygen", "ip", "nsenter", "unshare", "dockerd")
CLONE_NEWNET = 0x40000000


def lacking(whose):
    """Why there can be none here, for `whose` tests; or None."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        return f"{whose} tests need {' '.join(missing)} (scripts/deps.sh)"
    return None if os.geteuid() == 0 else "only root can make the network of another host"


class Machine:
    """Another host. Its programs end with it."""

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
