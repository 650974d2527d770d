"""The rows: what a person does with Docker, judged by what the same does on the socket itself.

A row returns nothing when all is well and raises `Unexpected` with what it saw otherwise.
"""

import hashlib
import os
import pty
import re
import ssl
import subprocess
import threading
import time

from engine import IMAGE
from rows_data import ROWS_DATA
from tools import Unexpected, end, run, start, until

# Longer than the 60 seconds after which nginx gives up by default.
QUIET = 70
# What takes longer than this on an idle machine is not "works".
PROMPT = 30


def expect(outcome, text=None, code=0, within=PROMPT):
    """Exit code, output and time as on the socket."""
    if outcome.code is None:
        raise Unexpected(f"hangs: {outcome.complaint() or 'no output'} after {outcome.seconds:.0f} s")
    late = f" after {outcome.seconds:.0f} s" if outcome.seconds > within else ""
    if outcome.code != code:
        raise Unexpected(f"{outcome.complaint() or f'exit code {outcome.code}'}{late}")
    if text is not None and text.encode() not in outcome.out:
        raise Unexpected(f"output lost{late}" if not outcome.out.strip() else f"wrong output{late}")
    if late:
        raise Unexpected(f"works only{late}")


def name(front, what):
    """A container or image name of this column's own."""
    return f"{front.key}-{what}"


def sleeper(front, what):
    """A running container, started on the socket itself."""
    container = name(front, what)
    front.engine.must("run", "-d", "--name", container, IMAGE, "tail", "-f", "/dev/null")
    return container


def listing(front):
    """docker ps, info, inspect"""
    container = sleeper(front, "listed")
    expect(front.docker("ps", "--format", "{{.Names}}"), container)
    expect(front.docker("info", "--format", "{{.ID}}"), front.engine.must("info", "--format", "{{.ID}}"))
    expect(front.docker("inspect", "--format", "{{.State.Status}}", container), "running")


def run_foreground(front):
    """docker run"""
    expect(front.docker("run", "--rm", IMAGE, "sh", "-c", "echo hello; exit 3"), "hello", code=3)


def run_detached(front):
    """docker run -d"""
    expect(front.docker("run", "-d", "--name", name(front, "detached"), IMAGE, "sleep", "5"))


def run_stdin(front):
    """docker run -i (1 MB of stdin)"""
    data = os.urandom(1 << 20)
    expect(front.docker("run", "-i", "--rm", IMAGE, "sha256sum", stdin=data), hashlib.sha256(data).hexdigest())


def terminal(front):
    """docker run -it (a terminal)"""
    ours, theirs = pty.openpty()
    command = [front.engine.tools["DOCKER"], "run", "-it", "--rm", IMAGE, "sh"]
    process = start(command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(front.env, TERM="xterm"))
    os.close(theirs)
    seen = bytearray()

    def reader():
        try:
            while part := os.read(ours, 65536):
                seen.extend(part)
        except OSError:
            pass
    reading = threading.Thread(target=reader, daemon=True)
    reading.start()
    try:
        if not until(lambda: b"# " in seen or process.poll() is not None, 100) or process.poll() is not None:
            raise Unexpected(_said(seen) or "no prompt after 100 s")
        os.write(ours, b"echo $((6*7))\nexit 4\n")
        if until(lambda: process.poll() is not None, 20) is None:
            raise Unexpected("dead terminal")
        reading.join(5)
        if process.returncode != 4 or b"42" not in seen:
            raise Unexpected(f"exit code {process.returncode}, the screen ends with {bytes(seen[-60:])!r}")
    finally:
        end(process, 2)


def _said(seen):
    lines = [line.strip() for line in seen.decode(errors="replace").splitlines() if line.strip()]
    return lines[0] if lines else ""


def exec_plain(front):
    """docker exec"""
    expect(front.docker("exec", sleeper(front, "exec"), "sh", "-c", "sleep 2; echo late"), "late")


