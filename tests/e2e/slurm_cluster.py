"""A real Slurm cluster of one node for the tests: Debian's slurmctld, slurmd and munge behind a real sshd, all on
loopback and in a folder of their own, with two or more GPUs that are links to /dev/null, and a SPANK plugin of ours
in Pyxis' place (tests/support/slurm). Nothing outside of the folder is written.

Whatever becomes of the tests, nothing is left: a guard outlives them and cleans up."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import harness

START_LIMIT = 60  # seconds; a busy machine
# Of the services, by their model path.
BEHAVIOURS = {"/models/broken": {"FAIL_AT": "loading_model"},
              "/models/slow": {"LOADING_MODEL_MS": 3000},
              "/models/brief": {"CRASH_AFTER_MS": 1500, "CRASH_EXIT_CODE": 0}}
PROGRAMS = ("slurmctld", "slurmd", "munged", "sshd", "ssh-keygen", "gcc")
os.environ["PATH"] += ":/usr/sbin:/sbin"


def can_run(accounting=False):
    """Why there can be no cluster here, or None."""
    if os.geteuid() != 0:
        return "only root can start a Slurm cluster"
    needed = PROGRAMS + (("slurmdbd", "mariadbd", "mariadb-install-db") if accounting else ())
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} of Debian's Slurm packages missing (scripts/deps.sh)"
    if not pathlib.Path("/usr/include/slurm/spank.h").exists():
        return "libslurm-dev is missing (scripts/deps.sh)"
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _limit_descriptors():
    # Slurm's daemons close every possible descriptor when they start: minutes, where there is no limit.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


class Cluster:
    def __init__(self, folder, accounting=False, gpus=2, cpus=64, plugin=True, settings=""):
        self.folder = pathlib.Path(folder)
        self.accounting = accounting
        self.gpus, self.cpus, self.plugin, self.settings = gpus, cpus, plugin, settings
        self.processes = {}
        self.ports = {name: free_port() for name in ("ssh", "slurmctld", "slurmd", "slurmdbd")}
        self.host = socket.gethostname().split(".")[0]
        self.programs = self.folder / "programs"  # of every container
        self.results = self.folder / "results"
        self.record = self.folder / "log/container_options"
        self.ssh_config = self.folder / "etc/ssh_config"

    # What a daemon needs to know of it.

    def environment(self, **more):
        return {"SLURM_USER": "root", "SLURM_HOSTNAME": "login", "SLURM_PARTITION": "debug",
                "SLURM_ACCOUNT": "", "SLURM_SSH_CONFIG": str(self.ssh_config), "SLURM_TIME_HOURS": "1",
                "SSH_KEY_PATH": str(self.folder / "etc/id_ed25519"),
                "SLURM_BASE_RESULTS_DIR": str(self.results), "SLURM_CONTAINER_MOUNTS": "", **more}

    # What a person on it would ask.

    def run(self, *command, check=True, stdin=None):
        done = subprocess.run([*map(str, command)], input=stdin, capture_output=True, text=True, timeout=START_LIMIT,
                              env={**os.environ, "SLURM_CONF": str(self.folder / "etc/slurm.conf")})
        if check and done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def jobs(self):
        """Jobs that are not over: id -> (name, state)."""
        rows = (line.split("|") for line in self.run("squeue", "-h", "-o", "%i|%j|%T").stdout.splitlines())
        return {row[0]: (row[1], row[2]) for row in rows}

    def show(self, job):
        return self.run("scontrol", "show", "job", job).stdout

    def submit(self, *options, script="sleep 1000"):
        """A job of somebody else, and its id."""
        return self.run("sbatch", "--parsable", "--output=/dev/null", *options,
                        stdin=f"#!/bin/bash\n{script}\n").stdout.strip()

    def cancel(self, *jobs):
        if jobs:
            self.run("scancel", *jobs, check=False)
        harness.wait_for("the end of jobs", lambda: not set(jobs) & set(self.jobs()), START_LIMIT)

    def cancel_all(self):
        self.cancel(*self.jobs())

    @contextlib.contextmanager
    def in_front_of(self, program, script):
        """On the login host `program` is `script` meanwhile, in which $real is the real one."""
        shim = self.folder / "bin" / program
        shim.write_text(f"#!/bin/bash\nreal={shutil.which(program)}\n{script}\n")
        shim.chmod(0o755)
        try:
            yield
        finally:
            shim.unlink()

    # Its life.

    def start(self):
        for name in ("etc", "run", "state", "spool", "log", "gpu", "munge", "results", "programs", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.credentials = self.folder / "etc/enroot/.credentials"
        self.credentials.parent.mkdir()
        self.credentials.write_text("machine nvcr.io login $oauthtoken password none\n"
                                    "machine authn.nvidia.com login $oauthtoken password none\n")
        self._write_configuration()
        self._start_munged()
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        self._start("slurmd", "slurmd", "-D", "-f", self.folder / "etc/slurm.conf")
        self._wait("slurmd", lambda: self.run("sinfo", "-h", "-o", "%T", check=False).stdout.strip() == "idle")
        self._start_sshd()

    def start_controller(self):
        self._start("slurmctld", "slurmctld", "-D", "-f", self.folder / "etc/slurm.conf")
        self._wait("slurmctld", lambda: self.run("scontrol", "ping", check=False).returncode == 0)

    def stop_controller(self):
        self._end("slurmctld")

    def _start(self, name, *command, env=None):
        with open(self.folder / f"log/{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_limit_descriptors, cwd="/",
                env={**os.environ, "SLURM_CONF": str(self.folder / "etc/slurm.conf"), **(env or {})})

    def _wait(self, name, condition):
        def come():
            if self.processes[name].poll() is not None:
                raise AssertionError(f"{name} ended:\n{self._log_of(name)}")
            return condition()
        try:
            harness.wait_for(name, come, START_LIMIT)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._log_of(name)}") from error

    def _log_of(self, name):
        lines = (self.folder / f"log/{name}.out").read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def _end(self, name):
        process = self.processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self):
        if "slurmctld" in self.processes:
            with contextlib.suppress(AssertionError, subprocess.SubprocessError):
                self.cancel_all()  # slurmd's end would leave them running
        for name in ("sshd", "slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._end(name)

    def _start_munged(self):
        key = self.folder / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        sock = self.folder / "munge/socket"
        self._start("munged", "munged", "--foreground", "--force", "--origin=127.0.0.1", f"--key-file={key}",
                    f"--socket={sock}", f"--pid-file={self.folder}/run/munged.pid",
                    f"--seed-file={self.folder}/munge/seed")
        self._wait("munged", lambda: self.run("munge", "-n", "-S", sock, check=False).returncode == 0)

    def _plugin(self):
        """The stand-in for Pyxis, as plugstack.conf names it."""
        if not self.plugin:
            return ""
        library = self.folder / "etc/container_plugin.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library,
                        harness.SOURCE / "tests/support/slurm/container_plugin.c"], check=True, timeout=START_LIMIT)
        return f"required {library} programs={self.programs} record={self.record}\n"

    def _write_configuration(self):
        f, ports = self.folder, self.ports
        (f / "etc/plugstack.conf").write_text(self._plugin())
        for gpu in range(self.gpus):
            (f / f"gpu/gpu{gpu}").symlink_to("/dev/null")  # a GPU without a file counts as none
        if self.gpus:
            (f / "etc/gres.conf").write_text(f"NodeName=localhost Name=gpu File={f}/gpu/gpu[0-{self.gpus - 1}]\n")
        # Listening on loopback alone means what the host's name resolves to, as slurmctld asks for it.
        only_loopback = ""
        with contextlib.suppress(OSError):
            found = socket.getaddrinfo(self.host, None, socket.AF_INET, flags=socket.AI_ADDRCONFIG)
            if {address[4][0] for address in found} == {"127.0.0.1"}:
                only_loopback = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"
        accounting = ""
        if self.accounting:
            accounting = (f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
                          f"AccountingStoragePort={ports['slurmdbd']}\nAccountingStoragePass={f}/munge/socket\n")
        (f / "etc/slurm.conf").write_text(f"""\
