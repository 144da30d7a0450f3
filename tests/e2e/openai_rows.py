"""The facts of how the `openai` packages for Node.js behave, as rows: what a program calls, what the backend behind the
gateway does, and what the program must then see, by major version where they differ. test_openai_facts.py runs them.

The rows are in the order of the facts: A retries, back-off and time-outs; B kinds of answers; C streams of events;
D errors; E models; F leaving. A row's name begins with its letter, and says the fact.

`want` holds for all versions; the key 4, 5, 6 or 7 of `by_version` replaces it for one. Its members:
  attempts   the statuses of all attempts that the SDK made (None: it got none)
  text       of a completion, or of a stream's chunks together
  value      the whole outcome, as JSON; `kind`: its JavaScript type
  chunks     how many chunks the stream had
  error      members of the error: class (of the SDK; "" for one that is not of it), status, code, type, message (contained)
  no_answer  an error, or the promise never settles (version 4, by the version of Node.js)
  waited     seconds that lay at least between an attempt and the next"""

import dataclasses
import email.utils
import json
import time


@dataclasses.dataclass
class Row:
    name: str
    script: list                # of the backend, by attempt
    want: dict
    by_version: dict = dataclasses.field(default_factory=dict)
    call: str = "completion"
    options: dict = dataclasses.field(default_factory=dict)  # of the client
    body: dict = dataclasses.field(default_factory=dict)     # more members of the request
    headers: dict = dataclasses.field(default_factory=dict)
    left: bool = False          # the backend must see the gateway leave

    def wanted(self, version):
        return self.by_version.get(version, self.want)

    def limit(self, version):
        """Seconds until it counts as never settling."""
        return 5 if "no_answer" in self.wanted(version) else 45


