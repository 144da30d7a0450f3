#!/usr/bin/python3
"""A stand-in for the brev program, with its quirks as they are in brevdev/brev-cli of 2026-07: it exits with 0 or 1
alone, asks when it is logged out, reads names from a stdin that is no terminal or device, and `exec` runs a command
twice when it fails, starts an instance that is stopped, and prints the instance's name last.

Its service is a folder ($FAKE_BREV): instances.json, calls.jsonl (what it was called with), and switches:
  logged-out          every command asks for a login
  api-down            every command fails
  refuse-create       create fails, as for want of capacity
  slow-boot           how many looks an instance that is made takes to run
  old                 an older version: create has other flags
  ssh-entry           what a stanza of ssh's configuration says beside Host (refresh)"""

import contextlib
import fcntl
import json
import os
import pathlib
import random
import re
import stat
import string
import subprocess
import sys

WORLD = pathlib.Path(os.environ["FAKE_BREV"])
HOME = pathlib.Path(os.environ["HOME"])
NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")
TYPES = [
    {"type": "h100x8", "provider": "p", "cloud": "c", "gpu_name": "H100", "gpu_count": 8, "vram_per_gpu_gb": 80,
     "price_per_hour": 24.0, "stoppable": False, "flex_ports": False, "boot_time_seconds": 600},
    {"type": "l40s", "provider": "p", "cloud": "c", "gpu_name": "L40S", "gpu_count": 1, "vram_per_gpu_gb": 48,
     "price_per_hour": 1.9, "stoppable": True, "flex_ports": True, "boot_time_seconds": 300},
    {"type": "t4", "provider": "p", "cloud": "c", "gpu_name": "T4", "gpu_count": 1, "vram_per_gpu_gb": 16,
     "price_per_hour": 0.5, "stoppable": True, "flex_ports": True, "boot_time_seconds": 200},
]
CREATE_FLAGS = {"--type": True, "--timeout": True, "--detached": False, "--stoppable": False, "--flex-ports": False,
                "--min-disk": True, "--gpu-name": True, "--mode": True}
OLD_CREATE_FLAGS = {"--type": True, "--timeout": True, "--workspace-group-id": True, "--cloud-cred-id": True}


class Failure(Exception):
    pass


def switch(name):
    return (WORLD / name).exists()


@contextlib.contextmanager
def instances():
    """The service's instances, to be changed."""
    path = WORLD / "instances.json"
    with open(WORLD / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = json.loads(path.read_text()) if path.exists() else []
        yield held
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(held))
        fresh.rename(path)


def note_call():
    mode = os.fstat(0).st_mode
    umask = os.umask(0o022)
    os.umask(umask)
    with open(WORLD / "calls.jsonl", "a") as calls:
        calls.write(json.dumps({
            "argv": sys.argv[1:], "stdin": "device" if stat.S_ISCHR(mode) else "other", "umask": umask,
            "environment": sorted(os.environ), "analytics": os.environ.get("BREV_NO_ANALYTICS")}) + "\n")


def names_on_stdin():
    if stat.S_ISCHR(os.fstat(0).st_mode):
        return []
    return sys.stdin.read().split()


def flags_of(arguments, known):
    """(positional arguments, flags)."""
    rest, flags = [], {}
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            rest.append(word)
            continue
        name, _, value = word.partition("=")
        if name not in known:
            raise Failure(f"unknown flag: {name}")
        flags[name] = (value or next(words)) if known[name] else True
    return rest, flags


def found(held, id_or_name):
    fits = [each for each in held if id_or_name in (each["id"], each["name"])]
    if not fits:
        raise Failure(f"instance with id/name {id_or_name} not found")
    if len(fits) > 1:
        raise Failure(f"multiple instances found with id/name {id_or_name}")
    return fits[0]


def time_passes(held):
    """What the service has in hand goes on by one step with each look."""
    for each in list(held):
        left = each.pop("_steps", 0)
        if left > 0:
            each["_steps"] = left - 1
            continue
        if each["status"] in ("DEPLOYING", "STARTING"):
            each.update(status="RUNNING", build_status="COMPLETED", shell_status="READY", health_status="HEALTHY")
        elif each["status"] == "STOPPING":
            each["status"] = "STOPPED"
        elif each["status"] == "DELETING":
            held.remove(each)


