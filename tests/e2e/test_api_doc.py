"""The Python of docs/api.md, as it stands there, against a daemon: stubs with its command, then the program."""

import os
import re
import subprocess

import harness


def block(text, language, containing):
    for found in re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        if containing in found:
            return found
    raise AssertionError(f"docs/api.md has no block with {containing}")


def test_python_example_does_the_main_job(daemon, folder):
    text = (harness.SOURCE / "docs/api.md").read_text()
    work = folder / "example"
    work.mkdir()
    (work / "protos").symlink_to(harness.SOURCE / "protos")
    subprocess.run(["bash", "-c", block(text, "", "--grpc_python_out")], cwd=work, check=True)
    (work / "example.py").write_text(block(text, "python", "InferenceServiceStub"))
    done = subprocess.run(["/usr/bin/python3", "example.py", daemon.grpc], cwd=work, capture_output=True,
                          text=True, timeout=3 * harness.LIMIT, env={**os.environ, "PYTHONPATH": "stubs"})
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("PHASE_READY") for line in lines), lines
    assert "hello" in lines[-2]
    assert lines[-1] == "StatusCode.NOT_FOUND SERVICE_NOT_FOUND"
    assert daemon.services() == []
