// websocket.js NAME: attaches to a container that runs cat, by websocket, and prints "opened frame closed".
const fs = require('fs');
const WebSocket = require('ws');

const path = `/v1.45/containers/${process.argv[2]}/attach/ws?stream=1&stdin=1&stdout=1`;
let socket;
if (process.env.DOCKER_TLS_VERIFY) {
  const file = (name) => fs.readFileSync(`${process.env.DOCKER_CERT_PATH}/${name}.pem`);
  socket = new WebSocket(`wss://localhost:${process.env.PORT}${path}`, { ca: file('ca'), cert: file('cert'), key: file('key') });
} else {
  socket = new WebSocket(`ws+unix://${process.env.DOCKER_HOST.replace('unix://', '')}:${path}`);
}

const said = [];
let text = '';
socket.on('open', () => {
  said.push('opened');
  socket.send('through the socket\n');
});
socket.on('message', (data) => {
  text += data.toString();
  if (text.includes('through the socket\n') && !said.includes('frame')) {
    said.push('frame');
    socket.close(1000);
  }
});
socket.on('close', () => console.log([...said, 'closed'].join(' ')));
socket.on('error', (error) => console.log(`error: ${error.message}`));
