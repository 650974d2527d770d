"""aiodocker against the engine named by the environment: run, logs, exec and wait."""

import asyncio
import os
import ssl
import sys

import aiodocker


async def main(name, image):
    host = os.environ["DOCKER_HOST"]
    if os.environ.get("DOCKER_TLS_VERIFY"):
        folder = os.environ["DOCKER_CERT_PATH"]
        context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
        docker = aiodocker.Docker(url=host.replace("tcp://", "https://"), ssl_context=context)
    else:
        docker = aiodocker.Docker(url=host)
    async with docker:
        async with docker._query("_ping", versioned_api=False) as answer:
            print(await answer.text())
        config = {"Image": image, "Cmd": ["sh", "-c", "echo out; trap 'exit 7' TERM; while :; do sleep 0.1; done"],
                  "HostConfig": {"NetworkMode": "none"}}
        container = await docker.containers.run(config=config, name=name)
        async for line in container.log(stdout=True, follow=True):
            print("log:", [line])
            break
        execution = await container.exec(["echo", "inside"])
        async with execution.start(detach=False) as stream:
            message = await stream.read_out()
            print("exec:", message.data.decode().strip())
        await container.kill(signal="TERM")
        print("status:", (await container.wait())["StatusCode"])


asyncio.run(main(*sys.argv[1:]))
