// A WebSocket server by `ws`: node - [KEY CERTIFICATE]. Tells what it was asked for, echoes, closes when told to.
const { WebSocketServer } = require('ws');
const fs = require('fs');
const [key, cert] = process.argv.slice(2);
const server = key
  ? require('https').createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) })
  : require('http').createServer();
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { threshold: 0 },
  maxPayload: 4 << 20,
  handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
});
server.on('upgrade', (request, socket, head) => {
  console.log(`asked ${request.method} ${request.url} host=${request.headers.host} via=${request.headers.via}`);
  if (request.url === '/unauthorized') {
    socket.end('HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 4\r\n\r\nwho?');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (opened) => {
    if (request.url.startsWith('/mirror')) {
      opened.send(`key=${request.headers['x-api-key']} offered=${request.headers['sec-websocket-extensions']}`);
    }
    for (let sent = 0; request.url === '/flood' && sent < 512; sent++) opened.send(Buffer.alloc(1 << 16));
    opened.on('message', (data, binary) => {
      const text = binary ? '' : data.toString();
      if (text.startsWith('close ')) opened.close(Number(text.split(' ')[1]), text.split(' ')[2]);
      else opened.send(data, { binary });
    });
    opened.on('error', (error) => console.log(`error ${error.message}`));
    opened.on('close', (code) => console.log(`closed ${code}`));
  });
});
server.on('request', (request, response) => response.end(`plain ${request.url}`));
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