ClusterName=tests
SlurmctldHost={self.host}(127.0.0.1)
SlurmctldPort={ports['slurmctld']}
SlurmdPort={ports['slurmd']}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={f}/munge/socket
StateSaveLocation={f}/state
SlurmdSpoolDir={f}/spool
SlurmctldPidFile={f}/run/slurmctld.pid
SlurmdPidFile={f}/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
PlugStackConfig={f}/etc/plugstack.conf
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=10
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=5
MessageTimeout=10
SlurmctldTimeout=30
SlurmdTimeout=30
{only_loopback}
{accounting}
{'GresTypes=gpu' if self.gpus else ''}
NodeName=localhost NodeHostname={self.host} NodeAddr=127.0.0.1 CPUs={self.cpus} RealMemory=65536 \
{f'Gres=gpu:{self.gpus}' if self.gpus else ''} State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP
PartitionName=short Nodes=localhost MaxTime=30 OverSubscribe=NO State=UP
PartitionName=closed Nodes=localhost MaxTime=INFINITE State=DOWN
{self.settings}
""")

    def _start_accounting(self):
        f = self.folder
        (f / "db").mkdir()
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={f}/db", "--skip-test-db",
                        "--auth-root-authentication-method=socket"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=START_LIMIT)
        sock = f / "run/db.sock"
        self._start("mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={f}/db", f"--socket={sock}",
                    f"--pid-file={f}/run/mariadbd.pid", "--skip-networking", "--innodb-buffer-pool-size=64M",
                    "--innodb-flush-log-at-trx-commit=0")
        sql = ["mariadb", "--no-defaults", f"--socket={sock}", "-e"]
        self._wait("mariadbd", lambda: self.run(*sql, "select 1", check=False).returncode == 0)
        self.run(*sql, "create database slurm_acct_db")
        conf = f / "etc/slurmdbd.conf"
        conf.write_text(f"AuthType=auth/munge\nAuthInfo=socket={f}/munge/socket\nDbdHost={self.host}\n"
                        f"DbdAddr=127.0.0.1\nDbdPort={self.ports['slurmdbd']}\nSlurmUser=root\n"
                        f"PidFile={f}/run/slurmdbd.pid\nStorageType=accounting_storage/mysql\n"
                        f"StorageHost=localhost\nStorageUser=root\nStorageLoc=slurm_acct_db\n")
        conf.chmod(0o600)
        self._start("slurmdbd", "slurmdbd", "-D", env={"MYSQL_UNIX_PORT": str(sock)})
        self._wait("slurmdbd", lambda: self.run("sacctmgr", "-n", "list", "cluster", check=False).returncode == 0)
        self.run("sacctmgr", "-i", "add", "cluster", "tests", check=False)

    def _start_sshd(self):
        f = self.folder
        for name in ("host_key", "id_ed25519", "other_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f / f"etc/{name}"], check=True)
        shutil.copy(f / "etc/id_ed25519.pub", f / "etc/authorized_keys")
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self.start_sshd()
        key = " ".join((f / "etc/host_key.pub").read_text().split()[:2])
        port = self.ports["ssh"]
        (f / "etc/known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
        (f / "etc/no_known_hosts").write_text("")
        self.ssh_config.write_text(
            f"Host login\n  HostName 127.0.0.1\n  Port {port}\n  UserKnownHostsFile {f}/etc/known_hosts\n"
            f"Host stranger\n  HostName 127.0.0.1\n  Port {port}\n  UserKnownHostsFile {f}/etc/no_known_hosts\n"
            f"Host nobody\n  HostName 127.0.0.1\n  Port 1\n"
            f"Host *\n  GlobalKnownHostsFile /dev/null\n  User root\n  ControlPath none\n")

    def start_sshd(self, forwarding="yes"):
        f = self.folder
        (f / "etc/sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.ports['ssh']}\nHostKey {f}/etc/host_key\nPidFile {f}/run/sshd.pid\n"
            f"AuthorizedKeysFile {f}/etc/authorized_keys\nAuthenticationMethods publickey\nStrictModes no\n"
            f"PermitRootLogin prohibit-password\nUsePAM no\nUseDNS no\nMaxStartups 100:30:200\n"
            f"AllowTcpForwarding {forwarding}\nPrintMotd no\n"
            f"SetEnv SLURM_CONF={f}/etc/slurm.conf ENROOT_CONFIG_PATH={f}/etc/enroot PATH={f}/bin:/usr/bin:/bin\n")
        self._start("sshd", shutil.which("sshd"), "-D", "-e", "-f", f / "etc/sshd_config")
        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.ports["ssh"])) == 0
        self._wait("sshd", listens)

    def end_sshd(self):
        """With all connections that it has."""
        self._end("sshd")
        for pid in _processes(self.folder, "sshd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes(folder, program=""):
    """Pids of what runs for the cluster in `folder`: by command line or environment."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
                continue
            command = (entry / "cmdline").read_bytes()
            if program and not re.match(rb"(\S*/)?%s\b" % program.encode(), command):
                continue
            if f"{folder}/".encode() in command + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def clean_up(folder):
    """Ends whatever runs for the cluster in `folder`, and removes it; safe to repeat."""
    for _ in range(100):
        pids = _processes(folder)
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            break
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(**options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-slurm-"))
    guard = subprocess.Popen([sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True)
    running = Cluster(folder, **options)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        guard.communicate(timeout=START_LIMIT)
        assert not folder.exists()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean_up(sys.argv[1])
