"""A gRPC client in another language: python3-grpcio, with stubs that are made at test time."""

import concurrent.futures
import json
import signal
import threading

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import harness

pb, stubs = harness.load_stubs()
from google.rpc import error_details_pb2, status_pb2  # noqa: E402  made by load_stubs

grpc.__path__.append(str(harness.BUILD / "e2e-stubs/grpc"))
from grpc.health.v1 import health_pb2, health_pb2_grpc  # noqa: E402

MIB = 1 << 20
BEHAVIOURS = {
    "/models/plain": {},
    "/models/slow": {"REPLY_DELAY_MS": 120000},
    "/models/brief": {"REPLY_DELAY_MS": 2000},
    "/models/endless": {"SSE": 1, "SSE_EVENTS": 2000, "SSE_INTERVAL_MS": 50},
    "/models/video": {"REPLY_BYTES": 16 * MIB},
    "/models/staged": {"INITIALIZING_MS": 2000, "LOADING_MODEL_MS": 3000},
    "/models/hopeless": {"LOADING_MODEL_MS": 300, "FAIL_AT": "loading_model"},
}
HELLO = json.dumps({"messages": [{"role": "user", "content": "by gRPC"}]}).encode()
STREAMED = json.dumps({"messages": [{"role": "user", "content": "by gRPC"}], "stream": True}).encode()


class Daemon(harness.Daemon):
    """One whose services behave by their model path; `api` is its client, of gRPC's default limits."""

    def __init__(self, folder, *flags):
        self.exchanges = folder / "exchanges.jsonl"
        self.jobs = {}
        settings = {path: {"LOG": self.exchanges, **values} for path, values in BEHAVIOURS.items()}
        super().__init__(folder, "--stop-services-on-exit", *flags,
                         programs=harness.service_programs(folder / "programs", settings))
        self.channel = grpc.insecure_channel(self.grpc)
        self.api = stubs.InferenceServiceStub(self.channel)

    def stop(self):
        self.channel.close()
        super().stop()

    def begin(self, name, arch="tao-dataservices"):
        request = pb.StartRequest(network_arch=arch, platform="local-process", model_path=f"/models/{name}")
        return self.api.Start(request, timeout=harness.LIMIT).service.job_id

    def watch(self, job_id, **more):
        return [event.service for event in self.api.WatchReadiness(
            pb.WatchReadinessRequest(job_id=job_id, **more), timeout=harness.LIMIT)]

    def job(self, name):
        """The job_id of a service that is READY; one for each behaviour."""
        if name not in self.jobs:
            self.jobs[name] = self.begin(name)
            assert self.watch(self.jobs[name], until_ready=True)[-1].phase == pb.PHASE_READY
        return self.jobs[name]

    def infer(self, name, body=HELLO):
        return pb.InferRequest(selector=pb.Selector(job_id=self.job(name)), body=body)

    def wait_for_event(self, event, job_id, count=1):
        return harness.wait_for(f"{event} of {job_id}", lambda: len(found := [
            line for line in harness.events(self.exchanges, event) if line["job_id"] == job_id]) >= count and found)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc")
    running = Daemon(folder)
    try:
        yield running
    finally:
        running.stop()
        harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


def error_of(call, *arguments, **options):
    """The RpcError of a call, with its google.rpc details by the names of their types."""
    with pytest.raises(grpc.RpcError) as raised:
        answer = call(*arguments, timeout=harness.LIMIT, **options)
        if hasattr(answer, "__next__"):
            list(answer)
    error = raised.value
    error.details_by_type = {}
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            assert len(value) < 4096
            for detail in status_pb2.Status.FromString(value).details:
                kind = detail.type_url.rsplit(".", 1)[1]
                message = getattr(error_details_pb2, kind)()
                assert detail.Unpack(message)
                error.details_by_type[kind] = message
    return error


def reason(error):
    info = error.details_by_type["ErrorInfo"]
    assert info.domain == "tao.inference"
    return error.code(), info.reason


def reflection_messages():
    """The few messages of grpc.reflection.v1alpha, of which Debian ships no stubs."""
    file = descriptor_pb2.FileDescriptorProto(name="reflection_subset.proto", package="subset", syntax="proto3")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for number, field, kind, repeated in fields:
            types = {"string": 9, "bytes": 12}
            made.field.add(name=field, number=number, label=3 if repeated else 1, type=types.get(kind, 11),
                           type_name=None if kind in types else f".subset.{kind}")

    message("Request", (3, "file_by_filename", "string", False), (4, "file_containing_symbol", "string", False),
            (7, "list_services", "string", False))
    message("Files", (1, "file_descriptor_proto", "bytes", True))
    message("Service", (1, "name", "string", False))
    message("Services", (1, "service", "Service", True))
    message("Response", (4, "files", "Files", False), (6, "services", "Services", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(f"subset.{name}"))
            for name in ("Request", "Response")]


