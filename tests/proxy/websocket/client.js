// A WebSocket client by `ws`: node - PROXY URL ROOT, in a tunnel by CONNECT. With WAIT, it stays until it is closed, and
// sends what stdin says.
const WebSocket = require('ws');
const http = require('http');
const tls = require('tls');
const fs = require('fs');
const [proxy, url, root] = process.argv.slice(2);
const { host, hostname, protocol } = new URL(url);
const [address, port] = proxy.split(':');
const tunnel = http.request({ host: address, port, method: 'CONNECT', path: host, headers: { host } });
tunnel.on('connect', (response, raw) => {
  const secure = () => tls.connect({ socket: raw, servername: hostname, ca: fs.readFileSync(root), ALPNProtocols: ['http/1.1'] });
  const socket = new WebSocket(url, 'chat', {
    createConnection: () => (protocol === 'wss:' ? secure() : raw),
    perMessageDeflate: { threshold: 0 },
  });
  const heard = [];
  let wake = () => {};
  socket.on('message', (data, binary) => (heard.push(binary ? data : data.toString()), wake()));
  socket.on('pong', (data) => (heard.push(`pong ${data}`), wake()));
  socket.on('close', (code, reason) => console.log(`close ${code} ${reason}`));
  socket.on('error', (error) => console.log(`error ${error.message}`));
  socket.on('unexpected-response', (request, response) => {
    console.log(`answered ${response.statusCode} ${response.headers['x-deny-reason']}`);
    process.exit(0);
  });
  const next = async () => {
    while (heard.length === 0) await new Promise((resolve) => (wake = resolve));
    return heard.shift();
  };
  socket.on('open', async () => {
    if (process.env.WAIT) {
      console.log(`open ${await next()}`);
      process.stdin.on('data', (line) => socket.send(line.toString()));
      for (;;) console.log(`heard ${await next()}`);
    }
    socket.send('hello');
    console.log(`text ${await next()}`);
    const long = require('crypto').randomBytes(1 << 20);
    socket.send(long);
    console.log(`binary ${long.equals(await next())}`);
    console.log(`protocol ${socket.protocol}`);
    console.log(`deflate ${socket.extensions.includes('permessage-deflate')}`);
    socket.ping('tide');
    console.log(await next());
    socket.send('close 4001 bye');
  });
});
tunnel.end();
