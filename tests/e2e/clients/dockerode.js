// dockerode.js NAME IMAGE: attach with and without the upgrade, exec and wait, against the engine of the environment.
const Docker = require('dockerode');
const { PassThrough } = require('stream');

const [name, Image] = process.argv.slice(2);
const docker = new Docker();

function expectText(container, stream, wanted) {
  return new Promise((resolve, reject) => {
    const out = new PassThrough();
    let text = '';
    out.on('data', (chunk) => {
      text += chunk;
      if (text.includes(wanted)) resolve(text.trim());
    });
    stream.on('error', reject);
    stream.on('end', () => reject(new Error(`the stream ended after ${JSON.stringify(text)}`)));
    container.modem.demuxStream(stream, out, out);
  });
}

async function main() {
  for (const hijack of [true, false]) {
    const container = await docker.createContainer({
      name: `${name}-${hijack}`, Image, OpenStdin: true, StdinOnce: true,
      Cmd: ['sh', '-c', 'read word; echo "$word pong"; exit 5'], HostConfig: { NetworkMode: 'none' },
    });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack });
    await container.start();
    const answer = expectText(container, stream, 'pong');
    stream.write('ping\n');
    console.log(`hijack ${hijack}: ${await answer}`);
    stream.end();
    if (!hijack) {
      const sleeper = await docker.createContainer({ name: `${name}-exec`, Image, Cmd: ['sleep', '100'], HostConfig: { NetworkMode: 'none' } });
      await sleeper.start();
      const exec = await sleeper.exec({ Cmd: ['echo', 'inside'], AttachStdout: true });
      console.log(`exec: ${await expectText(sleeper, await exec.start({ hijack: true, stdin: true }), 'inside')}`);
      console.log(`wait: ${(await container.wait()).StatusCode}`);
    }
  }
  process.exit(0);
}

main().catch((error) => {
  console.log(`failed: ${error.message}`);
  process.exit(1);
});