def test_reflection_is_enough_to_call(daemon):
    """A client that has no protos learns them from the server, as grpcurl does, and lists the services."""
    Request, Response = reflection_messages()
    ask = daemon.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                       request_serializer=Request.SerializeToString,
                                       response_deserializer=Response.FromString)

    def answers(*requests):
        return list(ask(iter(requests), timeout=harness.LIMIT))

    names = {service.name for service in answers(Request(list_services="*"))[0].services.service}
    assert {"tao.inference.v1.InferenceService", "grpc.health.v1.Health"} <= names

    pool = descriptor_pool.DescriptorPool()
    answer = answers(Request(file_containing_symbol="tao.inference.v1.InferenceService"))[0]
    todo = [descriptor_pb2.FileDescriptorProto.FromString(each) for each in answer.files.file_descriptor_proto]
    files = {file.name: file for file in todo}
    while todo:
        missing = [name for name in todo.pop().dependency if name not in files]
        for answer in answers(*[Request(file_by_filename=name) for name in missing]):
            for each in answer.files.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(each)
                if file.name not in files:
                    files[file.name] = file
                    todo.append(file)
    added = set()

    def add(file):
        if file.name not in added:
            added.add(file.name)
            for name in file.dependency:
                add(files[name])
            pool.Add(file)

    for file in files.values():
        add(file)
    service = pool.FindServiceByName("tao.inference.v1.InferenceService")
    assert {method.name for method in service.methods} == {
        "Start", "Stop", "List", "Resolve", "WatchReadiness", "Infer", "StreamInfer", "StreamLogs",
        "CheckPlatform", "GetRequestSchema"}
    method = service.FindMethodByName("List")
    factory = message_factory.MessageFactory(pool)
    call = daemon.channel.unary_unary("/tao.inference.v1.InferenceService/List",
                                      request_serializer=factory.GetPrototype(method.input_type).SerializeToString,
                                      response_deserializer=factory.GetPrototype(method.output_type).FromString)
    job_id = daemon.job("plain")
    listed = call(factory.GetPrototype(method.input_type)(page_size=1000), timeout=harness.LIMIT)
    assert job_id in {service.job_id for service in listed.services}


def test_health(daemon):
    """The server's names and each job_id; a stopped one is forgotten."""
    health = health_pb2_grpc.HealthStub(daemon.channel)
    serving = health_pb2.HealthCheckResponse

    def status(name):
        return health.Check(health_pb2.HealthCheckRequest(service=name), timeout=harness.LIMIT).status

    for name in ("", "tao.inference.v1.InferenceService", "gateway"):
        assert status(name) == serving.SERVING
    job_id = daemon.begin("plain")
    watched = health.Watch(health_pb2.HealthCheckRequest(service=job_id), timeout=harness.LIMIT)
    seen = [next(watched).status]
    while seen[-1] != serving.SERVING:
        seen.append(next(watched).status)
    assert set(seen) <= {serving.NOT_SERVING, serving.SERVING} and status(job_id) == serving.SERVING
    daemon.api.Stop(pb.StopRequest(job_id=job_id, wait=True), timeout=harness.LIMIT)
    while next(watched).status != serving.SERVICE_UNKNOWN:
        pass
    watched.cancel()
    gone = error_of(health.Check, health_pb2.HealthCheckRequest(service=job_id))
    assert gone.code() == grpc.StatusCode.NOT_FOUND


def test_infer_and_stream_infer(daemon):
    """By selector, and by the body's model; the answer names who gave it."""
    job_id = daemon.job("plain")
    answer = daemon.api.Infer(daemon.infer("plain"), timeout=harness.LIMIT)
    assert (answer.job_id, answer.network_arch, answer.content_type) == (job_id, "tao-dataservices", "application/json")
    assert answer.request_id
    text = json.loads(answer.body)["choices"][0]["message"]["content"]
    assert 'prompt "by gRPC"' in text and f"body {len(HELLO)} bytes" in text

    by_model = json.dumps({"model": job_id, "messages": [{"role": "user", "content": "by model"}]}).encode()
    assert daemon.api.Infer(pb.InferRequest(body=by_model), timeout=harness.LIMIT).job_id == job_id
    pieces = list(daemon.api.StreamInfer(daemon.infer("plain"), timeout=harness.LIMIT))
    assert (pieces[0].job_id, pieces[0].content_type) == (job_id, "application/json")
    assert pieces[0].request_id and not any(piece.job_id for piece in pieces[1:])
    assert json.loads(b"".join(piece.data for piece in pieces))["choices"][0]["message"]["content"] == text

    stream = daemon.api.StreamInfer(daemon.infer("endless", STREAMED), timeout=harness.LIMIT)
    first = next(stream)
    assert first.content_type.startswith("text/event-stream")
    while b"data: " not in first.data:
        first = next(stream)
    stream.cancel()
    assert daemon.wait_for_event("client_left", daemon.job("endless"))[0]["phase"] == "replying"


