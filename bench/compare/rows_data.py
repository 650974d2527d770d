"""The rows that move files, images and build contexts."""

import base64
import hashlib
import json
import os
from pathlib import Path

from engine import IMAGE
from tools import Unexpected

MIB = 1 << 20


def _expect(outcome, text=None):
    # Imported late: `rows` lists this module's rows in its table.
    from rows import expect
    expect(outcome, text, within=60)


def _context(front, what, size):
    """A build context with a file of `size` random bytes, whose sum the build prints."""
    folder = front.scratch / what
    folder.mkdir()
    data = os.urandom(size)
    (folder / "data").write_bytes(data)
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY data /data\nRUN sha256sum /data\n")
    return folder, hashlib.sha256(data).hexdigest()


def build_classic(front):
    """docker build, classic builder (8 MB context)"""
    folder, total = _context(front, "classic", 8 * MIB)
    tag = f"{front.key}-classic:latest"
    outcome = front.docker("build", "--network", "none", "-t", tag, folder, DOCKER_BUILDKIT="0")
    _expect(outcome, total)
    front.engine.must("image", "inspect", tag)


def build_buildkit(front):
    """docker buildx build (BuildKit, 8 MB context)"""
    folder, total = _context(front, "buildkit", 8 * MIB)
    tag = f"{front.key}-buildkit:latest"
    outcome = front.docker("buildx", "build", "--progress", "plain", "--network", "none", "-t", tag, folder)
    if b"booting buildkit" in outcome.err:
        raise Unexpected("the engine's BuildKit is not reached; buildx boots one in a container instead")
    _expect(outcome)
    if total.encode() not in outcome.err:
        raise Unexpected("the build's output is lost")
    front.engine.must("image", "inspect", tag)


def build_credentials(front):
    """docker build with 16 KB of registry logins (X-Registry-Config)"""
    folder, total = _context(front, "credentials", 16)
    config = front.scratch / "credentials-cli"
    config.mkdir()
    logins = {f"registry-{n}.example.com": {"auth": base64.b64encode(f"ci:{'t' * 60}{n:04}".encode()).decode()} for n in range(80)}
    settings = json.loads((Path(front.env["DOCKER_CONFIG"]) / "config.json").read_text())
    (config / "config.json").write_text(json.dumps(dict(settings, auths=logins)))
    outcome = front.docker("build", "--network", "none", "-t", f"{front.key}-credentials:latest", folder,
                           DOCKER_BUILDKIT="0", DOCKER_CONFIG=str(config))
    _expect(outcome, total)


def copy_in(front):
    """docker cp into a container (2 MB)"""
    container = f"{front.key}-copy-in"
    front.engine.must("create", "--name", container, IMAGE)
    source = front.scratch / "copy-in"
    source.write_bytes(os.urandom(2 * MIB))
    _expect(front.docker("cp", source, f"{container}:/data"))
    back = front.scratch / "copy-in-back"
    front.engine.must("cp", f"{container}:/data", back)
    if back.read_bytes() != source.read_bytes():
        raise Unexpected("the file is damaged")


def copy_out(front):
    """docker cp out of a container (20 MB)"""
    container = f"{front.key}-copy-out"
    front.engine.must("create", "--name", container, IMAGE)
    source, back = front.scratch / "copy-out", front.scratch / "copy-out-back"
    source.write_bytes(os.urandom(20 * MIB))
    front.engine.must("cp", source, f"{container}:/data")
    _expect(front.docker("cp", f"{container}:/data", back))
    if back.read_bytes() != source.read_bytes():
        raise Unexpected("the file is damaged")


def save(front):
    """docker save"""
    archive = front.scratch / "saved.tar"
    _expect(front.docker("save", "-o", archive, IMAGE))
    if f"Loaded image: {IMAGE}" not in front.engine.must("load", "-i", archive):
        raise Unexpected("the archive is damaged")


def load(front):
    """docker load"""
    tag, archive = f"{front.key}-load:latest", front.scratch / "load.tar"
    front.engine.must("tag", IMAGE, tag)
    front.engine.must("save", "-o", archive, tag)
    front.engine.must("rmi", tag)
    _expect(front.docker("load", "-i", archive), f"Loaded image: {tag}")
    front.engine.must("image", "inspect", tag)


def paths(front):
    """paths reach the engine as sent, or not at all (`%2F`, `//`, `..`)"""
    tag, container = f"team/{front.key}:1", f"{front.key}-paths"
    front.engine.must("tag", IMAGE, tag)
    front.engine.must("create", "--name", container, IMAGE)
    if (status := front.status(f"/images/team%2F{front.key}:1/json")) != 200:
        raise Unexpected(f"the image team%2Fapp:1 gets {status}")
    # The engine answers each of these with a redirect and does nothing; a 200 is an answer to another request.
    for target in (f"/containers/%2f{container}/json", f"/containers//{container}/json", "/x/%2e%2e/_ping", "//_ping", f"/containers/x/../{container}/json"):
        status = front.status(target)
        if status not in (301, 400, 404):
            raise Unexpected(f"{target.replace(container, 'c')} is rewritten and gets {status}")


ROWS_DATA = [build_classic, build_buildkit, build_credentials, copy_in, copy_out, load, save, paths]
