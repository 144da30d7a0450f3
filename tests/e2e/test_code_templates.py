"""references/code-templates.yaml and the code_examples of request.yaml: every program in them, as it stands there with
its ${NAME}s filled in, against a daemon. Each must do what it says, and not only end without an error."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import uuid

import pytest
import yaml

import client_packages
import harness

TEMPLATES = yaml.safe_load((harness.SOURCE / "references/code-templates.yaml").read_text())
EXAMPLES = yaml.safe_load((harness.SOURCE / "references/request.yaml").read_text())["code_examples"]
ARCHS = yaml.safe_load((harness.SOURCE / "references/service.yaml").read_text())["valid_network_arch_config_basenames"]
PLATFORMS = ["local-docker", "local-process", "brev", "lepton", "slurm", "kubernetes"]
LANGUAGES = ["python", "node", "curl"]
PROGRAMS = [*LANGUAGES, "cli", "registry_file"]
VIDEO_BYTES = 3 << 10
PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
                        "08d763f8ffff3f0005fe02fedccc59e70000000049454e44ae426082")  # one white pixel
MODELS = {"cosmos-rl": "/models/reason", "cosmos-predict2.5": "hf_model://nvidia/Cosmos-Predict2.5-2B",
          "tao-dataservices": "/models/vlm"}


def programs_of(template):
    return [name for name in template if name in PROGRAMS]


def leaves():
    """(key, template), by the dotted keys of the file."""
    for section in ("job_payload_builder", "registry_write", "request", "stop"):
        for name, template in TEMPLATES[section].items():
            yield f"{section}.{name}", template
    yield "readiness_check", TEMPLATES["readiness_check"]


class World(harness.Daemon):
    """A daemon, and what the ${NAME}s stand for. A program's own values win over these."""

    def __init__(self, folder):
        # cosmos-predict2.5, which has the key on its command line, answers with a video.
        behaviours = {"base-2b": {"REPLY_BYTES": 22 + 4 * VIDEO_BYTES // 3}}
        super().__init__(folder, "--stop-services-on-exit",
                         programs=harness.service_programs(folder / "programs", behaviours))
        self.node = client_packages.node_package()
        self.picture, self.video = folder / "picture.png", folder / "video.mp4"
        self.picture.write_bytes(PICTURE)
        self.values = {
            "SERVER": self.grpc, "GATEWAY": self.gateway, "REGISTRY": self.registry, "PLATFORM": "local-process",
            "MODEL_KEY": "base-2b", "PLATFORM_JOB_ID": "4711", "SLURM_NODE": "node-1", "INSTANCE_ID": "box-1",
            "IMAGE": self.picture, "IMAGE_URL": "http://127.0.0.1:9/picture.png", "OUTPUT": self.video}

    def run(self, program, code, **values):
        """What a program prints. Python and Node.js get it filled in; in a shell the names are variables."""
        values = {**self.values, **values}
        environment = {**os.environ, "PATH": f"{harness.BIN}:{os.environ['PATH']}"}
        if program in ("curl", "cli"):
            environment.update({name: str(value) for name, value in values.items()})
            command = ["bash", "-euc", code]
        else:
            filled = re.sub(r"\$\{([A-Z_]+)\}", lambda name: str(values[name.group(1)]), code)
            command = (["node", "--input-type=module", "-e", filled] if program == "node"
                       else ["/usr/bin/python3", "-c", filled])
            if "tao_inference" in filled:
                environment["PYTHONPATH"] = ":".join(client_packages.python_path())
        done = subprocess.run(command, cwd=self.node, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=4 * harness.LIMIT, env=environment)
        assert done.returncode == 0, f"{program}:\n{code}\n{done.stdout}{done.stderr}"
        return done.stdout

    def entries(self):
        return json.loads(self.registry.read_text()) if self.registry.exists() else {}

    @contextlib.contextmanager
    def service(self, arch):
        more = ["--model-key", "base-2b"] if arch == "cosmos-predict2.5" else []
        job_id = self.start(arch, MODELS[arch], *more)
        yield job_id
        self.cli("stop", job_id)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    running = World(folder)
    try:
        yield running
    finally:
        running.stop()
        harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


def test_the_keys_are_those_of_the_archs_and_platforms():
    assert list(TEMPLATES) == ["job_payload_builder", "registry_write", "readiness_check", "request", "stop"]
    assert list(TEMPLATES["job_payload_builder"]) == ARCHS and sorted(TEMPLATES["registry_write"]) == sorted(PLATFORMS)
    assert list(TEMPLATES["request"]) == ["registry_read"]
    assert list(TEMPLATES["stop"]) == ["registry_read", "registry_cleanup"]
    for key, template in leaves():
        assert template["does"] and {"python", "node"} < set(template) and {"curl", "cli"} & set(template), key
        assert set(template) <= {"does", "payload", *PROGRAMS}, key
    for arch, examples in EXAMPLES.items():
        assert arch in ARCHS and list(examples) == LANGUAGES


@pytest.mark.parametrize("arch", ARCHS)
def test_job_payload_builder(world, arch):
    """Each starts a service, whose container is given the payload."""
    template = TEMPLATES["job_payload_builder"][arch]
    for program in programs_of(template):
        printed = world.run(program, template[program], MODEL_PATH=MODELS[arch])
        job_id = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", printed).group(0)
        service = world.wait_for_phase(job_id, "PHASE_READY")
        assert (service["network_arch"], service["model_path"]) == (arch, MODELS[arch])
        commands = [pathlib.Path(f"/proc/{process.split()[0]}/cmdline").read_bytes().decode()
                    for process in harness.service_processes(world.folder)]
        if "payload" in template:
            payload = template["payload"].replace("${JOB_ID}", job_id).replace("${MODEL_PATH}", MODELS[arch])
            assert any(f"\0--job\0{payload}\0" in command for command in commands), commands
        else:
            assert any("\0--model\0base-2b\0" in command for command in commands), commands
        world.cli("stop", job_id)


@contextlib.contextmanager
def container_of_another_tool(folder, job_id):
    """A reference backend that this daemon did not start; yields its port."""
    job = json.dumps({"job_id": job_id, "specs": {"model_path": "/models/x"}, "neural_network_name": "tao-dataservices"})
    variables = json.dumps({"TAO_EXECUTION_BACKEND": "local-docker", "TAO_API_JOB_ID": job_id, "CLOUD_BASED": "False"})
    log = folder / f"{job_id}.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [harness.BIN / "reference-backend", "python", "-m",
             "nvidia_tao_core.microservices.handlers.huggingface_inference_microservice_server", "--port", "8080",
             "--job", job, "--docker_env_vars", variables],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "REFERENCE_BACKEND_PORT": "0"})
    try:
        yield harness.wait_for("the container's port", lambda: re.search(
            r"Running on http://127\.0\.0\.1:(\d+)", log.read_text())).group(1)
    finally:
        process.terminate()
        process.wait(harness.LIMIT)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_registry_write(world, platform):
    """An entry of another tool: the daemon lists it as that, finds its container READY, and routes to it."""
    template = TEMPLATES["registry_write"][platform]
    for program in ("python", "node"):
        job_id = str(uuid.uuid4())
        with container_of_another_tool(world.folder, job_id) as port:
            values = {"JOB_ID": job_id, "NETWORK_ARCH": "tao-dataservices", "HOST_PORT": port,
                      "HOST_URL": f"http://127.0.0.1:{port}"}
            assert world.run(program, template[program], **values).strip() == values["HOST_URL"]
            model = json.loads(world.run("curl", template["curl"], **values))
            assert (model["id"], model["platform"], model["phase"]) == (job_id, platform, "READY")
            entries = world.entries()
            assert entries["latest"] == job_id and entries[job_id]["started_at"]
            service = next(each for each in world.services() if each["job_id"] == job_id)
            assert service["foreign"] and service["platform"] == platform
            assert "hello" in world.chat(f"/services/{job_id}/v1/chat/completions").body.decode()
            cleanup = TEMPLATES["stop"]["registry_cleanup"]["registry_file"]
            world.run("registry_file", cleanup, JOB_ID=job_id)
            assert job_id not in world.entries()
            harness.wait_for("its end in the list", lambda: job_id not in {each["job_id"] for each in world.services()})


