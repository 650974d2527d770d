"""testcontainers against the engine named by the environment: what a test suite does with it, one line each.

containers_test.py NAME IMAGE

Its reaper needs the engine's socket in a container, which no role with a scope may have, so that it is off.
"""

import os
import sys

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

name, image = sys.argv[1:3]
client = docker.from_env(timeout=50)


def container(command, **kwargs):
    return DockerContainer(image).with_command(command).with_kwargs(network_mode="none", **kwargs)


with container("sh -c 'echo $GREETING; sleep 1000'").with_env("GREETING", "ready to serve").with_name(name).waiting_for(LogMessageWaitStrategy("ready to serve")) as served:
    print("logs", served.get_logs())
    print("exec", served.exec(["sh", "-c", "echo inside; exit 3"]))
    print("status", served.get_wrapped_container().name, client.containers.get(name).status)
    try:
        container("true").with_name(name).start()
    except docker.errors.APIError as error:
        print("taken", error.status_code)
print("gone", client.containers.list(all=True, filters={"name": name}))

with container("sleep 1000").with_volume_mapping(name + "-data", "/data", "rw") as first:
    first.exec(["sh", "-c", "echo kept >/data/file"])
    with container("cat /data/file").with_volume_mapping(name + "-data", "/data", "ro") as second:
        second.get_wrapped_container().wait(timeout=20)
        print("volume", second.get_logs())
client.volumes.get(name + "-data").remove()

with Network() as network:
    print("network", client.networks.get(network.id).attrs["Driver"])
print("networks", client.networks.list(names=[network.name]))
