"""A program on a terminal: a pseudo terminal that is its controlling one, so that typed keys become signals, and a
screen that shows what a person would see."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import harness

CTRL_C = "\x03"
CTRL_D = "\x04"  # end of input, at the start of a line
ERASE_TO_END = "\x1b[K"


class Screen:
    """What a terminal of `columns` shows of `text`: carriage returns go back, "erase to the end" erases, and a line
    that is too long wraps. Any other escape sequence is an error: we promise to write none."""

    def __init__(self, text, columns):
        self.lines = [""]
        at = 0
        while text:
            if text.startswith(ERASE_TO_END):
                self.lines[-1] = self.lines[-1][:at]
                text = text[len(ERASE_TO_END):]
                continue
            character, text = text[0], text[1:]
            assert character in "\r\n" or character >= " ", f"{character!r} before {text[:20]!r}"
            if character == "\r":
                at = 0
            elif character == "\n":
                self.lines.append(" " * at)
            else:
                if at == columns:
                    self.lines.append("")
                    at = 0
                line = self.lines[-1]
                self.lines[-1] = line[:at].ljust(at) + character + line[at + 1:]
                at += 1


class Terminal:
    """Runs `arguments` on a terminal. What the program reads or writes elsewhere is given as a Popen argument
    (stdout=subprocess.PIPE); everything else is the terminal."""

    def __init__(self, arguments, columns=200, env=None, **elsewhere):
        self.columns = columns
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        streams = {"stdin": slave, "stdout": slave, "stderr": slave, **elsewhere}
        self.process = subprocess.Popen(
            arguments, **streams, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", **(env or {})})
        os.close(slave)
        self.raw = b""

    @property
    def text(self):
        return self.raw.decode(errors="replace")

    @property
    def screen(self):
        return Screen(self.text.replace("\r\n", "\n\r"), self.columns).lines

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            return False
        self.raw += piece
        return bool(piece)

    def wait_for(self, expected, limit=harness.LIMIT):
        """Reads until `expected` was shown."""
        deadline = time.monotonic() + limit
        while expected not in self.text:
            alive = self._read(0.05)
            if expected in self.text:
                return
            assert alive and time.monotonic() < deadline, f"{expected!r} never came; there is:\n{self.text}"

    def type(self, keys):
        os.write(self.master, keys.encode())

    def end(self, limit=harness.LIMIT):
        """Reads to the end; the exit code."""
        deadline = time.monotonic() + limit
        while self._read(0.05):
            assert time.monotonic() < deadline, f"it does not end; there is:\n{self.text}"
        return self.process.wait(limit)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)


@contextlib.contextmanager
def cli(daemon, *arguments, **options):
    """tao-inference on a terminal, as a user of `daemon` runs it."""
    running = Terminal([harness.BIN / "tao-inference", "--server", daemon.grpc, *arguments], **options)
    try:
        yield running
    finally:
        running.close()
