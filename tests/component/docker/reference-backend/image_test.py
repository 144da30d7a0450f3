"""make_image.sh with a docker that only records: what it would import, with which settings."""

import os
import pathlib
import subprocess
import tarfile

import pytest

SCRIPT = pathlib.Path(__file__).parents[4] / "docker" / "reference-backend" / "make_image.sh"
PROGRAM = pathlib.Path(os.environ["TAO_BINARY_DIR"]) / "bin" / "reference-backend"
LINKS = ["cosmos-rl-inference-microservice", "python", "cosmos_predict"]

RECORDER = """#!/bin/bash
printf '%s\\n' "$@" > "$RECORD/argv"
cat > "$RECORD/stdin.tar"
echo sha256:recorded
"""


@pytest.fixture(name="make_image")
def script_with_recording_docker(tmp_path):
    (tmp_path / "docker").write_text(RECORDER)
    (tmp_path / "docker").chmod(0o755)

    def run(*arguments, program=PROGRAM):
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "RECORD": str(tmp_path),
            "REFERENCE_BACKEND_PROGRAM": str(program),
        }
        return subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=30
        )

    return run


@pytest.fixture(name="static_program")
def static_stand_in(tmp_path):
    """The sanitizer builds are dynamic, which the script refuses; any static file serves."""
    program = tmp_path / "program"
    program.write_text("#!/bin/bash\n")
    program.chmod(0o755)
    return program


def test_root_file_system_has_the_program_under_its_names(make_image, static_program, tmp_path):
    made = make_image("image:1", program=static_program)
    assert (made.returncode, made.stdout) == (0, "sha256:recorded\n"), made.stderr
    with tarfile.open(tmp_path / "stdin.tar") as tar:
        members = {member.name.removeprefix("./"): member for member in tar.getmembers()}
        assert b"root:x:0:0:" in tar.extractfile("./etc/passwd").read()
    assert members["usr/local/bin/reference-backend"].mode == 0o755
    for link in LINKS:
        assert members[f"usr/local/bin/{link}"].linkname == "reference-backend"
    assert members["bin/bash"].isfile()
    assert members["tmp"].mode == 0o1777
    assert members["."].mode == 0o755
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}


def test_settings_become_the_images_environment(make_image, static_program, tmp_path):
    settings = ["REFERENCE_BACKEND_SSE=1", 'REFERENCE_BACKEND_FAIL_MESSAGE=a "b" $c \\d']
    assert make_image("image:1", *settings, program=static_program).returncode == 0
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv[0] == "import"
    assert argv[-2:] == ["-", "image:1"]
    assert 'ENV REFERENCE_BACKEND_SSE="1"' in argv
    assert 'ENV REFERENCE_BACKEND_FAIL_MESSAGE="a \\"b\\" \\$c \\\\d"' in argv


def test_tag_may_be_left_out(make_image, static_program, tmp_path):
    assert make_image("REFERENCE_BACKEND_SSE=1", program=static_program).returncode == 0
    assert (tmp_path / "argv").read_text().splitlines()[-1] == "tao-reference-backend:latest"


@pytest.mark.parametrize(
    "arguments, program, want",
    [
        (["image:1", "no-setting"], PROGRAM, '"no-setting" is not NAME=VALUE'),
        (["image:1", "A-B=c"], PROGRAM, '"A-B=c" is not NAME=VALUE'),
        (["image:1"], "/nonexistent", "no program at /nonexistent"),
        (["image:1"], "/usr/bin/env", "/usr/bin/env is not static"),
    ],
)
def test_refusals_say_why(arguments, program, want, make_image, static_program):
    made = make_image(*arguments, program=static_program if program == PROGRAM else program)
    assert made.returncode == 1
    assert want in made.stderr


def test_the_built_program_is_taken_when_it_is_static(make_image):
    """The release build is; the sanitizers' are not, and are refused."""
    sanitized = any(mark in PROGRAM.read_bytes() for mark in (b"__asan_init", b"__tsan_init"))
    made = make_image("image:1")
    assert made.returncode == (1 if sanitized else 0), made.stderr
    assert ("is not static" in made.stderr) is sanitized