def test_large_answers(daemon):
    """16 MiB: pieces that a default client takes; Infer needs a higher limit, and says so."""
    pieces = list(daemon.api.StreamInfer(daemon.infer("video"), timeout=harness.LIMIT))
    assert max(len(piece.data) for piece in pieces) <= MIB
    whole = b"".join(piece.data for piece in pieces)
    assert len(json.loads(whole)["choices"][0]["message"]["content"]) == 16 * MIB
    error = error_of(daemon.api.Infer, daemon.infer("video"))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with grpc.insecure_channel(daemon.grpc, [("grpc.max_receive_message_length", 64 * MIB)]) as channel:
        answer = stubs.InferenceServiceStub(channel).Infer(daemon.infer("video"), timeout=harness.LIMIT)
    # The answers differ in their number alone, which is in the `id`.
    assert json.loads(answer.body)["choices"] == json.loads(whole)["choices"]


def test_deadline_and_cancellation_reach_the_container(daemon):
    """A caller that waits no longer frees the GPU, at once."""
    job_id = daemon.job("slow")
    with pytest.raises(grpc.RpcError) as raised:
        daemon.api.Infer(daemon.infer("slow"), timeout=1)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert daemon.wait_for_event("client_left", job_id)[0]["phase"] == "computing"

    for count, call in ((2, daemon.api.Infer.future), (3, daemon.api.StreamInfer)):
        running = call(daemon.infer("slow"), timeout=harness.LIMIT)
        daemon.wait_for_event("request_complete", job_id, count)
        running.cancel()
        assert daemon.wait_for_event("client_left", job_id, count)[-1]["phase"] == "computing"
    assert running.code() == grpc.StatusCode.CANCELLED


def test_watch_readiness(daemon):
    """Each phase in its order, the end of a service, and of one that never was."""
    job_id = daemon.begin("staged")
    phases = []
    stopped = threading.Thread(target=lambda: phases.extend(service.phase for service in daemon.watch(job_id)))
    stopped.start()
    seen = [service.phase for service in daemon.watch(job_id, until_ready=True)]
    assert seen == sorted(seen) and {pb.PHASE_INITIALIZING, pb.PHASE_LOADING} < set(seen)
    assert seen[-1] == pb.PHASE_READY
    daemon.api.Stop(pb.StopRequest(job_id=job_id), timeout=harness.LIMIT)
    stopped.join(harness.LIMIT)
    assert phases[-1] == pb.PHASE_STOPPED and phases == sorted(phases)

    failed = daemon.watch(daemon.begin("hopeless"))[-1]
    assert failed.phase == pb.PHASE_FAILED and "CUDA out of memory" in failed.message
    assert failed.last_log_lines
    answer = error_of(daemon.api.Infer, pb.InferRequest(selector=pb.Selector(job_id=failed.job_id), body=HELLO))
    assert reason(answer)[1] == "SERVICE_FAILED" and "CUDA out of memory" in answer.details()
    daemon.api.Stop(pb.StopRequest(job_id=failed.job_id, wait=True), timeout=harness.LIMIT)

    nobody = error_of(daemon.api.WatchReadiness, pb.WatchReadinessRequest(job_id="nobody"))
    assert reason(nobody) == (grpc.StatusCode.NOT_FOUND, "SERVICE_NOT_FOUND")


def test_resolve(daemon):
    """The one service that a request would reach, or those that it could mean; and the gateway says the same."""
    first, second = daemon.job("plain"), daemon.job("slow")
    found = daemon.api.Resolve(pb.ResolveRequest(model=first), timeout=harness.LIMIT).service
    assert found.job_id == first and found.phase == pb.PHASE_READY and found.host_url and found.gateway_url
    ambiguous = error_of(daemon.api.Resolve, pb.ResolveRequest(selector=pb.Selector(network_arch="tao-dataservices")))
    assert reason(ambiguous) == (grpc.StatusCode.FAILED_PRECONDITION, "AMBIGUOUS_SERVICE")
    metadata = ambiguous.details_by_type["ErrorInfo"].metadata
    candidates = [metadata[f"candidate_{i}"] for i in range(int(metadata["candidate_count"]))]
    assert {first, second} <= {candidate.split()[0] for candidate in candidates}
    assert all("tao-dataservices" in candidate and "http://localhost:" in candidate for candidate in candidates)
    over_http = daemon.chat(headers={"X-TAO-Network-Arch": "tao-dataservices"})
    assert over_http.status == 400 and all(candidate.split()[0] in over_http.json()["error"]["message"]
                                           for candidate in candidates)
    conflict = error_of(daemon.api.Resolve, pb.ResolveRequest(selector=pb.Selector(
        job_id=first, network_arch="cosmos-rl")))
    assert reason(conflict) == (grpc.StatusCode.INVALID_ARGUMENT, "SELECTOR_CONFLICT")
    unknown = error_of(daemon.api.Resolve, pb.ResolveRequest(model="gpt-4"))
    assert reason(unknown) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


