"""The client packages of clients/, made ready to use in the build folder: their generated code, what npm installs,
what go builds. Each is made once for its inputs; tests that run beside each other may ask at the same time."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import harness

CLIENTS = harness.SOURCE / "clients"
PROTOS = harness.SOURCE / "protos"


def made(name, inputs, make):
    """The folder BUILD/NAME-HASH, which make(folder) filled for these input files."""
    digest = hashlib.sha256()
    for path in sorted(inputs):
        digest.update(str(path.relative_to(harness.SOURCE)).encode() + b"\0" + path.read_bytes() + b"\0")
    folder = harness.BUILD / f"{name}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        fresh = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=harness.BUILD))
        try:
            make(fresh)
            try:
                fresh.rename(folder)
            except OSError:
                assert folder.exists()  # another test was faster
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def run(command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def protos():
    return list(PROTOS.rglob("*.proto"))


def python_path():
    """PYTHONPATH of tao_inference: its sources, and its stubs in the build folder."""
    package = CLIENTS / "python"
    script = package / "make_stubs.py"
    stubs = made("client-python", [script, *protos()], lambda out: run(["/usr/bin/python3", script, out]))
    return [str(package), str(stubs)]


def node_package():
    """A copy of clients/node with what npm installs from its lock file, and the programs of the tests in test/."""
    package, programs = CLIENTS / "node", harness.SOURCE / "tests/e2e/node_client"
    manifest = [package / "package.json", package / "package-lock.json"]
    assert '"resolved"' not in manifest[1].read_text(), "the lock file names a registry"

    def install(out):
        for path in manifest:
            shutil.copy(path, out)
        run(["npm", "ci", "--no-audit", "--no-fund"], cwd=out)

    installed = made("client-node-modules", manifest, install)
    sources = [*package.rglob("*.mjs"), *manifest]

    def copy(out):
        shutil.copytree(PROTOS, out / "protos")
        for path in sources:
            target = out / "clients/node" / path.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        shutil.copytree(programs, out / "clients/node/test")
        (out / "clients/node/node_modules").symlink_to(installed / "node_modules")

    return made("client-node", [*sources, *protos(), *programs.rglob("*.mjs")], copy) / "clients/node"


def go_program():
    """The example of clients/go, built with Debian's packages."""
    script = CLIENTS / "go/build.sh"
    inputs = [script, CLIENTS / "go/main.go", PROTOS / "tao/inference/v1/inference.proto"]
    # The cache of the Go compiler is worth keeping for the next change of these.
    environment = {**os.environ, "GOCACHE": str(harness.BUILD / "go-cache")}
    return made("client-go", inputs, lambda out: run([script, out], env=environment)) / "main"


if __name__ == "__main__":  # before the tests that use them
    for make in (python_path, node_package, go_program):
        print(make())