def test_readiness_check_and_request(world):
    """Of a service that runs: when it is READY, and where requests to it go."""
    with world.service("tao-dataservices") as job_id:
        values = {"JOB_ID": job_id, "NETWORK_ARCH": "tao-dataservices"}
        service = next(each for each in world.services() if each["job_id"] == job_id)
        ready = TEMPLATES["readiness_check"]
        for program in ("python", "node"):
            assert world.run(program, ready[program], **values).splitlines()[-1] == service["gateway_url"]
        assert "READY" in world.run("curl", ready["curl"], **values)

        read = TEMPLATES["request"]["registry_read"]
        for program in ("python", "node"):
            assert world.run(program, read[program], **values).split() == [job_id, service["gateway_url"]]
        assert job_id in {model["id"] for model in json.loads(world.run("curl", read["curl"], **values))["data"]}
        found, url = world.run("registry_file", read["registry_file"], **values).split()
        assert found == job_id and "hello" in harness.Http(
            "POST", url, {"messages": [{"role": "user", "content": "hello"}]}).body.decode()

        listed = TEMPLATES["stop"]["registry_read"]
        for program in ("python", "node"):
            assert f"{job_id} tao-dataservices local-process PHASE_READY" in world.run(program, listed[program])
        assert job_id in world.run("curl", listed["curl"])
        assert re.search(rf"^{job_id} tao-dataservices local-process \S+ \(latest\)$",
                         world.run("registry_file", listed["registry_file"]), flags=re.MULTILINE)


def test_stop_registry_cleanup(world):
    """After each the service is gone, from the list and from the file."""
    template = TEMPLATES["stop"]["registry_cleanup"]
    for program in ("python", "node", "cli"):
        job_id = world.start("tao-dataservices")
        assert world.run("curl", template["curl"], JOB_ID=job_id).strip() == "200"
        world.run(program, template[program], JOB_ID=job_id)
        assert job_id not in world.entries() and job_id not in {each["job_id"] for each in world.services()}
        assert world.run("curl", template["curl"], JOB_ID=job_id).strip() == "404"


@pytest.mark.parametrize("arch", ARCHS)
def test_code_examples(world, arch):
    """A request that is right for the arch, in each language, and its answer."""
    with world.service(arch) as job_id:
        for language, code in EXAMPLES[arch].items():
            printed = world.run(language, code, JOB_ID=job_id)
            if arch == "cosmos-predict2.5":
                assert world.video.stat().st_size == VIDEO_BYTES
                world.video.unlink()
            else:
                assert "What is this?" in printed and "image" in printed and "max_tokens=1024" in printed
