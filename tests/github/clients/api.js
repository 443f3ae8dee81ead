// What every script has: a client of the API that was told where it is, and a way to say what it found.
const { pathToFileURL } = require('node:url');

exports.client = async () => {
  const { Octokit } = await import(pathToFileURL(require.resolve('@octokit/rest')));
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { auth: process.env.TOKEN, baseUrl: process.env.BASE, userAgent: 'octokit', log };
  if (process.env.PROXY) {
    options.request = { fetch: process.env.BASE.startsWith('https:') ? tunnelled() : forwarded };
  }
  return new Octokit(options);
};

// What a client does with a proxy for `https://`: it asks for a tunnel.
const tunnelled = () => {
  const { fetch, ProxyAgent } = require('undici');
  const requestTls = { ca: require('node:fs').readFileSync(process.env.NODE_EXTRA_CA_CERTS) };
  const dispatcher = new ProxyAgent({ uri: process.env.PROXY, requestTls });
  return (url, init) => fetch(url, { ...init, dispatcher });
};

// And for `http://`: it sends the proxy the whole URL.
const forwarded = (url, { method, headers, body }) => {
  const { hostname: host, port, username, password } = new URL(process.env.PROXY);
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  return new Promise((resolve, reject) => {
    const all = { ...headers, host: new URL(url).host, 'proxy-authorization': authorization };
    const request = require('node:http').request({ host, port, path: url, method, headers: all }, async (answer) => {
      const pieces = [];
      for await (const piece of answer) pieces.push(piece);
      const empty = [204, 304].includes(answer.statusCode);
      const shown = Object.entries(answer.headers).map(([name, value]) => [name, String(value)]);
      resolve(new Response(empty ? null : Buffer.concat(pieces), { status: answer.statusCode, headers: shown }));
    });
    request.on('error', reject);
    request.end(body);
  });
};

// What became of each of these calls: its answer, or how it was refused.
exports.outcome = async (call) => {
  try {
    return (await call()).data;
  } catch (error) {
    if (!error.status) throw error;
    return { status: error.status, reason: error.response?.headers['x-deny-reason'], message: error.message };
  }
};

exports.main = (work) => {
  work(process.argv.slice(2)).then(
    (found) => process.stdout.write(JSON.stringify(found)),
    (error) => {
      process.stderr.write(`${error.stack}\n${error.status}\n`);
      process.exitCode = 1;
    },
  );
};