def answer(status, body=b"", *fields, type="application/json", version="1.1", reason="Reason"):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/{version} {status} {reason}", f"Content-Length: {len(body)}", *fields]
    if type:
        head.append(f"Content-Type: {type}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def completion(text="hello"):
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def chunk(text="hello", **more):
    return json.dumps({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
        {"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}, ensure_ascii=False)


def event(text="hello", end="\n\n", **more):
    return f"data: {chunk(text, **more)}{end}".encode()


DONE = b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"
OK = answer(200, completion())
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def framed(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def sse(*pieces, end=LAST):
    """A stream: each piece a chunk of its own, in a write of its own."""
    steps = [HEAD + CHUNKED]
    for piece in pieces:
        steps += [framed(piece) if isinstance(piece, bytes) else piece, 0.001]
    return [*steps, *([end] if isinstance(end, bytes) else end)]


def bytewise(data):
    return [data[i:i + 1] for i in range(len(data))]


HELLO = {"text": "hello", "attempts": [200]}
TERMINATED = {"error": {"class": "", "message": "terminated"}, "attempts": [200]}
PREMATURE = {"error": {"class": "", "message": "Premature close"}, "attempts": [200]}
SYNTAX = {"error": {"class": "", "name": "SyntaxError"}, "attempts": [200]}
ERROR = {"error": {"message": "it broke", "type": "server_error", "param": "p", "code": "the_code"}}
FAST = "retry-after-ms: 1"
NEVER = {"maxRetries": 0}

CLASSES = {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError",
           409: "ConflictError", 413: "APIError", 415: "APIError", 422: "UnprocessableEntityError",
           429: "RateLimitError", 431: "APIError", 408: "APIError", 500: "InternalServerError",
           501: "InternalServerError", 502: "InternalServerError", 503: "InternalServerError",
           504: "InternalServerError", 505: "InternalServerError", 529: "InternalServerError"}


def status_row(name, status, attempts):
    return Row(name, [[answer(status, ERROR, FAST)]],
               {"error": {"class": CLASSES[status], "status": status, "code": "the_code", "type": "server_error",
                          "message": "it broke"}, "attempts": [status] * attempts})


def in_two_seconds():
    return email.utils.formatdate(time.time() + 2, usegmt=True)


RETRIES = [
    *(status_row(f"A a container's {status} is tried three times", status, 3)
      for status in (408, 409, 429, 501, 502, 503, 504, 505, 529)),
    # The SDKs would run these three times too; the gateway says x-should-retry: false, for they come out the same.
    status_row("A a container's 500 is told at once", 500, 1),
    *(status_row(f"A a container's {status} is final", status, 1) for status in (400, 401, 403, 404, 413, 415, 422, 431)),
    Row("A back-off without a word of the server's: 0.5 s, then 1 s, a quarter less at most",
        [[answer(429, ERROR)]], {"error": {"class": "RateLimitError"}, "attempts": [429] * 3, "waited": [0.37, 0.74]}),
    Row("A retry-after-ms wins over retry-after",
        [[answer(429, ERROR, "retry-after-ms: 120.5", "Retry-After: 50")], [OK]],
        {"text": "hello", "attempts": [429, 200], "waited": [0.12]}),
    Row("A retry-after in seconds is waited for", [[answer(503, ERROR, "Retry-After: 1")], [OK]],
        {"text": "hello", "attempts": [503, 200], "waited": [0.99]}),
    Row("A retry-after as a date is waited for",
        [[lambda: answer(429, ERROR, f"Retry-After: {in_two_seconds()}")], [OK]],
        {"text": "hello", "attempts": [429, 200], "waited": [0.9]}),
    Row("A x-should-retry true makes even a 404 be tried again", [[answer(404, ERROR, FAST, "x-should-retry: true")]],
        {"error": {"class": "NotFoundError"}, "attempts": [404] * 3}),
    Row("A x-should-retry false forbids it", [[answer(429, ERROR, FAST, "x-should-retry: false")]],
        {"error": {"class": "RateLimitError"}, "attempts": [429]}),
    Row("A a container that closes before its head is tried again", [["fin"], ["rst"], [OK]],
        {"text": "hello", "attempts": [502, 502, 200]}),
    Row("A and told in the end", [["fin"]],
        {"error": {"class": "InternalServerError", "status": 502, "code": "upstream_reset"}, "attempts": [502] * 3}),
    Row("A a program's own retries are its own", [[answer(503, ERROR, FAST)]], {
        "error": {"class": "InternalServerError"}, "attempts": [503]}, options=NEVER),
    Row("A 307 keeps the method and the body",
        [[answer(307, b"", "Location: {base_url}/chat/completions")], [OK]], HELLO),
    Row("A 302 becomes a GET", [[answer(302, b"", "Location: {base_url}/models")]],
        {"value": {"object": "list"}, "attempts": [200]}),
    Row("A the SDK's time-out closes the container's connection", [["hold"]],
        {"error": {"class": "APIConnectionTimeoutError"}, "attempts": [None]}, options={"timeout": 3000, **NEVER}, left=True),
    Row("A x-stainless-timeout shortens the gateway's own", [["hold"]],
        {"error": {"class": "InternalServerError", "status": 504, "code": "upstream_timeout"}, "attempts": [504]},
        options=NEVER, headers={"x-stainless-timeout": "1"}, left=True),
    Row("A not for a stream: its program waits for as long as it hears of us",
        [[1.5, *sse(event(), DONE)]], HELLO, call="stream", headers={"x-stainless-timeout": "1"}),
    Row("A a body that its length is cut short of is no answer, and is not tried again",
        [[answer(200, completion())[:-20], "fin"]], TERMINATED, {4: {"no_answer": True}}),
    Row("A nor is one in chunks", [[b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + CHUNKED + b'5\r\n{"id"\r\n',
                                   0.05, "fin"]], TERMINATED, {4: PREMATURE}),
    Row("A nothing is tried again once a stream has begun", [sse(event(), end=["rst"])],
        {"error": {"class": "APIError", "code": "upstream_reset", "status": None}, "attempts": [200]}, call="stream"),
]

NOT_READY = {"error": {"class": "InternalServerError", "status": 503, "code": "model_not_ready"}, "attempts": [503]}
PROTOCOL = {"error": {"class": "InternalServerError", "status": 502, "code": "upstream_reset"}, "attempts": [502]}

ANSWERS = [
    Row("B 202 would be taken for an answer: it becomes 503", [[answer(202, {"status": "loading"})]], NOT_READY,
        options=NEVER),
    Row("B 202 to a stream too", [[answer(202, {"status": "loading"})]], NOT_READY, call="stream", options=NEVER),
    Row("B 200 with an error inside is no exception", [[answer(200, ERROR)]], {"value": ERROR, "attempts": [200]}),
    Row("B 200 as JSON to a stream would be no chunk at all: it becomes events", [[OK]], HELLO, call="stream"),
    Row("B an error in it becomes an error event", [[answer(200, ERROR)]],
        {"error": {"class": "APIError", "code": "the_code", "message": "it broke"}, "attempts": [200]}, call="stream"),
    Row("B events to a call that wanted none are a string", [sse(event(), DONE)],
        {"kind": "string", "attempts": [200]}),
    Row("B JSON of another type is a string", [[answer(200, completion(), type="text/plain")]],
        {"kind": "string", "attempts": [200]}),
    Row("B 100 that nobody asked for ends here", [[b"HTTP/1.1 100 Continue\r\n\r\n" + OK]], HELLO),
    Row("B 102 and 103 too", [[b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK]],
        HELLO),
    Row("B white space before the JSON does no harm", [[answer(200, b" \n \n" + json.dumps(completion()).encode())]], HELLO),
    *(Row(f"B {what} of a container never reaches the SDK, which would break", [[broken]], PROTOCOL, options=NEVER)
      for what, broken in {
          "Content-Length beside chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + CHUNKED + LAST,
          "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
          "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
      }.items()),
    Row("B gzip", [[None]], HELLO),  # filled in below
    Row("B trailers and chunk extensions",
        [[b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTrailer: X-T\r\n" + CHUNKED +
          f"{len(json.dumps(completion())):x};a=b\r\n{json.dumps(completion())}\r\n0\r\nX-T: 1\r\n\r\n".encode()]], HELLO),
    Row("B an empty reason", [[answer(200, completion(), reason="")]], HELLO),
    Row("B HTTP/1.0, ended by closing", [[b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" +
                                         json.dumps(completion()).encode(), "fin"]], HELLO),
]


def events(name, *pieces, want=HELLO, by_version=None, end=LAST, **more):
    return Row(f"C {name}", [sse(*pieces, end=end)], want, by_version or {}, call="stream", **more)


def crlf(data):
    return data.replace(b"\n", b"\r\n")


def cr(data):
    return data.replace(b"\n", b"\r")


UTF8 = event("Grüße \U0001F600")
UNNESTED = {"error": {"class": "APIError", "code": None}, "attempts": [200]}
CUT = {"error": {"class": "APIError", "code": "upstream_reset"}, "attempts": [200]}

STREAMS = [
    *(events(f"a comment {comment!r} is ignored", comment.encode(), event(), DONE)
      for comment in (": hb\n\n", ":\n\n", ": x\n")),
    events("LF", event(), DONE),
    events("CRLF", crlf(event()), crlf(DONE)),
    events("CR", cr(event()), cr(DONE)),
    events("CRLF, a byte at a time", *bytewise(crlf(event())), crlf(DONE)),
    events("UTF-8, a byte at a time", *bytewise(UTF8), DONE, want={"text": "Grüße \U0001F600", "attempts": [200]}),
    events("U+2028 and U+0085 inside of data", event("a\u2028b\u0085c"), DONE,
           want={"text": "a\u2028b\u0085c", "attempts": [200]}),
    events("bytes that are no UTF-8 become U+FFFD", event("a?c").replace(b"?", b"\xff"), DONE,
           want={"text": "a\ufffdc", "attempts": [200]}),
    events("a byte order mark", b"\xef\xbb\xbf" + event("lost "), event(), DONE,
           want={"text": "lost hello", "attempts": [200]}, by_version={4: HELLO}),
    events("data without a space", event().replace(b"data: ", b"data:"), DONE),
    events("data of several lines", event().replace(b', "choices"', b',\ndata: "choices"'), DONE),
    events("a named event is a chunk", b"event: message\n" + event(), DONE,
           by_version={4: {"chunks": 1, "text": "", "attempts": [200]}}),
    events("a named event without data ends the stream", b"event: ping\n\n", event(), DONE, want=SYNTAX),
    events("so do empty data", b"data:\n\n", event(), DONE, want=SYNTAX),
    events("a named event with empty data is a chunk without choices", b"event: ping\ndata: {}\n\n", DONE,
           want={"chunks": 1, "text": "", "attempts": [200]}),
    events("retry: alone is ignored", b"retry: 3000\n\n", event(), DONE),
    events("id: and a comment later", b"id: 1\n" + event(), b": hb\n\n", DONE),
    events("an error as data", f"data: {json.dumps(ERROR)}\n\n".encode(), DONE,
           want={"error": {"class": "APIError", "code": "the_code", "type": "server_error", "param": "p",
                           "message": "it broke"}, "attempts": [200]}),
    events("an error that is a text", b'data: {"error":"it broke"}\n\n', DONE,
           want={"error": {"class": "APIError", "message": "it broke"}, "attempts": [200]}),
    events("an error event", f"event: error\ndata: {json.dumps(ERROR)}\n\n".encode(), DONE,
           want={"error": {"class": "APIError", "message": "it broke"}, "attempts": [200]}),
    events("an error event that is not nested", b'event: error\ndata: {"message":"it broke"}\n\n', DONE,
           want={"chunks": 1, "text": "", "attempts": [200]},
           by_version={4: UNNESTED, 7: UNNESTED}),
    events("error: null in a chunk", event(error=None), DONE),
    events("a chunk of usage has no choices", event(), b'data: {"id":"c1","choices":[],"usage":{"total_tokens":3}}\n\n',
           DONE, want={"text": "hello", "chunks": 2, "attempts": [200]}, body={"stream_options": {"include_usage": True}}),
    events("[DONE] with a space behind it", event(), b"data: [DONE] \n\n", by_version={7: SYNTAX}),
    events("what follows [DONE] is nobody's", event(), DONE + event("late"), DONE),
    events("a clean end without [DONE]", event()),
    events("an end inside of an event drops it", event(), b'data: {"choices":[', by_version={7: SYNTAX}),
    events("[DONE], then cut: the gateway ends it", event(), DONE, end=["rst"]),
    events("no length and no chunks, ended by closing", end=LAST, want=HELLO),  # replaced below
    events("cut between two events: an error event, and no [DONE]", event(), end=["fin"], want=CUT),
    events("reset between two events: the same", event(), end=["rst"], want=CUT),
    events("cut inside of an event", event(), b'data: {"choices":[', 0.05, end=["fin"], want=TERMINATED,
           by_version={4: PREMATURE}),
    events("an error event, then cut", f"data: {json.dumps(ERROR)}\n\n".encode(), end=["fin"],
           want={"error": {"class": "APIError", "code": "the_code"}, "attempts": [200]}),
]
next(row for row in STREAMS if "no length" in row.name).script = [[HEAD + b"\r\n" + event() + DONE, "fin"]]

ERRORS = [
    *(Row(f"D {status} is of its class", [[answer(status, ERROR, "x-should-retry: false")]],
          {"error": {"class": name, "status": status, "code": "the_code", "type": "server_error", "param": "p",
                     "message": "it broke"}, "attempts": [status]})
      for status, name in CLASSES.items()),
    Row("D an error as older vLLM writes it",
        [[answer(400, {"object": "error", "message": "it broke", "type": "BadRequestError", "param": None, "code": 400})]],
        # The body is passed on as it is; before 7 the SDK looks for `error` alone.
        {"error": {"class": "BadRequestError", "type": None, "code": None}, "attempts": [400]},
        {7: {"error": {"class": "BadRequestError", "type": "BadRequestError", "code": 400}, "attempts": [400]}}),
    Row("D an error that is HTML", [[answer(404, b"<html>no</html>", type="text/html")]],
        {"error": {"class": "NotFoundError", "message": "<html>no</html>"}, "attempts": [404]}),
    Row("D an error without a body", [[answer(404, b"", type="")]],
        {"error": {"class": "NotFoundError", "status": 404}, "attempts": [404]}),
    Row("D problem+json has a class and no code",
        [[answer(422, {"title": "no", "detail": "it broke"}, type="application/problem+json")]],
        {"error": {"class": "UnprocessableEntityError", "code": None}, "attempts": [422]}),
    Row("D a stream's error before its head keeps its status", [[answer(400, ERROR)]],
        {"error": {"class": "BadRequestError", "status": 400, "code": "the_code"}, "attempts": [400]}, call="stream"),
]

LEAVING = [
    Row("F abort of a stream reaches the container", [[*sse(event(), end=["hold"])]], {"value": 1, "attempts": [200]},
        call="abortStream", left=True),
    Row("F break out of a stream reaches the container", [[*sse(event(), end=["hold"])]], {"value": 1, "attempts": [200]},
        call="breakStream", left=True),
    Row("F abort of a completion reaches the container", [["hold"]],
        {"error": {"class": "APIUserAbortError"}, "attempts": [None]}, call="abortCompletion", left=True),
]


def gzip_answer():
    import gzip
    return answer(200, gzip.compress(json.dumps(completion()).encode()), "Content-Encoding: gzip")


next(row for row in ANSWERS if row.name == "B gzip").script = [[gzip_answer()]]

ROWS = [*RETRIES, *ANSWERS, *STREAMS, *ERRORS, *LEAVING]
