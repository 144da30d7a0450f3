"""`tao-inference check`, and options of platforms."""

import json

import harness


def items(done):
    return {item["name"]: item for item in json.loads(done.stdout)["items"]}


def test_local_process_without_a_gpu_can_start(daemon):
    done = daemon.cli("check", "--platform", "local-process", "--gpu-mode", "none", "--json")
    assert json.loads(done.stdout)["usable"] is True
    assert {item["outcome"] for item in items(done).values()} == {"OUTCOME_OK"}


def test_what_is_missing_is_said_with_its_advice(folder):
    tools = folder / "tools"
    tools.mkdir()
    with harness.daemon(folder, env={"PATH": str(tools)}) as daemon:
        done = daemon.cli("check", "--platform", "local-docker", check=False)
        assert done.returncode == 1
        assert "MISSING  client" in done.stdout and "apt-get install docker.io" in done.stdout
        assert done.stdout.endswith("local-docker: a start would fail\n")
        done = daemon.cli("check", "--platform", "local-process", "--gpu-mode", "auto", "--json", check=False)
        assert done.returncode == 1
        assert items(done)["gpu"]["outcome"] == "OUTCOME_MISSING"
        assert "--gpu-mode none" in items(done)["gpu"]["message"]


def test_an_engine_that_does_not_answer_could_not_be_asked(folder):
    nobody = f"unix://{folder}/nobody.sock"
    with harness.daemon(folder, env={"DOCKER_HOST": nobody}) as daemon:
        done = daemon.cli("check", "--platform", "local-docker", "--gpu-mode", "none", "--json", check=False)
        assert done.returncode == 1
        assert items(done)["engine"]["outcome"] == "OUTCOME_UNKNOWN"
        assert items(done)["engine-host"]["message"] == nobody


def test_an_unknown_platform_is_answered_with_those_there_are(daemon):
    done = daemon.cli("check", "--platform", "local-dokcer", check=False)
    assert done.returncode == 1
    assert "local-docker" in done.stderr and "network_arch" not in done.stderr


def test_options_that_a_platform_does_not_take_are_refused(daemon):
    start = ("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--platform", "local-process")
    done = daemon.cli(*start, "--partition", "gpu", check=False)
    assert done.returncode == 1
    assert "platform_options.partition" in done.stderr and "takes none" in done.stderr
    same = daemon.cli(*start, "--platform-option", "partition=gpu", check=False)
    assert same.stderr == done.stderr
    assert not daemon.services()


def test_an_option_of_a_platform_is_a_flag_however_near_one_of_ours_it_is(daemon):
    """--account is near --gpu-count, --gpu-type near --gpu-mode, --mount-from near --mount."""
    for flags in (("slurm", "--partition", "p", "--account", "me", "--gpu-type", "h100"),
                  ("lepton", "--mount-from", "node-local"), ("brev", "--network", "n")):
        done = daemon.cli("check", "--gpu-mode", "none", "--json", "--platform", *flags, check=False)
        assert done.returncode == 1 and done.stderr == "", (flags, done.stderr)
        assert json.loads(done.stdout)["platform"] == flags[0]


def test_a_misspelt_flag_is_answered_with_the_one_that_was_meant(daemon):
    start = ("start", "--network-arch", "cosmos-rl", "--model-path", "/m")
    done = daemon.cli(*start, "--platform", "local-process", "--detatch", check=False)
    assert done.returncode == 1 and "platform_options.detatch" in done.stderr
    assert done.stderr.endswith("there is no flag --detatch; did you mean --detach?\n")
    done = daemon.cli(*start, "--platfrom", "local-process", check=False)
    assert done.returncode == 1 and "did you mean --platform?" in done.stderr
    done = daemon.cli("check", "--platform", "slurm", "--gpu-cuont", "2", check=False)
    assert done.returncode == 1 and "did you mean --gpu-count?" in done.stderr
    assert not daemon.services()
    assert daemon.cli("list", "--partition", "gpu", check=False).returncode == 2
    assert daemon.cli("list", "word", check=False).returncode == 2
