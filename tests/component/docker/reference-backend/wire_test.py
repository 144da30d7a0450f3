"""Bodies both ways, SSE, keep-alive, and the log of what happened on the wire."""

import json
import pathlib
import socket
import struct
import time

import pytest

from backend import MIB, Answer, Backend, chat_head, read_until_closed, user, video, wait_for


def chunked(pieces):
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def body_of(size):
    """A valid body of `size` bytes: the filler is a member that nobody reads."""
    start = b'{"messages":[{"role":"user","content":"hi"}],"filler":"'
    return start + b"x" * (size - len(start) - 2) + b'"}'


def test_chunked_body_with_extensions_and_trailers(tmp_path):
    body = json.dumps(user("chunked")).encode()
    with Backend(tmp_path) as backend, backend.connect() as client:
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
        client.sendall(chat_head(None, "Transfer-Encoding: chunked\r\n") + chunked(pieces))
        client.sendall(b"0\r\nX-Trailer: a\r\n\r\n")
        answer = read_until_closed(client)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"body {len(body)} bytes".encode() in answer
        assert backend.events("request_complete")[0]["body_bytes"] == len(body)


@pytest.mark.parametrize("rest", [b"x\r\n", b"5\r\nabcdeXX", b"1\r\naX", b"-1\r\n", b"5\nabcde"])
def test_broken_chunk_is_400(rest, tmp_path):
    with Backend(tmp_path) as backend, backend.connect() as client:
        client.sendall(chat_head(None, "Transfer-Encoding: chunked\r\n") + b'1\r\n{\r\n' + rest)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(MIB).startswith(b"HTTP/1.1 400 ")
        assert backend.wait_for_event("bad_request")


def test_body_of_64_mib_is_read_as_it_arrives(tmp_path):
    size = 64 * MIB
    body = body_of(size)
    with Backend(tmp_path) as backend, backend.connect() as client:
        client.sendall(chat_head(size) + body[: 2 * MIB])
        event = backend.wait_for_event("first_mib")
        assert MIB <= event["body_bytes"] <= 2 * MIB
        assert not backend.events("request_complete")
        client.settimeout(60)
        client.sendall(body[2 * MIB :])
        answer = read_until_closed(client)
        assert f"body {size} bytes".encode() in answer


MP4 = "data:video/mp4;base64,"


@pytest.mark.parametrize(
    "base64_text, want",
    [
        ("QUJD" * MIB, f"video/mp4 {3 * MIB} bytes"),
        ("QUJD" * MIB + "QQ==", f"video/mp4 {3 * MIB + 1} bytes"),
        ("QUJD" * 1024 + "QUI=", "video/mp4 3074 bytes"),
        ("QUJD" * MIB + "Q", "not valid base64"),
        ("QUJD" * MIB + "QQ==QUJD", "not valid base64"),
        ("QUJD" * MIB + "QQ-_", "not valid base64"),
        ("QUJD" * MIB + "QQ" + "=" * 1024, "not valid base64"),
    ],
)
def test_long_base64_is_measured_and_checked(base64_text, want, tmp_path):
    """It is not held: what is told of it must not depend on that."""
    with Backend(tmp_path) as backend:
        answer = backend.chat(user("before", video(MP4 + base64_text), "after"))
        assert want in answer.body.decode()
        assert ('prompt \\"after\\"' in answer.body.decode()) is (answer.status == 200)


def test_large_media_are_not_held(tmp_path):
    with Backend(tmp_path) as backend:
        assert backend.chat(user(video(MP4 + "QUJD" * (32 * MIB)))).status == 200
        status = pathlib.Path(f"/proc/{backend.process.pid}/status").read_text()
        peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib < 64 * 1024, "peak memory of a body of 128 MiB (sanitizers need a part of it)"


def test_body_over_the_limit_is_413_at_once(tmp_path):
    with Backend(tmp_path) as backend, backend.connect() as client:
        client.sendall(chat_head((1 << 30) + 1))
        assert client.recv(MIB).startswith(b"HTTP/1.1 413 ")


