"""What an adopted service prints is redacted as before: the new daemon knows the secrets that the old one gave."""

import harness

SECRET = "hf_planted0123456789abcdef"


def test_output_of_an_adopted_service_is_redacted(folder):
    programs = folder / "programs"
    programs.mkdir()
    server = programs / "python"  # what tao-dataservices runs
    server.write_text('#!/bin/bash\necho "the token is $HF_TOKEN"\nexec sleep 600\n')
    server.chmod(0o755)
    env = {"HF_TOKEN": SECRET}
    with harness.daemon(folder, env=env, programs=programs) as first:
        first.cli("start", "--detach", "--network-arch", "tao-dataservices", "--model-path", "/models/x",
                  "--platform", "local-process")
        job_id = first.services()[0]["job_id"]
        harness.wait_for("STARTING", lambda: first.services()[0]["phase"] == "PHASE_STARTING")
        first.kill()
    with harness.daemon(folder, "--stop-services-on-exit", env=env, programs=programs) as second:
        logs = harness.wait_for("the line", lambda: second.cli("logs", job_id).stdout)
        assert logs == "the token is ***\n"
