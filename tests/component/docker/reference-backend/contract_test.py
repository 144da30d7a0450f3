"""Chat completions of a ready backend: the order of the checks, and what the answer says."""

import base64

import pytest

from backend import JOB_ID, Backend, cosmos_predict, image, user, video

PNG = "data:image/png;base64," + base64.b64encode(b"x" * 70).decode()


@pytest.fixture(name="backend", scope="module")
def ready_backend(tmp_path_factory):
    with Backend(tmp_path_factory.mktemp("backend")) as backend:
        yield backend


INVALID = {
    "empty body": ("", "Request body is empty"),
    "empty object": ("{}", "Request body is empty"),
    "no JSON": ("{'messages'}", "not valid JSON"),
    "cut JSON": ('{"messages":[', "not valid JSON"),
    "JSON and more": ('{"messages":[]} x', "not valid JSON"),
    "list": ("[1]", "not a JSON object"),
    "text": ('"x"', "not a JSON object"),
    "deep": ('{"a":' + "[" * 2000, "nested too deeply"),
    "no messages": ({"model": "x"}, "messages is required"),
    "messages is a text": ({"messages": "hi"}, "messages is required"),
    "no user message": ({"messages": [{"role": "system", "content": "x"}]}, "no user message"),
    "cloud image": (user("x", image("s3://bucket/x.png")), "unsupported URI 's3://bucket/x.png'"),
    "cloud video": (user("x", video("gs://bucket/x.mp4")), "unsupported URI"),
    "unknown MIME type": (user(image("data:image/svg+xml;base64,QUJD")), "image/svg+xml"),
    "video as an image": (user(image("data:video/mp4;base64,QUJD")), "for image_url"),
    "not base64": (user(image("data:image/png,abc")), "not ;base64"),
    "broken base64": (user(image("data:image/png;base64,QU!D")), "not valid base64"),
    "cut base64": (user(image("data:image/png;base64,QUJDR")), "not valid base64"),
    "unknown item": (user({"type": "audio_url"}), "item type 'audio_url'"),
    "item without its member": (user({"type": "image_url"}), "no image_url.url"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_request_is_400(name, backend):
    body, want = INVALID[name]
    answer = backend.chat(body)
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request"
    assert want in error["message"]


def test_other_content_type_is_400(backend):
    answer = backend.chat(user("hi"), content_type="text/plain")
    assert answer.status == 400
    assert "Content-Type" in answer.json()["error"]["message"]


def test_answer_is_the_containers_to_the_letter(backend):
    answer = backend.chat({**user("hi"), "model": "whatever"})
    assert answer.status == 200
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Server"].startswith("Werkzeug/")
    body = answer.json()
    assert set(body) == {"id", "object", "created", "model", "choices"}
    assert body["object"] == "chat.completion"
    assert body["id"].startswith(f"chatcmpl-{JOB_ID}-")
    assert body["model"] == "hf_model://nvidia/Cosmos-Reason"
    assert isinstance(body["created"], int)
    (choice,) = body["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"]["role"] == "assistant"


def test_no_sse_by_default(backend):
    answer = backend.chat({**user("hi"), "stream": True})
    assert answer.headers["Content-Type"] == "application/json"
    assert 'prompt "hi"' in answer.content()


CONTENTS = {
    "a text": (user("hi"), 'prompt "hi"; system none; media none; sampling none'),
    "the last text item wins": (user("one", image("/data/x.png"), "two"), 'prompt "two"'),
    "only the first user message": (
        {"messages": [*user("first")["messages"], *user("second", image("s3://x"))["messages"]]},
        'prompt "first"; system none; media none',
    ),
    "the first system message": (
        {
            "messages": [
                {"role": "system", "content": "be brief"},
                *user("hi")["messages"],
                {"role": "system", "content": "be long"},
            ]
        },
        'system "be brief"',
    ),
    "role after content": (
        {"messages": [{"content": [{"text": "hi", "type": "text"}], "role": "user"}]},
        'prompt "hi"',
    ),
    "media by kind and size": (
        user(image(PNG), video("https://h/v.mp4"), image("/data/x.jpg")),
        "prompt none; system none; "
        "media image/png 70 bytes, video https://h/v.mp4, image path /data/x.jpg;",
    ),
    "sampling values as sent": (
        {"seed": 0, "top_p": 0.9, "ignore_eos": True, "stop": ["a", "b"], **user("hi")},
        'sampling top_p=0.9 seed=0 stop="a"|"b" ignore_eos=true;',
    ),
    "not ASCII, quotes and controls": (user('H\u00e4 "\u2603"\n\U0001f600'),
                                       'prompt "H\u00e4 "\u2603"\n\U0001f600";'),
    "of two members the last": (
        '{"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]}',
        'prompt "b"',
    ),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_content_says_what_was_received(name, backend):
    body, want = CONTENTS[name]
    assert want in backend.chat(body).content()


def test_content_says_the_size_of_the_body(backend):
    text = '{"messages":[{"role":"user","content":"hi"}]}'
    assert backend.chat(text).content().endswith(f"; body {len(text)} bytes")


def test_long_prompt_is_cut_between_characters(backend):
    content = backend.chat(user("\u00e4" * 500)).content()
    assert 'prompt "' + "\u00e4" * 100 + '..."' in content


def test_predict_answers_by_its_checkpoint(tmp_path):
    command = cosmos_predict(("--checkpoint-path", "/models/p"))
    with Backend(tmp_path, command) as backend:
        assert backend.chat(user("a cat")).json()["model"] == "/models/p"


@pytest.mark.parametrize(
    "status, error_type",
    [
        (202, "model_loading"),
        (400, "invalid_request"),
        (500, "internal_error"),
        (503, "model_not_ready"),
    ],
)
def test_fixed_answer_of_a_ready_backend(status, error_type, tmp_path):
    with Backend(tmp_path, ANSWER_STATUS=status) as backend:
        assert backend.readiness().status == 200
        answer = backend.chat(user("hi"))
        assert (answer.status, answer.json()["error"]["type"]) == (status, error_type)
        assert backend.chat("").status == 400, "an invalid request is still that"


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/", 404),
        ("POST", "/v1/completions", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/api/v1/health/readiness", 405),
        ("GET", "/api/v1/health/readiness?x=1", 200),
        ("HEAD", "/api/v1/health/liveness", 200),
        ("GET", "/api/v1/status", 200),
    ],
)
def test_routes(method, path, status, backend):
    answer = backend.get(path, method)
    assert answer.status == status
    assert (answer.body == b"") is (method == "HEAD")
    if status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
    ],
)
def test_malformed_head_is_400(head, backend):
    with backend.connect() as client:
        client.sendall(head)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_head_without_end_is_431(backend):
    with backend.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 70000)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 431 ")
