"""docs/clients.md, as it stands there: its programs and its curl lines against a daemon, its grpcurl lines against the
messages that they are to be."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from google.protobuf import json_format, message_factory

import client_packages
import harness
from test_code_templates import PICTURE

sys.path[:0] = client_packages.python_path()
from tao_inference import pb  # noqa: E402

TEXT = (harness.SOURCE / "docs/clients.md").read_text()


def block(heading, language):
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.search(rf"^```{language}\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL).group(1)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doc")
    (folder / "photo.png").write_bytes(PICTURE)
    with harness.daemon(folder, "--stop-services-on-exit") as running:
        yield running
    harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


def run(daemon, command, **environment):
    done = subprocess.run(command, cwd=daemon.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=6 * harness.LIMIT,
                          env={**os.environ, "TAO_INFERENCE_SERVER": daemon.grpc, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_did_the_main_job(printed, daemon):
    """A test's eye on what the two programs print; both say the same."""
    lines = printed.splitlines()
    assert any(line.startswith("PHASE_READY") for line in lines)
    answers = [line for line in lines if line.startswith('prompt "What is this?"')]
    assert len(answers) == 2 and all("image/png" in answer for answer in answers), lines
    assert "temperature=0.2" in answers[0] and "temperature=0.7" in answers[1]
    refused = lines[-1] if lines[-1].startswith("refused") else " ".join(lines[lines.index("refused: ["):])
    assert all(name in refused for name in ("top_p", "temperature", "seed")) and "max_tokens" not in refused
    assert daemon.services() == []


def test_python(daemon):
    printed = run(daemon, ["/usr/bin/python3", "-c", block("Python", "python")],
                  PYTHONPATH=":".join(client_packages.python_path()))
    assert_did_the_main_job(printed, daemon)
    assert "max_tokens" in printed and "Greatest number of tokens" in printed


def test_node(daemon):
    package = client_packages.node_package()
    program = block("Node.js", "js").replace('"photo.png"', json.dumps(str(daemon.folder / "photo.png")))
    printed = subprocess.run(["node", "--input-type=module", "-e", program], cwd=package, capture_output=True, text=True,
                             timeout=6 * harness.LIMIT, env={**os.environ, "TAO_INFERENCE_SERVER": daemon.grpc})
    assert printed.returncode == 0, printed.stdout + printed.stderr
    assert_did_the_main_job(printed.stdout, daemon)


def test_curl(daemon):
    job_id = daemon.start("tao-dataservices")
    lines = block("curl", "sh")
    assert "URL=http://127.0.0.1:8000\n" in lines
    lines = lines.replace("URL=http://127.0.0.1:8000\n", f"URL={daemon.gateway}\n")
    printed = run(daemon, ["bash", "-euc", lines], JOB_ID=job_id)
    assert printed.count('prompt \\"Say hello\\"') == 5 and printed.count('prompt \\"What is this?\\"') == 1
    assert '"job_id"' in printed and "image/png" in printed and "data: [DONE]" in printed and "max_tokens" in printed
    daemon.cli("stop", job_id)


def test_grpcurl():
    """Each names a method that there is, and its JSON is the method's request."""
    lines = block("grpcurl", "sh").replace("\\\n", "").replace("$SERVER", "SERVER")
    calls = [shlex.split(call) for call in re.split(r"^grpcurl ", lines, flags=re.MULTILINE)[1:]]
    assert len(calls) == 5
    service = pb.DESCRIPTOR.services_by_name["InferenceService"]
    for plaintext, flag, request, server, method in calls:
        assert (plaintext, flag, server) == ("-plaintext", "-d", "SERVER")
        name, called = method.split("/")
        assert name == service.full_name
        message = message_factory.MessageFactory().GetPrototype(service.methods_by_name[called].input_type)
        assert json_format.Parse(request, message()).ByteSize() > 0
