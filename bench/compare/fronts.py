"""What stands before the engine: nothing, the book's nginx and socat, a tuned HAProxy, dockgate."""

import copy
import json
import re
import ssl
import socket
import string
from pathlib import Path

from tools import HERE, Unexpected, end, free_port, program, run, start, until


class Front:
    """One column: how clients reach the engine, and the processes in between."""

    key, title = "direct", "the socket itself"

    def __init__(self, engine, scratch):
        self.engine, self.scratch = engine, Path(scratch) / self.key
        self.scratch.mkdir(parents=True)
        self.port, self.processes = None, []
        self.client_config()

    def client_config(self):
        """A docker configuration of its own, so that builders and contexts do not meet."""
        config = self.scratch / "cli"
        config.mkdir()
        base = json.loads((Path(self.engine.env["DOCKER_CONFIG"]) / "config.json").read_text()) if self.engine.tools.get("DOCKER_PLUGINS") else {}
        (config / "config.json").write_text(json.dumps(base))
        self.env = dict(self.engine.env, DOCKER_CONFIG=str(config), HOME=str(self.scratch))

    def version(self):
        """What the column is called with its version."""
        return ""

    def start(self, _certs):
        """Nothing to start."""

    def listening(self, certs):
        """Points the clients at this front, once it accepts connections."""
        self.certs = certs
        self.env.update(DOCKER_HOST=f"tcp://localhost:{self.port}", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(certs / "clients/admin"))

        def accepts():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        if not until(accepts, 20):
            raise RuntimeError(f"{self.title} does not listen: {self.log()}")

    def spawn(self, command):
        """A process of this front, its output kept."""
        log = open(self.scratch / "log", "ab")
        self.processes.append(start(command, stdout=log, stderr=log))
        log.close()

    def log(self):
        """The end of what its processes said."""
        path = self.scratch / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def docker(self, *arguments, stdin=b"", patience=100, **extra):
        """The docker CLI through this front."""
        return run([self.engine.tools["DOCKER"], *arguments], stdin, patience, env=dict(self.env, **extra))

    def ports(self):
        """TCP ports on which its processes listen."""
        inodes = set()
        for process in self.processes:
            for pid in [process.pid, *_children(process.pid)]:
                for fd in Path(f"/proc/{pid}/fd").glob("*"):
                    try:
                        inodes.update(re.findall(r"socket:\[(\d+)\]", str(fd.readlink())))
                    except OSError:
                        continue
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                word = line.split()
                if word[3] == "0A" and word[9] in inodes:
                    found.add(int(word[1].rsplit(":", 1)[1], 16))
        return sorted(found)

    def tls(self, version=None, certificate=True):
        """A TLS connection of ours, for what no docker client shows."""
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        if version:
            context.minimum_version = context.maximum_version = version
        if certificate:
            client = self.certs / "clients/admin"
            context.load_cert_chain(client / "cert.pem", client / "key.pem")
        raw = socket.create_connection(("127.0.0.1", self.port), 10)
        return context.wrap_socket(raw, server_hostname="localhost")

    def connect(self):
        """A connection for raw requests."""
        if self.port is not None:
            return self.tls()
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(10)
        raw.connect(str(self.engine.socket))
        return raw

    def status(self, target):
        """The status of a GET for exactly this request target."""
        with self.connect() as stream:
            stream.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while b"\r\n" not in answer:
                part = stream.recv(65536)
                if not part:
                    raise Unexpected("closes without an answer")
                answer += part
        return int(answer.split()[1])

    def without_engine(self):
        """The same front before a socket that is not there."""
        engine = copy.copy(self.engine)
        engine.socket = self.scratch / "gone.sock"
        front = type(self)(engine, self.scratch / "without-engine")
        front.start(self.certs)
        return front

    def close(self):
        """Ends its processes."""
        for process in self.processes:
            end(process, 5)


def _children(pid):
    try:
        direct = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return direct + [below for child in direct for below in _children(child)]


def _fill(name, target, **values):
    target.write_text(string.Template((HERE / name).read_text()).safe_substitute({k: str(v) for k, v in values.items()}))
    return target


class Book(Front):
    """nginx and socat as in the book."""

    key, title = "book", "nginx + socat (the book)"

    def start(self, certs):
        nginx, socat = program("nginx"), program("socat")
        self.port, plain = free_port(), free_port()
        self.spawn([socat, f"TCP-L:{plain},bind=127.0.0.1,fork,reuseaddr", f"UNIX:{self.engine.socket}"])
        config = _fill("nginx.conf", self.scratch / "nginx.conf", LISTEN=f"127.0.0.1:{self.port}", SOCAT=plain,
                       SOCKET=self.engine.socket, SCRATCH=self.scratch, CERTS=certs)
        self.spawn([nginx, "-c", config])
        self.listening(certs)

    def version(self):
        nginx = run([program("nginx"), "-v"]).err.decode().rsplit("/", 1)[1].strip()
        socat = re.search(rb"socat version (\S+)", run([program("socat"), "-V"]).out)[1].decode()
        return f"nginx {nginx}, socat {socat}"


class Haproxy(Front):
    """HAProxy, tuned."""

    key, title = "haproxy", "HAProxy, tuned"

    def start(self, certs):
        haproxy = program("haproxy")
        self.port = free_port()
        (certs / "haproxy.pem").write_text((certs / "server-cert.pem").read_text() + (certs / "server-key.pem").read_text())
        config = _fill("haproxy.cfg", self.scratch / "haproxy.cfg", LISTEN=f"127.0.0.1:{self.port}", SOCKET=self.engine.socket, CERTS=certs)
        self.spawn([haproxy, "-db", "-f", config])
        self.listening(certs)

    def version(self):
        return "HAProxy " + run([program("haproxy"), "-v"]).out.split()[2].decode().split("-")[0]


class Dockgate(Front):
    """dockgate, default configuration; it makes the certificates that the other columns use too."""

    key, title = "dockgate", "dockgate"
    binary = None

    def start(self, certs):
        self.port = free_port()
        self.spawn([self.binary, "serve", "-H", f"tcp://127.0.0.1:{self.port}", "--upstream", f"unix://{self.engine.socket}",
                    "--auto-certs", certs, "--control-socket", self.scratch / "control.sock"])
        self.listening(certs)

    def version(self):
        return run([self.binary, "--version"]).out.decode().strip()


# dockgate first: it makes the certificates.
ALL = [Dockgate, Front, Book, Haproxy]
