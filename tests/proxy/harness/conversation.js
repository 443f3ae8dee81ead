// An origin and its client in one process, so that each knows what the other has seen. The origin listens at once; the client
// begins when a line on stdin has told it the way: {way, version, proxy, root, host, port}.
'use strict';
const fs = require('fs'), http = require('http'), http2 = require('http2'), net = require('net'), tls = require('tls');

/// Serves by `answer`, and runs `client` with the way once it is known. The script ends with the client.
exports.run = (answer, client) => {
  const [kind, key, certificate] = process.argv.slice(2);
  const secure = () => http2.createSecureServer({ allowHTTP1: true, key: fs.readFileSync(key), cert: fs.readFileSync(certificate) }, answer);
  const server = kind === 'plain' ? http.createServer(answer) : secure();
  server.on('session', (session) => session.on('error', () => {}));
  server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
  process.stdin.once('data', async (line) => {
    try {
      await client(new Client(JSON.parse(line)));
      process.exit(0);
    } catch (error) {
      console.log('failed ' + error.stack);
      process.exit(1);
    }
  });
};

class Client {
  constructor(way) {
    Object.assign(this, way);
    this.authority = `${way.host}:${way.port}`;
  }

  /// A TLS connection through a tunnel.
  async tunnel() {
    const { hostname, port } = new URL(this.proxy);
    const socket = net.connect(port, hostname);
    socket.write(`CONNECT ${this.authority} HTTP/1.1\r\nHost: ${this.authority}\r\n\r\n`);
    const head = await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
    if (!head.toString().startsWith('HTTP/1.1 200')) throw new Error(head.toString());
    const over = tls.connect({ socket, ca: fs.readFileSync(this.root), servername: this.host, ALPNProtocols: [this.version] });
    await new Promise((resolve, reject) => over.once('secureConnect', resolve).once('error', reject));
    if (over.alpnProtocol !== this.version) throw new Error('agreed on ' + over.alpnProtocol);
    return over;
  }

  /// One connection of HTTP/2, for as many requests as there are.
  async session() {
    const over = await this.tunnel();
    this.open = http2.connect('https://' + this.authority, { createConnection: () => over });
    this.open.on('error', () => {});
    return this.open;
  }

  /// Begins a request; what it returns is written to as its body.
  async begin(method, path, headers = {}) {
    if (this.version === 'h2') {
      const session = this.open ?? await this.session();
      return session.request({ ':method': method, ':path': path, ...headers }, { endStream: false });
    }
    const options = { method, headers: { host: this.authority, ...headers } };
    if (this.way === 'plain') {
      const { hostname, port } = new URL(this.proxy);
      return http.request({ ...options, host: hostname, port, path: `http://${this.authority}${path}`, setHost: false, agent: false });
    }
    const over = await this.tunnel();
    return http.request({ ...options, path, setHost: false, createConnection: () => over });
  }

  /// The answer to a request, waited for from its beginning: its status and fields; its data, end and trailers come from `stream`.
  async answered(request) {
    if (this.version === 'h2') {
      const answer = { stream: request, trailers: {} };
      // Before anything is waited for: they may come at once with the head.
      request.once('trailers', (trailers) => { answer.trailers = trailers; });
      answer.fields = await new Promise((resolve, reject) => request.once('response', resolve).once('error', reject));
      answer.status = answer.fields[':status'];
      return answer;
    }
    const stream = await new Promise((resolve, reject) => request.once('response', resolve).once('error', reject));
    return { status: stream.statusCode, fields: stream.headers, stream, get trailers() { return stream.trailers; } };
  }
}

exports.whole = async (stream) => {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
};

/// A promise and what fulfils it.
exports.signal = () => {
  let give;
  const promise = new Promise((resolve) => { give = resolve; });
  return { promise, give };
};