def test_expect_100_gets_one_interim_answer(tmp_path):
    body = json.dumps(user("hi")).encode()
    with Backend(tmp_path) as backend, backend.connect() as client:
        client.sendall(chat_head(len(body), "Expect: 100-continue\r\n"))
        assert client.recv(MIB) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_until_closed(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_refusal_comes_while_the_client_still_sends(tmp_path):
    """Flask looks at the state before the body: the answer survives the unread bytes."""
    with Backend(tmp_path, STALL_AT="loading_model") as backend, backend.connect() as client:
        client.sendall(chat_head(64 * MIB) + b"x" * MIB)
        answer = client.recv(MIB)
        assert answer.startswith(b"HTTP/1.1 202 ACCEPTED\r\n")
        client.sendall(b"x" * MIB)  # taken in, not reset


def test_reply_of_a_size_is_a_video_like_text(tmp_path):
    size = 22 + 4 * MIB
    with Backend(tmp_path, REPLY_BYTES=size) as backend:
        answer = backend.chat(user("a cat"))
        assert int(answer.headers["Content-Length"]) == len(answer.body)
        content = answer.content()
        assert len(content) == size
        assert content.startswith("data:video/mp4;base64,ABCDEFGH")
        event = backend.wait_for_event("reply_complete")
        assert event["reply_bytes"] == len(answer.body)
        assert backend.events("reply_first_mib")


def test_reply_waits_for_a_client_that_does_not_read(tmp_path):
    with Backend(tmp_path, REPLY_BYTES=64 * MIB) as backend, backend.connect() as client:
        body = json.dumps(user("a cat")).encode()
        client.sendall(chat_head(len(body)) + body)
        backend.wait_for_event("reply_first_mib")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert not backend.events("reply_complete")
        read_until_closed(client)
        backend.wait_for_event("reply_complete")


def test_reply_delay_and_pause(tmp_path):
    with Backend(tmp_path, REPLY_DELAY_MS=150, REPLY_PAUSE_MS=150) as backend:
        begin = time.monotonic()
        assert backend.chat(user("slow")).status == 200
        assert time.monotonic() - begin >= 0.3


# --- SSE ---------------------------------------------------------------------------------------


def test_sse_and_json_carry_the_same_text(tmp_path):
    body = {**user("Gr\u00fc\u00df \u2603 \U0001f600", "second \u00e4"), "stream": True, "seed": 1}
    with Backend(tmp_path) as flask, Backend(tmp_path, SSE=1, SSE_EVENTS=50) as sse:
        as_json, as_sse = flask.chat(body), sse.chat(body)
    assert as_sse.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert as_sse.headers["Transfer-Encoding"] == "chunked"
    assert as_sse.content() == as_json.content()


def test_sse_events_are_vllms(tmp_path):
    with Backend(tmp_path, SSE=1, SSE_EVENTS=4) as backend:
        events = backend.chat({**user("hi"), "stream": True}).events()
    assert len(events) == 1 + 4 + 1 + 1
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(event["object"] == "chat.completion.chunk" for event in events[:-1])
    assert len({event["id"] for event in events[:-1]}) == 1
    finish = [event["choices"][0]["finish_reason"] for event in events[:-1]]
    assert finish == [None] * 5 + ["stop"]


def test_sse_needs_stream_true(tmp_path):
    with Backend(tmp_path, SSE=1) as backend:
        for body in (user("hi"), {**user("hi"), "stream": False}, {**user("hi"), "stream": 1}):
            assert backend.chat(body).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "settings, options, want",
    [({}, None, 0), ({}, {"include_usage": True}, 1), ({"SSE_USAGE": 1}, None, 1)],
)
def test_usage_chunk(settings, options, want, tmp_path):
    body = {**user("hi"), "stream": True}
    if options:
        body["stream_options"] = options
    with Backend(tmp_path, SSE=1, **settings) as backend:
        events = backend.chat(body).events()
    with_usage = [event for event in events[:-1] if "usage" in event]
    assert len(with_usage) == want
    assert all(event["choices"] == [] for event in with_usage)


