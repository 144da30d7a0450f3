"""A new arch is data alone: an image key, flags and a port flag of its own, in a copy of references/. The programs
are the ones that were built without it."""

import hashlib
import json
import shutil
import urllib.request

import pytest

import harness

# What a user adds, file by file: each block goes on lines of its own after the line that it names. The C++ unit
# tests of the catalog use the same recipe (tests/unit/server/catalog/references_copy.h).
ADDITIONS = {
    "versions.yaml": {
        "images:": """\
  acme:
    vlm: registry.example/acme/vlm:1.0
"""},
    "service.yaml": {
        "  mapping:": "    ACME_VLM: acme.vlm\n",
        "valid_network_arch_config_basenames:": "  - acme-vlm\n",
        "container_commands:": """\
  acme-vlm:
    command:
      - literal: acme-serve
      - {value: checkpoint, path_flag: --weights, key_flag: --preset}
      - {port_flag: --listen-port}
      - {literal: --arch}
      - {value: network_arch}
      - {option: max_frames, flag: -F, type: int, minimum: 2}
      - {option: idle, flag: --idle, type: int, idle_timeout: true}
    required_secrets: [HF_TOKEN]
"""},
}
CONFIG = {"api_params": {"image": "ACME_VLM"},
          "spec_params": {"inference": {"results_dir": "output_dir", "model_path": "model_folder"}}}

# The program of the new arch: it notes its words, and whether its secret came, beside itself, then serves on the
# port that its own flag names.
ACME_SERVE = """\
#!/bin/bash
here={here}
words=$(printf '%s\\n' "$@")
while [ $# -gt 0 ]; do
  case "$1" in
    --weights|--preset) model=$2 ;;
    --listen-port) port=$2 ;;
    --arch|-F|--idle) ;;
    *) echo "acme-serve: unexpected word: $1" >&2; exit 2 ;;
  esac
  shift 2
done
printf '%s\\n' "$words" > "$here/words.$port"
printf '%s' "$HF_TOKEN" | sha256sum > "$here/token.$port"
case "$model" in /*) flag=--checkpoint-path ;; *) flag=--model ;; esac
exec {reference_backend} cosmos_predict inference_microservice start "$flag" "$model" \\
  --output-dir /tmp/acme --port "$port"
"""

TOKEN = {"HF_TOKEN": "hf_e2e_of_the_new_arch"}


def references_with_acme(folder):
    copy = folder / "references"
    shutil.copytree(harness.SOURCE / "references", copy)
    for name, blocks in ADDITIONS.items():
        text = (copy / name).read_text()
        for line, block in blocks.items():
            assert text.count(f"\n{line}\n") == 1, f"{name} must have the line {line!r} once"
            text = text.replace(f"\n{line}\n", f"\n{line}\n{block}")
        (copy / name).write_text(text)
    (copy / "acme-vlm.config.json").write_text(json.dumps(CONFIG))
    return copy


def acme_daemon(folder, env=TOKEN):
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "acme-serve"
    program.write_text(ACME_SERVE.format(here=programs, reference_backend=harness.BIN / "reference-backend"))
    program.chmod(0o755)
    return harness.daemon(folder, f"--references={references_with_acme(folder)}", "--stop-services-on-exit",
                          env=env, programs=f"{programs}:{harness.BIN / 'reference-backend.d'}")


@pytest.fixture
def acme(folder):
    with acme_daemon(folder) as running:
        yield running


def start(daemon, *flags, model="/models/acme"):
    done = daemon.cli("--json", "start", "--network-arch", "acme-vlm", "--model-path", model,
                      "--platform", "local-process", *flags)
    service = json.loads(done.stdout)
    assert service["phase"] == "PHASE_READY"
    return service


def words_of(daemon, service):
    return (daemon.folder / "programs" / f"words.{service['host_port']}").read_text().splitlines()


def events_of(body):
    events = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