def exec_stdin(front):
    """docker exec -i (50 MB of stdin)"""
    data = os.urandom(50 << 20)
    expect(front.docker("exec", "-i", sleeper(front, "pipe"), "sha256sum", stdin=data), hashlib.sha256(data).hexdigest())


def exec_python(front):
    """exec from docker-py"""
    python = front.engine.tools.get("PYTHON")
    script = ("import docker, sys\nc = docker.from_env().containers.get(sys.argv[1])\n"
              "code, out = c.exec_run('echo one')\nassert (code, out) == (0, b'one\\n'), (code, out)")
    if not python or run([python, "-c", "import docker"]).code != 0:
        return "not run: no docker-py"
    outcome = run([python, "-c", script, sleeper(front, "python")], env=front.env)
    if outcome.code is not None and outcome.code != 0:
        last = outcome.err.decode(errors="replace").strip().splitlines()[-1]
        raise Unexpected("output lost, exit code 0" if last == "AssertionError: (0, b'')" else last)
    return expect(outcome)


def attach(front):
    """docker attach, both directions"""
    container = name(front, "attach")
    front.engine.must("run", "-d", "-i", "--name", container, IMAGE, "sh", "-c", "while read x; do echo got:$x; [ $x = two ] && exit; done")
    process = start([front.engine.tools["DOCKER"], "attach", container], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=front.env)
    seen = _collect(process)
    try:
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            if not until(lambda: b"got:" + word in seen, PROMPT):
                raise Unexpected(_said(seen) or "input never arrives")
        if until(lambda: process.poll() is not None, PROMPT) is None or process.returncode != 0:
            raise Unexpected(f"does not end with its container (exit code {process.returncode})")
    except BrokenPipeError:
        raise Unexpected(_said(seen) or "ends at once") from None
    finally:
        end(process, 2)


def _collect(process):
    seen = bytearray()

    def reader():
        while part := os.read(process.stdout.fileno(), 65536):
            seen.extend(part)
    threading.Thread(target=reader, daemon=True).start()
    return seen


