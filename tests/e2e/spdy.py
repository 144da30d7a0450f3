"""SPDY/3.1 as far as kubectl port-forward speaks it (draft-mbelshe-httpbis-spdy-00; streams as the Kubernetes API has
them: an error and a data stream for each connection, told apart by header `streamtype`)."""

import socket
import struct
import threading
import zlib

# The compression dictionary of section 2.6.10.1: words with their length before them, then plain text.
_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK
version HTTP/1.1 url public set-cookie keep-alive origin"""
_TEXT = ("10010120120220520630030230330430530630740240540640740840941041141241341441541641750250450"
         "5203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
         "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May "
         "Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,"
         "image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
         "charset=utf-8charset=iso-8859-1,utf-,*,enq=0.")
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode()
                      for word in _WORDS.split()) + _TEXT.encode()
assert len(DICTIONARY) == 1423

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1
PIECE = 16 << 10


class Session:
    """The server's side of one connection: `dial(port)` gives a socket to the pod for each pair of streams."""

    def __init__(self, read, write, dial):
        self.read, self._write, self.dial = read, write, dial
        self.inflate = zlib.decompressobj(zdict=DICTIONARY)
        self.deflate = zlib.compressobj(zdict=DICTIONARY)
        self.lock = threading.Lock()  # the compressor's state goes in the order of the frames
        self.sockets = {}  # by the number of the data stream
        self.errors = {}  # request -> the number of its error stream

    def serve(self):
        try:
            while self._frame():
                pass
        except (OSError, ValueError):
            pass
        finally:
            for connection in self.sockets.values():
                _cut(connection)

    def _exactly(self, size):
        data = self.read(size)
        if len(data) != size:
            raise ValueError("the connection ended")
        return data

    def _frame(self):
        head, flags_and_length = struct.unpack(">II", self._exactly(8))
        flags, payload = flags_and_length >> 24, self._exactly(flags_and_length & 0xFFFFFF)
        if not head & 0x80000000:
            self._data(head, payload, flags & FIN)
            return True
        kind = head & 0xFFFF
        if kind == SYN_STREAM:
            self._open(struct.unpack(">I", payload[:4])[0] & 0x7FFFFFFF, payload[10:])
        elif kind == PING:
            self._send(struct.pack(">II", 0x80030000 | PING, len(payload)) + payload)
        elif kind == RST_STREAM:
            _cut(self.sockets.pop(struct.unpack(">I", payload[:4])[0], None))
        return kind != GOAWAY

    def _send(self, frame):
        with self.lock:
            self._write(frame)

    def _open(self, stream, compressed):
        headers = _headers(self.inflate.decompress(compressed))
        with self.lock:
            empty = self.deflate.compress(struct.pack(">I", 0)) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
            body = struct.pack(">I", stream) + empty
            self._write(struct.pack(">II", 0x80030000 | SYN_REPLY, len(body)) + body)
        if headers["streamtype"] == "error":
            self.errors[headers["requestid"]] = stream
            return
        try:
            connection = self.dial(int(headers["port"]))
        except OSError as error:
            self._finish(self.errors[headers["requestid"]], f"connection refused: {error}".encode())
            self._finish(stream)
            return
        self.sockets[stream] = connection
        threading.Thread(target=self._relay, args=(stream, self.errors[headers["requestid"]], connection),
                         daemon=True).start()

    def _finish(self, stream, data=b""):
        self._send(struct.pack(">II", stream, FIN << 24 | len(data)) + data)

    def _data(self, stream, payload, last):
        connection = self.sockets.get(stream)
        if connection is None:
            return
        try:
            if payload:
                connection.sendall(payload)
            if last:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the relay sees it as well, and ends both streams

    def _relay(self, stream, error_stream, connection):
        try:
            while data := connection.recv(PIECE):
                self._send(struct.pack(">II", stream, len(data)) + data)
        except OSError:
            pass
        try:
            self._finish(stream)
            self._finish(error_stream)
        except (OSError, ValueError):
            pass
        finally:
            connection.close()


def _cut(connection):
    """Ends it for whoever reads, too."""
    if connection is None:
        return
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _headers(block):
    count, at, headers = struct.unpack(">I", block[:4])[0], 4, {}
    for _ in range(count):
        pair = []
        for _ in range(2):
            size = struct.unpack(">I", block[at:at + 4])[0]
            pair.append(block[at + 4:at + 4 + size].decode())
            at += 4 + size
        headers[pair[0].lower()] = pair[1]
    return headers