def test_wrong_start_lists_every_field(daemon):
    """All findings at once, each with its field and what to write instead."""
    error = error_of(daemon.api.Start, pb.StartRequest(
        network_arch="cosmos-r1", platform="moon", model_path="relative", mounts=["/a"], env={"HF_TOKEN": "x"}))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    fields = {violation.field: violation.description
              for violation in error.details_by_type["BadRequest"].field_violations}
    assert {"network_arch", "platform", "model_path"} <= fields.keys() and len(fields) == 5, fields
    assert "cosmos-rl" in fields["network_arch"] and "local-process" in fields["platform"]


def test_32_starts_at_once(daemon):
    """32 callers at the same moment: 32 services, ports of their own, all READY; and all stopped again."""
    before = {service.job_id for service in daemon.api.List(pb.ListRequest(page_size=1000)).services}
    barrier = threading.Barrier(32)

    def start(_):
        barrier.wait()
        return daemon.begin("plain", arch="cosmos-predict2.5")

    with concurrent.futures.ThreadPoolExecutor(32) as callers:
        job_ids = list(callers.map(start, range(32)))
        assert len(set(job_ids)) == 32
        ready = [services[-1] for services in callers.map(lambda job_id: daemon.watch(job_id, until_ready=True),
                                                           job_ids)]
        assert {service.phase for service in ready} == {pb.PHASE_READY}, [(s.phase, s.message) for s in ready]
        listed = daemon.api.List(pb.ListRequest(page_size=1000)).services
        ports = [service.host_port for service in listed if service.host_port]
        assert len(set(ports)) == len(ports) >= 32 and min(ports) >= 8080 and max(ports) <= 8199
        assert all(service.host_port for service in ready)
        # Page by page they are the same, in the order they were started.
        pages, token = [], ""
        while True:
            page = daemon.api.List(pb.ListRequest(page_size=7, page_token=token))
            pages += page.services
            token = page.next_page_token
            if not token:
                break
        assert [service.job_id for service in pages] == [service.job_id for service in listed]
        # The file follows: 32 launches may still be on their way into it, one write each.
        entries = harness.wait_for("32 entries in the registry file", lambda: (
            found := json.loads(daemon.registry.read_text())) and set(job_ids) <= found.keys() and found)
        assert all(entries[service.job_id]["host_url"] == service.host_url for service in ready)
        stopped = callers.map(lambda job_id: daemon.api.Stop(pb.StopRequest(job_id=job_id, wait=True),
                                                             timeout=harness.LIMIT).service.phase, job_ids)
        assert set(stopped) == {pb.PHASE_STOPPED}
    assert {service.job_id for service in daemon.api.List(pb.ListRequest(page_size=1000)).services} == before
    assert not set(job_ids) & json.loads(daemon.registry.read_text()).keys()


def test_shutdown_lets_calls_end(tmp_path):
    """SIGTERM: streams that would never end are ended, an Infer in flight gets its answer, and nobody is let in
    meanwhile, by gRPC or by HTTP."""
    daemon = Daemon(tmp_path)
    try:
        job_id = daemon.job("brief")
        watched = daemon.api.WatchReadiness(pb.WatchReadinessRequest(job_id=job_id), timeout=harness.LIMIT)
        assert next(watched).service.phase == pb.PHASE_READY
        running = daemon.api.Infer.future(daemon.infer("brief"), timeout=harness.LIMIT)
        daemon.wait_for_event("request_complete", job_id)
        daemon.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as raised:
            list(watched)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE and "services run on" in raised.value.details()

        def refused():
            try:
                return daemon.http("GET", "/readyz").status == 503
            except OSError:
                return True

        harness.wait_for("/readyz to fall", refused)
        assert not running.done(), "the gateway waited for gRPC"
        assert json.loads(running.result().body)["choices"]
        assert daemon.process.wait(harness.LIMIT) == 0
    finally:
        daemon.stop()
        harness.wait_for("the end of every process", lambda: not harness.service_processes(tmp_path))