def logs_follow(front):
    """docker logs -f, a line at once"""
    container = sleeper(front, "logs")
    process = start([front.engine.tools["DOCKER"], "logs", "-f", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=front.env)
    seen = _collect(process)
    worst = 0.0
    try:
        for number in range(5):
            mark = f"mark-{number}"
            front.engine.must("exec", container, "sh", "-c", f"echo {mark} >/proc/1/fd/1")
            began = time.monotonic()
            if not until(lambda: mark.encode() in seen or process.poll() is not None, 10, 0.001) or process.poll() is not None:
                raise Unexpected("silent for 10 s" if process.poll() is None else _said(seen))
            worst = max(worst, time.monotonic() - began)
        if worst > 1:
            raise Unexpected(f"lines come {worst:.1f} s late")
    finally:
        end(process, 2)


def events_quiet(front):
    """docker events, after more than 60 quiet seconds"""
    volume = name(front, "event")
    command = ["events", "--filter", "type=volume", "--filter", f"volume={volume}", "--format", "{{.Action}} {{.Actor.ID}}"]
    process = start([front.engine.tools["DOCKER"], *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=front.env)
    seen = _collect(process)
    began = time.monotonic()
    try:
        if until(lambda: process.poll() is not None, QUIET, 0.5):
            raise Unexpected(f"cut after {time.monotonic() - began:.0f} s: {_said(seen) or 'no message'}")
        front.engine.must("volume", "create", volume)
        if not until(lambda: f"create {volume}".encode() in seen, 5):
            raise Unexpected("the event does not arrive within 5 s")
    finally:
        end(process, 2)


def wait_long(front):
    """docker wait, for more than 60 seconds"""
    container = name(front, "wait")
    front.engine.must("run", "-d", "--name", container, IMAGE, "sh", "-c", f"sleep {QUIET}; exit 7")
    began = time.monotonic()
    outcome = front.docker("wait", container, patience=QUIET + 30)
    if outcome.code != 0:
        raise Unexpected(f"cut after {time.monotonic() - began:.0f} s: {outcome.complaint() or 'no message'}")
    expect(outcome, "7", within=QUIET + 20)


def compose(front):
    """docker compose up, with the output of its services"""
    project = front.scratch / "compose"
    project.mkdir()
    services = "".join(
        f"  {service}:\n    image: {IMAGE}\n    network_mode: none\n    command: [sh, -c, 'echo {service}-begins; sleep 2; echo {service}-ends']\n"
        for service in ("web", "db"))
    (project / "compose.yaml").write_text(f"services:\n{services}")
    base = ["compose", "-p", name(front, "compose"), "-f", str(project / "compose.yaml")]
    outcome = front.docker(*base, "up", patience=120)
    try:
        if outcome.code is None:
            raise Unexpected("hangs: after 120 s its services have not printed a line")
        expect(outcome, within=60)
        missing = [word for word in ("web-begins", "web-ends", "db-begins", "db-ends") if word.encode() not in outcome.out]
        if missing:
            raise Unexpected(f"output lost: {', '.join(missing)}")
    finally:
        front.engine.docker(*base, "down", "-t", "1")


def tls13(front):
    """TLS 1.3"""
    if front.port is None:
        return "not run: no TLS"
    try:
        with front.tls(ssl.TLSVersion.TLSv1_3) as stream:
            stream.sendall(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if not stream.recv(65536).startswith(b"HTTP/1.1 200"):
                raise Unexpected("handshake, but no answer")
    except ssl.SSLError as error:
        raise Unexpected(f"refused: {_reason(error)}") from None
    return None


def no_certificate(front):
    """a client without a certificate is refused in the handshake"""
    if front.port is None:
        return "not run: no TLS"
    try:
        with front.tls(ssl.TLSVersion.TLSv1_2, certificate=False) as stream:
            stream.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = stream.recv(65536).decode(errors="replace")
            page = "an HTML page" if "<html" in answer.lower() else "an answer"
            raise Unexpected(f"full handshake, HTTP, then {page} ({answer.split(' ')[1]})")
    except ssl.SSLError:
        return None


def local_user(front):
    """a local user without a certificate stays outside"""
    if front.port is None:
        return "not run: the socket's group decides"
    listening = front.ports()
    if front.port not in listening:
        raise RuntimeError(f"{front.title}: its own port {front.port} was not found among {listening}")
    for port in listening:
        got = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "-m", "10",
                   f"http://127.0.0.1:{port}/version"], env=front.env)
        if b"ApiVersion" in got.out:
            raise Unexpected("the user nobody gets the whole API from socat's port: root on the host")
    return None


def engine_down(front):
    """the engine is down: one sentence that says so"""
    if front.port is None:
        return "not run: the CLI's own words"
    broken = front.without_engine()
    try:
        outcome = broken.docker("ps")
        if outcome.code is None:
            raise Unexpected(f"hangs for {outcome.seconds:.0f} s")
        lines = outcome.err.decode(errors="replace").strip().splitlines()
        if len(lines) != 1 or not re.search("socket|engine|daemon is", lines[0].replace("Error response from daemon", "")):
            raise Unexpected(outcome.complaint())
    finally:
        broken.close()
    return None


def _reason(error):
    return re.sub(r"\s*\(_ssl.*\)|\[.*?\]\s*", "", str(error)) or error.reason


# Order of the table; the slow ones of `rows_data` stand where a reader looks for them.
ROWS = [listing, run_foreground, run_detached, run_stdin, terminal, exec_plain, exec_stdin, exec_python, attach, logs_follow,
        events_quiet, wait_long, compose, *ROWS_DATA, tls13, no_certificate, local_user, engine_down]