def test_it_is_started_routed_called_streamed_and_stopped(acme):
    """The whole main job, with nothing but data for the arch."""
    service = start(acme, "--arch-option", "max_frames=4", "--idle-timeout", "5")
    job_id = service["job_id"]
    assert service["image"] == "registry.example/acme/vlm:1.0"
    assert service["model_path_kind"] == "folder"
    assert service["host_port"] != 8080, "8080 is left to an arch without a port flag"
    assert words_of(acme, service) == ["--weights", "/models/acme", "--listen-port", str(service["host_port"]),
                                       "--arch", "acme-vlm", "-F", "4", "--idle", "5"]

    for answer in (
            acme.chat(),
            acme.chat(model="acme-vlm"),
            acme.chat(model=job_id),
            acme.chat(model="/models/acme"),
            acme.chat(headers={"X-TAO-Job-ID": job_id}),
            acme.chat(headers={"X-TAO-Network-Arch": "acme-vlm"}),
            acme.chat(path="/archs/acme-vlm/v1/chat/completions"),
            acme.chat(path=f"/services/{job_id}/v1/chat/completions"),
            acme.chat(path="/v1/chat/completions?network_arch=acme-vlm"),
    ):
        assert answer.status == 200, answer.body
        assert (answer.headers["X-TAO-Job-ID"], answer.headers["X-TAO-Network-Arch"]) == (job_id, "acme-vlm")
        assert 'prompt "hello"' in answer.json()["choices"][0]["message"]["content"]

    streamed = acme.chat(model="acme-vlm", stream=True)
    assert streamed.headers["Content-Type"].startswith("text/event-stream")
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events_of(streamed.body))
    assert 'prompt "hello"' in text
    assert 'prompt "by hand"' in acme.cli("chat", "--accept-defaults", "--network-arch", "acme-vlm", "by hand").stdout
    assert "acme-vlm" in {model["id"] for model in acme.http("GET", "/v1/models").json()["data"]}

    acme.cli("stop", job_id)
    assert acme.services() == []
    gone = acme.chat(model="acme-vlm")
    assert (gone.status, gone.json()["error"]["code"]) == (404, "model_not_found")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{service['host_port']}/api/v1/health/liveness", timeout=5)


def test_two_of_it_run_beside_the_archs_of_the_release(acme):
    """Its port flag gives each a port of its own; a name that fits both is ambiguous; others still work."""
    first = start(acme)
    second = start(acme, "--model-key", "acme-7b", model="hf_model://acme/vlm-7b")
    other = json.loads(acme.cli("--json", "start", "--network-arch", "tao-dataservices", "--model-path", "/m",
                                "--platform", "local-process").stdout)
    assert len({service["host_port"] for service in (first, second, other)}) == 3
    assert words_of(acme, second)[:2] == ["--preset", "acme-7b"]
    ambiguous = acme.chat(model="acme-vlm")
    assert (ambiguous.status, ambiguous.json()["error"]["code"]) == (400, "ambiguous_service")
    for service, names in ((first, ["/models/acme"]), (second, ["hf_model://acme/vlm-7b", "acme/vlm-7b"]),
                           (other, ["tao-dataservices"])):
        for name in [service["job_id"], *names]:
            assert acme.chat(model=name).headers["X-TAO-Job-ID"] == service["job_id"], name


def test_its_rules_hold_from_data_alone(acme):
    """Types and ranges of its options, and the options it does not have, each with advice; nothing is started."""
    refused = acme.cli("start", "--network-arch", "acme-vlm", "--model-path", "/m", "--platform", "local-process",
                       "--arch-option", "max_frames=1", "--arch-option", "max-frame=2", "--idle-timeout", "2.5",
                       check=False)
    assert refused.returncode == 1
    assert 'arch_options["max_frames"]' in refused.stderr and "2" in refused.stderr
    assert 'did you mean "max_frames"' in refused.stderr
    assert "idle_timeout_minutes" in refused.stderr and "whole minutes" in refused.stderr
    assert acme.services() == []


def test_the_secret_it_needs_is_asked_for_and_reaches_it(folder, acme):
    """required_secrets of its row: refused without it, with the line to type; given to it with it."""
    service = start(acme)
    received = (folder / "programs" / f"token.{service['host_port']}").read_text().split()[0]
    assert received == hashlib.sha256(TOKEN["HF_TOKEN"].encode()).hexdigest()
    assert TOKEN["HF_TOKEN"] not in " ".join(words_of(acme, service))

    without = folder / "without"
    without.mkdir()
    with acme_daemon(without, env={"HF_TOKEN": ""}) as daemon:
        refused = daemon.cli("start", "--network-arch", "acme-vlm", "--model-path", "/m", "--platform",
                             "local-process", check=False)
    assert refused.returncode == 1 and "export HF_TOKEN=..." in refused.stderr


def test_an_operator_moves_it_to_another_image(folder):
    """IMAGE_<KEY> of its own key: an image, or a key of versions.yaml."""
    for number, (value, image) in enumerate([("registry.example/mine:2", "registry.example/mine:2"),
                                             ("tao_toolkit.vila", "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-vila")]):
        here = folder / str(number)
        here.mkdir()
        with acme_daemon(here, env={**TOKEN, "IMAGE_ACME_VLM": value}) as daemon:
            assert start(daemon)["image"] == image