def test_sse_events_come_one_by_one(tmp_path):
    with Backend(tmp_path, SSE=1, SSE_EVENTS=3, SSE_INTERVAL_MS=100) as backend:
        connection = backend.http()
        body = json.dumps({**user("hi"), "stream": True})
        connection.request(
            "POST", "/v1/chat/completions", body, {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        times = []
        while line := response.readline():
            if b'"delta":{"content":' in line:
                times.append(time.monotonic())
        connection.close()
    assert len(times) == 3
    assert times[2] - times[0] >= 0.19


def test_http_1_0_answers_end_with_the_connection(tmp_path):
    with Backend(tmp_path, HTTP_VERSION="1.0", SSE=1) as backend:
        answer = backend.chat({**user("hi"), "stream": True})
        assert answer.version == 10
        assert answer.headers["Transfer-Encoding"] is None
        assert answer.events()[-1] == "[DONE]"
        assert backend.chat(user("hi")).version == 10


# --- Connections -------------------------------------------------------------------------------


def test_keep_alive_serves_many_requests_on_one_connection(tmp_path):
    with Backend(tmp_path, KEEP_ALIVE=1, SSE=1) as backend:
        connection = backend.http()
        for body in ("", user("one"), {**user("two"), "stream": True}, user("three")):
            answer = backend.chat(body, connection=connection)
            assert answer.headers["Connection"] is None
            assert answer.headers["Server"] == "uvicorn"
        connection.close()
        numbers = [(e["connection"], e["exchange"]) for e in backend.events("request_complete")]
    assert numbers == [(1, 1), (1, 2), (1, 3), (1, 4)]


def test_keep_alive_closes_an_idle_connection(tmp_path):
    with Backend(tmp_path, KEEP_ALIVE=1, KEEP_ALIVE_IDLE_MS=100) as backend:
        connection = backend.http()
        connection.connect()
        backend.chat(user("hi"), connection=connection)
        assert connection.sock.recv(1) == b""
        connection.close()
        assert not backend.events("client_left")


def test_keep_alive_honours_connection_close(tmp_path):
    body = json.dumps(user("hi")).encode()
    with Backend(tmp_path, KEEP_ALIVE=1) as backend, backend.connect() as client:
        client.sendall(chat_head(len(body), "Connection: close\r\n") + body)
        assert b"\r\nConnection: close\r\n" in read_until_closed(client)


def test_keep_alive_serves_pipelined_requests_in_order(tmp_path):
    body = json.dumps(user("hi")).encode()
    with Backend(tmp_path, KEEP_ALIVE=1) as backend, backend.connect() as client:
        last = chat_head(len(body), "Connection: close\r\n") + body
        client.sendall(chat_head(len(body)) + body + last)
        assert read_until_closed(client).count(b"HTTP/1.1 200 OK") == 2


def test_close_before_the_answer(tmp_path):
    with Backend(tmp_path, CLOSE_AT="before_answer") as backend, backend.connect() as client:
        body = json.dumps(user("hi")).encode()
        client.sendall(chat_head(len(body)) + body)
        assert read_until_closed(client) == b""
        assert backend.events("reply_cut")


@pytest.mark.parametrize("sse", [0, 1])
def test_close_mid_answer(sse, tmp_path):
    settings = {"CLOSE_AT": "mid_answer", "SSE": sse, "REPLY_BYTES": 10000}
    with Backend(tmp_path, **settings) as backend, backend.connect() as client:
        body = json.dumps({**user("hi"), "stream": True}).encode()
        client.sendall(chat_head(len(body)) + body)
        answer = read_until_closed(client)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert 3000 < len(answer) < 8000
        assert backend.events("reply_cut") and not backend.events("reply_complete")


# --- Clients that leave ------------------------------------------------------------------------


def leave(client, abruptly):
    if abruptly:  # a reset instead of an orderly end
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("abruptly", [False, True])
def test_client_that_leaves_within_the_body(abruptly, tmp_path):
    with Backend(tmp_path) as backend:
        client = backend.connect()
        client.sendall(chat_head(4 * MIB) + b'{"a":"' + b"x" * (2 * MIB))
        backend.wait_for_event("first_mib")
        leave(client, abruptly)
        event = backend.wait_for_event("client_left")
        assert event["phase"] == "reading_body"
        assert MIB <= event["body_bytes"] <= 2 * MIB + 6


@pytest.mark.parametrize("abruptly", [False, True])
def test_client_that_leaves_while_it_computes(abruptly, tmp_path):
    with Backend(tmp_path, REPLY_DELAY_MS=60000) as backend:
        client = backend.connect()
        body = json.dumps(user("hi")).encode()
        client.sendall(chat_head(len(body)) + body)
        backend.wait_for_event("request_complete")
        left = time.time() * 1000
        leave(client, abruptly)
        event = backend.wait_for_event("client_left")
        assert (event["phase"], event["body_bytes"]) == ("computing", len(body))
        assert event["time_ms"] - left < 1000
        assert not backend.events("reply_started")
        assert backend.readiness().status == 200


@pytest.mark.parametrize(
    "settings", [{"REPLY_BYTES": 64 * MIB}, {"SSE": 1, "SSE_INTERVAL_MS": 9000}]
)
def test_client_that_leaves_within_the_answer(settings, tmp_path):
    with Backend(tmp_path, **settings) as backend:
        client = backend.connect()
        body = json.dumps({**user("hi"), "stream": True}).encode()
        client.sendall(chat_head(len(body)) + body)
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        leave(client, abruptly=False)
        event = backend.wait_for_event("client_left")
        assert event["phase"] == "replying"
        assert not backend.events("reply_complete")


def test_client_that_leaves_within_the_head(tmp_path):
    with Backend(tmp_path) as backend:
        with backend.connect() as client:
            client.sendall(b"POST /v1/chat/compl")
        assert backend.wait_for_event("client_left")["phase"] == "reading_head"


def test_log_tells_an_exchange_in_order_and_no_secret(tmp_path):
    with Backend(tmp_path) as backend:
        connection = backend.http()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-secret"}
        text = json.dumps(user("a private prompt"))
        connection.request("POST", "/v1/chat/completions", text, headers)
        assert Answer(connection.getresponse()).status == 200
        connection.close()
        backend.readiness()
        wait_for(lambda: backend.events("reply_complete"), "reply_complete")
        events = backend.events()
        log = backend.log_path.read_text()
    names = ["request_head", "request_complete", "reply_started", "reply_complete"]
    assert [event["event"] for event in events] == names
    assert all(event["port"] == backend.port for event in events)
    assert [event["time_ms"] for event in events] == sorted(event["time_ms"] for event in events)
    assert "sk-secret" not in log and "private" not in log
