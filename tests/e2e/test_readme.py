"""README.md for somebody who has nothing else: its five commands, from nothing to an answer with an image, and its
programs."""

import os
import re
import signal
import subprocess

import client_packages
import harness
from test_code_templates import PICTURE

README = (harness.SOURCE / "README.md").read_text()


def five_commands():
    block = re.search(r"<!-- five commands: .*? -->\n```\n(.*?)```", README, flags=re.DOTALL).group(1)
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def test_five_commands(folder):
    """As they stand there, one after the other in one shell, in a tree whose build is this one's."""
    commands = five_commands()
    assert len(commands) == 5
    install, build, *run = commands
    # This very build was made so; made again, it would be under the feet of the tests that run beside.
    assert install == "scripts/deps.sh build" and build == "cmake --preset release && cmake --build --preset release"
    assert "cmake --preset \"$1\" && cmake --build --preset \"$1\"" in (harness.SOURCE / "scripts/test.sh").read_text()

    programs = folder / "build/release/bin"
    programs.mkdir(parents=True)
    for name in ("tao-inference", "reference-backend.d"):
        (programs / name).symlink_to(harness.BIN / name)
    # The files that a daemon keeps are this test's, not the user's.
    server = programs / "tao-inference-server"
    server.write_text(f'#!/bin/bash\nexec "{harness.BIN}/tao-inference-server" --registry="{folder}/registry.json" '
                      f'--state-dir="{folder}/state" --stop-services-on-exit "$@"\n')
    server.chmod(0o755)
    (folder / "photo.png").write_bytes(PICTURE)

    # A person waits for the prompt, and then for the daemon's first line; then ends it.
    begin, *rest = run
    assert begin.endswith("&")
    lines = ["set -eu", begin, "trap 'kill %1; wait %1' EXIT",
             "until grep -q 'server: ready' server.log; do kill -0 %1; sleep 0.1; done", *rest]
    with subprocess.Popen(["bash", "-c", "\n".join(lines)], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                          env={name: value for name, value in os.environ.items()
                               if not name.startswith("TAO_INFERENCE")}) as shell:
        try:
            printed, said = shell.communicate(timeout=5 * harness.LIMIT)
        except BaseException:
            os.killpg(shell.pid, signal.SIGKILL)
            raise
    assert shell.returncode == 0, printed + said + (folder / "server.log").read_text()
    answer = next(line for line in printed.splitlines() if line.startswith("prompt "))
    assert 'prompt "What is this?"' in answer and "image/png" in answer and "temperature=0.7" in answer


def test_python(daemon, folder):
    program = re.search(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL).group(1)
    (folder / "photo.png").write_bytes(PICTURE)
    printed = client_packages.run(
        ["/usr/bin/python3", "-c", program], cwd=folder,
        env={**os.environ, "PYTHONPATH": ":".join(client_packages.python_path()), "TAO_INFERENCE_SERVER": daemon.grpc})
    assert 'prompt "What is this?"' in printed and "image/png" in printed and "temperature=0.2" in printed


def test_openai(daemon):
    daemon.start("cosmos-rl")
    program = re.search(r"^```js\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL).group(1)
    assert '"http://127.0.0.1:8000/v1"' in program
    printed = client_packages.run(
        ["node", "--input-type=module", "-e", program.replace("http://127.0.0.1:8000", daemon.gateway)],
        cwd=client_packages.node_package())
    assert 'prompt "What moves?"' in printed and "media video" in printed
