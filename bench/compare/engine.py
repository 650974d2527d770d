"""A private Docker Engine: own socket, own data, no network; gone at the end."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tools import end, run, start, until

IMAGE = "compare-busybox:latest"


class Engine:
    """Starts in `directory` and removes every trace of itself on `close`."""

    def __init__(self, tools, directory):
        self.tools, self.directory = tools, Path(directory)
        self.socket = self.directory / "docker.sock"
        self.directory.mkdir(parents=True)
        (self.directory / "daemon.json").write_text(json.dumps({
            "bridge": "none", "iptables": False, "ip6tables": False, "ip-forward": False, "shutdown-timeout": 2,
        }))
        config = self.directory / "cli"
        config.mkdir()
        if tools.get("DOCKER_PLUGINS"):
            (config / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [tools["DOCKER_PLUGINS"]]}))
        path = f"{Path(tools['DOCKERD']).parent}:{Path(tools['DOCKER']).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.env = {"PATH": path, "HOME": str(self.directory), "DOCKER_CONFIG": str(config), "DOCKER_HOST": f"unix://{self.socket}"}
        self.log = open(self.directory / "dockerd.log", "wb")
        self.process = start(
            [tools["DOCKERD"], "--config-file", self.directory / "daemon.json", "--data-root", self.directory / "data",
             "--exec-root", self.directory / "exec", "--pidfile", self.directory / "docker.pid",
             "--host", f"unix://{self.socket}"],
            stdout=self.log, stderr=self.log, env=self.env)

    def ready(self):
        """Waits until the engine answers, and makes the image that the rows run."""
        if not until(lambda: self.socket.exists() and self.docker("version", patience=5).code == 0, 60, 0.2):
            raise RuntimeError((self.directory / "dockerd.log").read_text()[-2000:])
        root = self.directory / "image"
        (root / "bin").mkdir(parents=True)
        for name in ("etc", "tmp", "proc", "dev", "sys"):
            (root / name).mkdir()
        shutil.copy(self.tools["BUSYBOX"], root / "bin/busybox")
        for applet in subprocess.check_output([self.tools["BUSYBOX"], "--list"], text=True).split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        with tarfile.open(self.directory / "image.tar", "w") as tar:
            tar.add(root, ".")
        made = self.docker("import", "--change", 'CMD ["sh"]', self.directory / "image.tar", IMAGE)
        if made.code != 0:
            raise RuntimeError(made.complaint())
        return self

    def docker(self, *arguments, stdin=b"", patience=60):
        """The docker CLI on the socket itself."""
        return run([self.tools["DOCKER"], *arguments], stdin, patience, env=self.env)

    def must(self, *arguments, **options):
        """The same, for what prepares or judges a row: it has to work."""
        outcome = self.docker(*arguments, **options)
        if outcome.code != 0:
            raise RuntimeError(f"docker {' '.join(map(str, arguments))}: {outcome.complaint()}")
        return outcome.out.decode().strip()

    def version(self):
        """Engine and CLI, as they name themselves."""
        return self.must("version", "--format", "{{.Server.Version}}"), self.must("version", "--format", "{{.Client.Version}}")

    def close(self):
        """Ends containers, engine and mounts, and removes the directory."""
        running = self.docker("ps", "-q", patience=10).out.split()
        if running:
            self.docker("kill", *[name.decode() for name in running], patience=20)
        end(self.process, 20)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"{self.directory}/exec/containerd" in command or f"{self.directory}/data" in command:
                    os.kill(int(process.name), 9)
            except (OSError, ValueError):
                continue
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.directory}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL, check=False)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