def ls(arguments):
    _, flags = flags_of(arguments, {"--json": False, "--all": False})
    with instances() as held:
        time_passes(held)
        shown = [{key: value for key, value in each.items() if not key.startswith("_")} for each in held]
    if "--json" not in flags:
        print("\x1b[36m NAME   STATUS \x1b[0m")
        return
    print(json.dumps({"workspaces": shown or None}, indent=2))


def search(arguments):
    flags_of(arguments, {"--json": False})
    print(json.dumps(TYPES))


def create(arguments):
    known = OLD_CREATE_FLAGS if switch("old") else CREATE_FLAGS
    if "--help" in arguments:
        print("Create a new instance\n\nUsage:\n  brev create [name] [flags]\n\nFlags:")
        for name, value in known.items():
            print(f"      {name}{' string' if value else ''}   text")
        return
    rest, flags = flags_of(arguments, known)
    rest += names_on_stdin()
    if len(rest) != 1 or not NAME.match(rest[0]) or len(rest[0]) > 63:
        raise Failure(f"invalid name: {rest}")
    wanted = flags.get("--type", "").split(",")
    for each in wanted:
        if each not in [row["type"] for row in TYPES]:
            raise Failure(f'instance type "{each}" is not a recognized type')
    if switch("refuse-create"):
        print("creating...", file=sys.stderr)
        raise Failure("could only create 0/1 instances")
    with instances() as held:
        held.append({"name": rest[0], "id": "".join(random.choices(string.ascii_lowercase + string.digits, k=9)),
                     "status": "DEPLOYING", "build_status": "BUILDING", "shell_status": "NOT READY",
                     "health_status": "", "instance_type": wanted[0], "instance_kind": "vm", "gpu": "",
                     "_steps": int((WORLD / "slow-boot").read_text()) if switch("slow-boot") else 0})
    print(rest[0])


def change(arguments, status, allowed=()):
    rest, _ = flags_of(arguments, {"--all": False} if "stop" in allowed else {})
    for name in rest + names_on_stdin():
        with instances() as held:
            found(held, name).update(status=status, shell_status="NOT READY")
        print(name)


def refresh(arguments):
    flags_of(arguments, {})
    folder = HOME / ".brev"
    folder.mkdir(exist_ok=True)
    with instances() as held:
        stanza = (WORLD / "ssh-entry").read_text()
        text = "".join(f"Host {name}\n{stanza}\n" for each in held if each["status"] in ("RUNNING", "UNHEALTHY")
                       for name in (each["name"], each["name"] + "-host"))
        (folder / "ssh_config").write_text(text)
    include = f'Include "{folder}/ssh_config"\n'
    own = HOME / ".ssh/config"
    own.parent.mkdir(exist_ok=True)
    if not own.exists() or include not in own.read_text():
        own.write_text(include + (own.read_text() if own.exists() else ""))


def execute(arguments):
    rest, _ = flags_of(arguments, {})
    *names, command = rest
    names += names_on_stdin()
    for name in names:
        with instances() as held:
            instance = found(held, name)
            if instance["status"] == "STOPPED":
                instance.update(status="RUNNING", shell_status="READY")  # and it is billed again
        refresh([])
        ssh = ["ssh", "-F", HOME / ".brev/ssh_config", name, command]
        code = subprocess.run(ssh, stdin=subprocess.DEVNULL).returncode
        if code != 0:
            print("Connection failed, checking instance status...", file=sys.stderr)
            code = subprocess.run(ssh, stdin=subprocess.DEVNULL).returncode
        if not sys.stdout.isatty():
            print(name)
        if code != 0:
            raise Failure(f"exit status {code}")


COMMANDS = {"ls": ls, "search": search, "create": create, "refresh": refresh, "exec": execute,
            "delete": lambda arguments: change(arguments, "DELETING"),
            "start": lambda arguments: change(arguments, "STARTING"),
            "stop": lambda arguments: change(arguments, "STOPPING", allowed=("stop",))}


def main():
    note_call()
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "--version":
        print("Current version: v0.6.322")
        return 0
    try:
        if command not in COMMANDS:
            raise Failure(f'unknown command "{command}" for "brev"')
        if switch("logged-out") and "--help" not in arguments:
            print("You are currently logged out, would you like to log in? [Y/n]: ", end="")
            raise Failure("EOF" if not sys.stdin.readline() else "login failed")
        if switch("api-down"):
            raise Failure("Get \"https://brevapi.example/api/workspaces\": dial tcp: lookup brevapi.example: no such host")
        COMMANDS[command](arguments)
        return 0
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
