// A client of RFC 8441 by Node's http2: node - PROXY AUTHORITY ROOT PATHS, each `PATH[,AUTHORITY[,PROTOCOL[,VERSION]]]`. With WAIT, the
// first one stays until it is closed, and sends what stdin says; with STILL, it reads
// nothing.
const http = require('http');
const http2 = require('http2');
const tls = require('tls');
const fs = require('fs');
const [proxy, authority, root, ...paths] = process.argv.slice(2);
const [address, port] = proxy.split(':');
const masked = (opcode, payload) => {
  const mask = Buffer.from([1, 2, 3, 4]);
  const length = payload.length < 126 ? [0x80 | payload.length] : [0xfe, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length]), mask, payload.map((byte, at) => byte ^ mask[at % 4])]);
};
const tunnel = http.request({ host: address, port, method: 'CONNECT', path: authority, headers: { host: authority } });
tunnel.on('connect', (response, raw) => {
  const socket = tls.connect({ socket: raw, servername: authority.split(':')[0], ca: fs.readFileSync(root), ALPNProtocols: ['h2'] });
  const session = http2.connect(`https://${authority}`, { createConnection: () => socket });
  session.on('error', (error) => console.log(`error ${error.message}`));
  const ask = (path) =>
    new Promise((resolve) => {
      const [at, to = authority, protocol = 'websocket', version = '13'] = path.split(',');
      const head = { ':method': 'CONNECT', ':protocol': protocol, ':scheme': 'https', ':path': at, ':authority': to };
      const stream = session.request({ ...head, 'sec-websocket-version': version, 'sec-websocket-protocol': 'chat' }, { endStream: false });
      let [heard, opened] = [Buffer.alloc(0), false];
      stream.on('response', (headers) => {
        const { ':status': status, 'x-deny-reason': reason = '-', 'sec-websocket-protocol': chosen = '-' } = headers;
        console.log(`${at} ${status} ${reason} ${chosen} ${headers['sec-websocket-accept'] ?? '-'}`);
        opened = status === 200;
        if (process.env.STILL) return stream.pause();
        if (!opened) return stream.close(http2.constants.NGHTTP2_CANCEL);
        stream.write(masked(1, Buffer.from('hello over h2')));
        if (process.env.WAIT) process.stdin.on('data', (line) => stream.write(masked(1, line)));
      });
      if (!process.env.STILL) stream.on('data', (data) => {
        if (!opened) return;
        heard = Buffer.concat([heard, data]);
        while (heard.length >= 2 && heard.length >= 2 + heard[1]) {
          const [opcode, payload] = [heard[0] & 15, heard.subarray(2, 2 + heard[1])];
          heard = heard.subarray(2 + payload.length);
          if (opcode === 8) {
            console.log(`close ${payload.readUInt16BE(0)} ${payload.subarray(2)}`);
            stream.end(masked(8, payload));
          } else {
            console.log(`heard ${payload}`);
            if (!process.env.WAIT) stream.write(masked(1, Buffer.from('close 4001 bye')));
          }
        }
      });
      stream.on('error', (error) => console.log(`stream ${error.code}`));
      stream.on('close', resolve);
    });
  session.on('remoteSettings', async (settings) => {
    console.log(`extended ${settings.enableConnectProtocol}`);
    for (const path of paths) await ask(path);
    session.close();
  });
});
tunnel.end();
