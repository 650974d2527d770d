"""docker-py against the engine named by the environment.

docker_py.py exec_many NAME     exec_run 200 times in a running container; prints how many gave their output
docker_py.py tour NAME IMAGE    what programs do with docker-py, one line each
"""

import io
import sys
import tarfile

import docker

client = docker.from_env(timeout=50)


def exec_many(name):
    container = client.containers.get(name)
    good = sum(container.exec_run("echo one") == (0, b"one\n") for _ in range(200))
    print(f"{good} of 200")


def read_frames(stream, wanted):
    """Reads framed output from a hijacked socket until the text has come."""
    raw = b""
    text = b""
    while wanted not in text:
        chunk = stream.recv(4096)
        if not chunk:
            break
        raw += chunk
        text, rest = b"", raw
        while len(rest) >= 8:
            size = int.from_bytes(rest[4:8], "big")
            text += rest[8:8 + size]
            rest = rest[8 + size:]
    return text


def tour(name, image):
    print("ping", client.ping())
    print("run", client.containers.run(image, "echo hello", network_mode="none", remove=True))
    container = client.containers.run(image, "sh -c 'echo line; sleep 1000'", name=name, network_mode="none", detach=True)
    print("logs", next(container.logs(stream=True, follow=True)))
    code, output = container.exec_run(["sh", "-c", "echo out; exit 5"])
    print("exec", code, output)
    print("demux", container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output)
    exec_id = client.api.exec_create(name, "cat", stdin=True)["Id"]
    stream = client.api.exec_start(exec_id, socket=True)
    stream = getattr(stream, "_sock", stream)
    stream.sendall(b"echoed\n")
    print("socket", read_frames(stream, b"echoed\n"))
    stream.close()
    typed = client.containers.create(image, "cat", name=name + "-cat", network_mode="none", stdin_open=True)
    stream = typed.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    typed.start()
    raw = getattr(stream, "_sock", stream)
    raw.sendall(b"typed\n")
    print("attach", read_frames(raw, b"typed\n"))
    raw.close()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    container.put_archive("/tmp", buffer.getvalue())
    chunks, _ = container.get_archive("/tmp/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        print("archive", archive.extractfile("file").read().decode())
    events = client.events(decode=True, filters={"container": name, "event": "kill"}, since=int(client.info()["SystemTime"][:4]) - 2000)
    container.kill()
    print("event", next(events)["Action"])
    events.close()
    print("wait", container.wait()["StatusCode"])
    try:
        client.containers.get(name + "-missing")
    except docker.errors.NotFound as error:
        print("missing", error.status_code)


{"exec_many": exec_many, "tour": tour}[sys.argv[1]](*sys.argv[2:])
