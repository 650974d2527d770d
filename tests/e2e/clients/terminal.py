"""The docker CLI on a pseudo-terminal.

terminal.py shell NAME IMAGE    a shell that echoes, is resized and exits with 3; prints "echoed resized 3"
terminal.py detach NAME IMAGE   leaves by ctrl-p ctrl-q and comes back; prints "detached 0 running again"

Everything is waited for, with a deadline; on failure the terminal's text goes to standard error.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

DEADLINE = time.monotonic() + 40


class Terminal:
    def __init__(self, *command):
        self.master, slave = pty.openpty()
        self.resize(24, 80)
        self.child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, *wanted):
        """Reads until one of the texts has come, and says which."""
        while not any(text in self.seen for text in wanted):
            left = DEADLINE - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                sys.exit(f"none of {wanted!r} in {self.seen!r}")
            try:
                chunk = os.read(self.master, 4096)
            except OSError:
                chunk = b""
            if not chunk:
                sys.exit(f"the terminal ended without {wanted!r}: {self.seen!r}")
            self.seen += chunk.decode(errors="replace")
        found = next(text for text in wanted if text in self.seen)
        self.seen = self.seen.split(found, 1)[1]
        return found

    def wait(self):
        # A terminal that nobody reads blocks the child.
        while self.child.poll() is None:
            if time.monotonic() > DEADLINE:
                self.child.kill()
                sys.exit(f"the client did not end: {self.seen!r}")
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    pass
        return self.child.returncode


def shell(name, image):
    began = int(time.time()) - 1
    terminal = Terminal("docker", "run", "--network", "none", "-it", "--rm", "--name", name, image, "sh")
    terminal.expect("# ")
    terminal.type("echo hel''lo\n")
    terminal.expect("hello")
    terminal.resize(33, 101)
    # The kernel tells the client, the client the engine. Typing meanwhile makes the session hang now and then, on the engine's
    # own socket too, so the engine's word for it is awaited; a client that was not listening yet is told again.
    events = subprocess.Popen(["docker", "events", "--since", str(began), "--filter", "container=" + name, "--filter", "event=resize",
                               "--format", "height {{.Actor.Attributes.height}}."], stdout=subprocess.PIPE)
    told = b""
    while b"height 33." not in told:
        if events.poll() is not None or time.monotonic() > DEADLINE:
            sys.exit(f"the engine told of no resize: {told!r}")
        if select.select([events.stdout], [], [], 3)[0]:
            told += os.read(events.stdout.fileno(), 4096)
        else:
            terminal.resize(32, 101)
            terminal.resize(33, 101)
    events.kill()
    answer = "no"
    while answer != "yes":
        terminal.type("[ \"$(stty size)\" = '33 101' ] && echo y''es || echo n''o\n")
        answer = terminal.expect("yes", "no\r")
    terminal.type("exit 3\n")
    print("echoed resized", terminal.wait())


def detach(name, image):
    terminal = Terminal("docker", "run", "--network", "none", "-it", "--name", name, image, "sh")
    terminal.expect("# ")
    terminal.type("echo be''fore\n")
    terminal.expect("before")
    terminal.type("\x10\x11")
    code = terminal.wait()
    state = subprocess.run(["docker", "inspect", "-f", "{{.State.Status}}", name], capture_output=True, text=True).stdout.strip()
    again = Terminal("docker", "attach", name)
    # Attach asks for a redraw by resizing; the prompt comes with the next line.
    again.type("echo af''ter\n")
    again.expect("after")
    again.type("exit\n")
    again.wait()
    print("detached", code, state, "again")


{"shell": shell, "detach": detach}[sys.argv[1]](*sys.argv[2:])
