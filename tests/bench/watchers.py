"""COUNT watchers of one service, on ten channels: prints the seconds until all have its state, then, when all have heard
of a change, the time (CLOCK_MONOTONIC). A process of its own: closing ten thousand calls takes Python's grpcio minutes.

  watchers.py ADDRESS JOB_ID COUNT
"""

import asyncio
import os
import sys
import time

import grpc

CHANNELS = 10


async def watch(address, job_id, count):
    request = b"\x0a" + bytes([len(job_id)]) + job_id.encode()  # WatchReadinessRequest{job_id}
    silent, heard = set(range(count)), asyncio.Event()

    async def follow(index, call):
        while await call.read() is not grpc.aio.EOF:
            silent.discard(index)
            if not silent:
                heard.set()

    # Each with a connection of its own.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CHANNELS)]
    began = time.monotonic()
    watchers = []
    for i in range(count):
        call = channels[i % CHANNELS].unary_stream("/tao.inference.v1.InferenceService/WatchReadiness")(request)
        watchers.append(asyncio.create_task(follow(i, call)))
    await heard.wait()
    silent.update(range(count))
    heard.clear()
    print(time.monotonic() - began, flush=True)
    await heard.wait()
    print(time.monotonic(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], sys.argv[2], int(sys.argv[3])))
