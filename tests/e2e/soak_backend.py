"""What stands behind the gateway in the mixed load of soak.py: a process of its own, one event loop.

    soak_backend.py      prints its ports: one that is READY, one that loads for ever, one that does both in turn

It reads each body to its end, and answers as the header `X-Do` says:
    json              a completion
    close             the same, and the connection ends
    events N          a stream of N events
    bytes N           a JSON string of N bytes
    silent            nothing, until the other side leaves
    early             a completion before the body, then the connection ends
    cut, reset        half of an answer, then a FIN or an RST"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time

LOADING_S, READY_S = 6, 10  # of the one that does both
TURN = 1 << 16
COMPLETION = json.dumps({"id": "c", "object": "chat.completion", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}).encode()
EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello "},"finish_reason":null}]}\n\n'


def answer(body, status="200 OK", more=""):
    return (f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n").encode() + body


def framed(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def drop_body(reader, fields):
    if "chunked" in fields.get("transfer-encoding", ""):
        while True:
            size = int(await reader.readline(), 16)
            await reader.readexactly(size + 2)
            if size == 0:
                return
    left = int(fields.get("content-length", 0))
    while left:
        some = await reader.read(min(left, TURN))
        if not some:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(some)


async def do(reader, writer, what, fields):
    """Whether the connection lives on."""
    word, _, number = what.partition(" ")
    if word == "early":
        writer.write(answer(COMPLETION, more="Connection: close\r\n"))
        await writer.drain()
        return False
    await drop_body(reader, fields)
    if word == "events":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(int(number)):
            writer.write(framed(EVENT))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    elif word == "bytes":
        left = int(number)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {left}\r\n\r\n".encode())
        while left:
            writer.write(b" " * min(left, TURN))
            left -= min(left, TURN)
            await writer.drain()
    elif word == "silent":
        await reader.read()
        return False
    elif word in ("cut", "reset"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + framed(EVENT))
        await writer.drain()
        if word == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    else:
        writer.write(answer(COMPLETION, more="Connection: close\r\n" if word == "close" else ""))
    await writer.drain()
    return word != "close"


def server(is_ready):
    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            alive = True
            while alive:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *lines = head.rstrip("\r\n").split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                if line.startswith("POST"):
                    alive = await do(reader, writer, fields.get("x-do", "json"), fields)
                elif is_ready():
                    writer.write(answer(b'{"status":"ready"}'))
                else:
                    writer.write(answer(b'{"status":"not_ready","reason":"model_loading","message":"shard 3 of 8"}',
                                        "503 Service Unavailable"))
        writer.close()

    return serve


async def main():
    for is_ready in (lambda: True, lambda: False, lambda: time.monotonic() % (LOADING_S + READY_S) > LOADING_S):
        listening = await asyncio.start_server(server(is_ready), "127.0.0.1", 0, backlog=1024)
        print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
