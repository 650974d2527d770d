"""Finding programs, running them under a deadline, and ending them for certain."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """A program that a column or a row needs is not here."""


class Unexpected(Exception):
    """What a command did that the socket itself does not do: the text of a cell."""


def engine_tools():
    """Where dockerd, docker and its plugins are: what `.ci/engine` installed, else the system's own."""
    cache = Path(os.environ.get("DOCKGATE_ENGINE_DIR", Path.home() / ".cache/dockgate-engine"))
    installer = ROOT / ".ci/engine"
    if not (cache / "env").exists() and installer.exists():
        subprocess.run([installer, "--quiet"], check=True, stdin=subprocess.DEVNULL)
    found = {}
    if (cache / "env").exists():
        for line in (cache / "env").read_text().splitlines():
            name, _, value = line.partition("=")
            found[name] = value
    for name, program in [("DOCKERD", "dockerd"), ("DOCKER", "docker"), ("BUSYBOX", "busybox")]:
        path = found.get(name) or shutil.which(program)
        if not path or not os.access(path, os.X_OK):
            raise Missing(f"{program} not found: install a Docker Engine, the docker CLI and busybox-static, or run .ci/engine")
        found[name] = path
    return found


def program(name):
    """The path of a program, also where root's PATH is short."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{name} is not installed: apt-get install {name}")
    return path


def free_port():
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _child():
    """Its own process group, and gone with us even when we are killed."""
    os.setsid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def start(command, **options):
    """Starts a process in a group of its own."""
    options.setdefault("stdin", subprocess.DEVNULL)
    # dockgate takes DOCKGATE_* for settings; what the tests are told that way is not for it.
    options.setdefault("env", {name: value for name, value in os.environ.items() if not name.startswith("DOCKGATE_")})
    return subprocess.Popen([str(part) for part in command], preexec_fn=_child, **options)


def end(process, patience=10):
    """Ends a process and its group: SIGTERM, then SIGKILL."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            pass
        try:
            process.wait(patience)
            if sign == signal.SIGKILL:
                break
        except subprocess.TimeoutExpired:
            continue


@dataclass
class Outcome:
    """What a command did."""

    code: int | None  # None: it had to be killed
    out: bytes
    err: bytes
    seconds: float

    def complaint(self):
        """The first line on which it complained, or nothing; of an HTML page its title."""
        text = (self.err + b"\n" + self.out).decode(errors="replace")
        if page := re.search(r"<(?:title|h1)>(.*?)</(?:title|h1)>", text, re.S):
            return f"{page[1].strip()}, as an HTML page"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if re.search("error|unable|failed|unexpected|refused", line, re.I)]
        line = (telling or lines or [""])[0]
        if logged := re.search(r'level=\w+ msg="(.*)"', line):
            line = logged[1].replace('\\"', '"')
        return line


def run(command, stdin=b"", patience=100, **options):
    """Runs a command to its end, at most `patience` seconds."""
    began = time.monotonic()
    process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        out, err = process.communicate(stdin, patience)
        code = process.returncode
    except subprocess.TimeoutExpired:
        end(process, 1)
        out, err = process.communicate(timeout=10)
        code = None
    return Outcome(code, out, err, time.monotonic() - began)


def until(what, patience, step=0.02):
    """Polls `what` until it is true; its value, or None after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            return None
        time.sleep(step)
