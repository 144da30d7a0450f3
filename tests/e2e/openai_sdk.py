"""The `openai` packages for Node.js, several versions side by side, as package.json aliases them."""

import fcntl
import json
import os
import shutil
import subprocess

import harness

SOURCES = harness.SOURCE / "tests/e2e/node"
# The major version, and the exact one that the facts are known of.
EXACT = {4: "4.104.0", 5: "5.23.2", 6: "6.49.0", 7: "7.57.0"}


def package(version):
    return "openai" if version == 6 else f"openai-{version}"


def versions():
    """Those that this machine's Node.js can run."""
    major = int(subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])
    return [version for version in EXACT if version < 7 or major >= 20]


def installed():
    """The folder of the packages and of our scripts: installed from the lock file when that changed."""
    folder = harness.BUILD / "e2e-node"
    lock = (SOURCES / "package-lock.json").read_text()
    assert "://" not in lock, "the lock file names a registry"
    names = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    assert {names[package(version)].rpartition("@")[2] for version in EXACT} == set(EXACT.values())
    done_file = folder / "node_modules/installed-lock.json"
    with open(harness.BUILD / "e2e-node.lock", "w") as alone:  # several tests use it
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not done_file.exists() or done_file.read_text() != lock:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCES / name, folder)
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            done_file.write_text(lock)
        for script in SOURCES.glob("*.mjs"):
            fresh = folder / f".{script.name}.{os.getpid()}"
            shutil.copy(script, fresh)
            fresh.rename(folder / script.name)
    return folder
