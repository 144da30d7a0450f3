"""A backend over a raw socket that answers as each request's header `X-Row` asks: what no proper server would send."""

import asyncio
import collections
import contextlib
import socket
import struct
import threading

HEALTHY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"status":"ready"}'


class Backend:
    """`scripts` has, by row, what is done for each attempt (the last one again and again): a list of bytes that are
    written (or functions of such), numbers of seconds that are waited, and "fin", "rst" or "hold" (until the other side leaves). Without one of
    these at its end the connection is kept for the next request. A request with `X-Seen: ROW`
    is answered when one of that row has come."""

    def __init__(self, scripts):
        self.scripts = scripts
        self.heads = collections.defaultdict(list)   # of each row's requests, as dicts of lower-case names
        self.bodies = collections.defaultdict(list)
        self.left = collections.Counter()            # "hold": the other side left
        self.lock = threading.Lock()
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def stop(self):
        async def end():
            self.server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join()
        self.loop.close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        if "x-seen" in fields:
            while not self.heads[fields["x-seen"]]:
                await asyncio.sleep(0.02)
            writer.write(HEALTHY)
            return True
        row = fields.get("x-row")
        if row is None:  # the prober
            writer.write(HEALTHY)
            return True
        with self.lock:
            self.heads[row].append({":line": line, **fields})
            self.bodies[row].append(body)
            attempt = len(self.heads[row])
        scripts = self.scripts[row.partition("/")[2]]
        for step in scripts[min(attempt, len(scripts)) - 1]:
            if step == "fin":
                return False
            if step == "rst":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if step == "hold":
                with contextlib.suppress(ConnectionError):
                    while await reader.read(4096):
                        pass
                with self.lock:
                    self.left[row] += 1
                return False
            if callable(step):
                step = step()
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        return True
