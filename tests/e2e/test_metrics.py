"""What an operator sees of chats: a scrape, and the access log."""

import json
import re
import signal

import harness

ARCH = "tao-dataservices"
SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


def scrape(daemon):
    """{(name, labels): value} of the daemon's /metrics."""
    answer = harness.Http("GET", daemon.admin + "/metrics")
    assert answer.status == 200
    samples = {}
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            samples[name, frozenset(LABEL.findall(labels or ""))] = float(value)
    return samples


def written(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_chats_are_seen_in_a_scrape_and_in_the_access_log(tmp_path):
    log = tmp_path / "access.jsonl"
    with harness.daemon(tmp_path, "--stop-services-on-exit", f"--access-log={log}") as daemon:
        job_id = daemon.start(ARCH)
        service = {("job_id", job_id), ("network_arch", ARCH)}
        for _ in range(3):
            answer = daemon.chat(model=ARCH)
            assert answer.status == 200
            assert re.match(r"gw;dur=[0-9.]+, .*up;dur=[0-9.]+$", answer.headers["Server-Timing"])
        assert daemon.chat(model="nobody").status == 404

        def counted():
            samples = scrape(daemon)
            return samples.get(("tao_gateway_requests_total", frozenset({*service, ("code", "200"), ("token", "")}))) \
                == 3 and samples
        samples = harness.wait_for("three chats in a scrape", counted)
        assert samples["tao_gateway_request_duration_seconds_count", frozenset(service)] == 3
        assert samples["tao_gateway_service_phase",
                       frozenset({*service, ("platform", "local-process"), ("phase", "READY")})] == 1
        refused = frozenset({("job_id", ""), ("network_arch", ""), ("code", "404"), ("token", "model_not_found")})
        assert samples["tao_gateway_requests_total", refused] == 1
        lines = harness.wait_for("four lines of the access log",
                                 lambda: len(found := written(log)) == 4 and found)
        assert sorted(line["status"] for line in lines) == [200, 200, 200, 404]
        assert {line["job_id"] for line in lines if line["status"] == 200} == {job_id}

        # Rotated as logrotate does it.
        log.rename(tmp_path / "access.jsonl.1")
        daemon.process.send_signal(signal.SIGHUP)
        harness.wait_for("the file's making", log.exists)
        assert daemon.chat(model=ARCH).status == 200
        harness.wait_for("a line in the new file", lambda: len(written(log)) == 1)
        assert len(written(tmp_path / "access.jsonl.1")) == 4

        daemon.cli("stop", job_id, "--yes")
        harness.wait_for("the end of its series", lambda: not any(("job_id", job_id) in labels
                                                                  for _, labels in scrape(daemon)))
        assert harness.Http("GET", daemon.admin + "/readyz").status == 200
        assert harness.Http("GET", daemon.admin + "/v1/models").status == 404
        address = daemon.admin.removeprefix("http://")
        (tmp_path / "second").mkdir()
        second = harness.Daemon(tmp_path / "second", f"--admin-listen={address}", wait=False)
        assert second.process.wait(harness.LIMIT) != 0
        second.stop()
        assert "--admin-listen" in second.log.read_text()
