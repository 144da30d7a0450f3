"""One container of the stand-in for Lepton: runs a command in a network namespace of its own, where it has port
8080 alone as in a real one, and lets connections in by a Unix socket.

    lepton_door.py SOCKET COMMAND ARGUMENT..."""

import os
import signal
import socket
import subprocess
import sys
import threading


def carry(source, sink):
    try:
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    except OSError:
        pass
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass


def let_in(outside):
    inside = socket.socket()
    try:
        inside.connect(("127.0.0.1", 8080))
    except OSError:
        outside.close()  # nothing listens yet
        return
    back = threading.Thread(target=carry, args=(inside, outside))
    back.start()
    carry(outside, inside)
    back.join()
    inside.close()
    outside.close()


def main():
    door = socket.socket(socket.AF_UNIX)
    door.bind(sys.argv[1])
    door.listen(128)
    container = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=True)

    def end(*_):
        try:
            os.killpg(container.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os._exit(0)

    def wait():
        code = container.wait()
        print(f"lepton_door: ended with {code}", flush=True)
        os._exit(code if code >= 0 else 128 - code)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=wait, daemon=True).start()
    while True:
        threading.Thread(target=let_in, args=(door.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
