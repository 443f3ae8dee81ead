//! Python, its libraries and its package managers.

use crate::client::{CLIENT, Client, Protocol, Server, works};

pub(crate) const URLLIB: Client = Client {
    name: "Python urllib",
    version: "python3 --version",
    fetch: "python3 -c 'import os, urllib.request; print(urllib.request.urlopen(\"https://\" + os.environ[\"HOST\"] + \"/hello\", timeout=20).read().decode())'",
    expected: works("Tunnel connection failed: 403 Forbidden", "Temporary failure in name resolution", "HTTP Error 403"),
    ..CLIENT
};

/// `tide-demo`, as an index of packages serves it.
pub(crate) const WHEEL: &str = r#"mkdir -p $ROOT/simple/tide-demo
cat > make.py <<'SCRIPT'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('tide_demo.py', 'print("from nginx")\n')
    wheel.writestr('tide_demo-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: tide-demo\nVersion: 1.0\n')
    wheel.writestr('tide_demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr('tide_demo-1.0.dist-info/RECORD', ''.join(f'{name},,\n' for name in wheel.namelist() + ['tide_demo-1.0.dist-info/RECORD']))
SCRIPT
python3 make.py $ROOT/simple/tide-demo/tide_demo-1.0-py3-none-any.whl
echo '<!DOCTYPE html><a href="tide_demo-1.0-py3-none-any.whl">tide_demo-1.0-py3-none-any.whl</a>' > $ROOT/simple/tide-demo/index.html"#;

pub(crate) const PIP: Client = Client {
    name: "pip",
    version: "python3 -m pip --version",
    serve: WHEEL,
    fetch: "python3 -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore --retries 1 --target it \
            --index-url https://$HOST/simple/ tide-demo && PYTHONPATH=it python3 -m tide_demo",
    expected: works("Tunnel connection failed: 403 Forbidden", "Temporary failure in name resolution", "No matching distribution found"),
    ..CLIENT
};

/// A library of Python's that fetches and prints.
macro_rules! python {
    ($program:literal) => {
        concat!(
            "cat > fetch.py <<'SCRIPT'\nimport os\nurl = 'https://' + os.environ['HOST'] + '/hello'\n",
            $program,
            "\nSCRIPT\npython3 fetch.py"
        )
    };
}

macro_rules! version {
    ($library:literal) => {
        concat!("python3 -c 'from importlib.metadata import version; print(version(\"", $library, "\"))'")
    };
}

pub(crate) const REQUESTS: Client = Client {
    name: "requests",
    version: version!("requests"),
    fetch: python!("import requests\nanswer = requests.get(url, timeout=20)\nanswer.raise_for_status()\nprint(answer.text)"),
    expected: works("Tunnel connection failed: 403 Forbidden", "Temporary failure in name resolution", "403 Client Error"),
    ..CLIENT
};

pub(crate) const HTTPX: Client = Client {
    name: "httpx",
    version: version!("httpx"),
    fetch: python!("import httpx\nanswer = httpx.get(url, timeout=20)\nanswer.raise_for_status()\nprint(answer.text)"),
    expected: works("403 Forbidden", "Temporary failure in name resolution", "403 Forbidden"),
    ..CLIENT
};

pub(crate) const AIOHTTP: Client = Client {
    name: "aiohttp",
    version: version!("aiohttp"),
    fetch: python!(
        "import aiohttp, asyncio
async def fetch():
    async with aiohttp.ClientSession(trust_env=True, raise_for_status=True) as session:
        async with session.get(url) as answer:
            print(await answer.text())
asyncio.run(fetch())"
    ),
    told: Some("`trust_env=True`"),
    expected: works("403, message='Forbidden'", "Temporary failure in name resolution", "403, message='Forbidden'"),
    ..CLIENT
};

pub(crate) const URLLIB3: Client = Client {
    name: "urllib3",
    version: version!("urllib3"),
    fetch: python!(
        "import urllib3
proxy = os.environ.get('https_proxy')
pool = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
answer = pool.request('GET', url, retries=False, timeout=20)
assert answer.status == 200, f'status {answer.status}'
print(answer.data.decode())"
    ),
    told: Some("the proxy, by `ProxyManager`"),
    expected: works("Tunnel connection failed: 403 Forbidden", "Temporary failure in name resolution", "status 403"),
    ..CLIENT
};

pub(crate) const UV: Client = Client {
    name: "uv",
    version: "uv --version",
    serve: WHEEL,
    fetch: "uv pip install --no-config --python python3 --target it --index-url https://$HOST/simple/ tide-demo && PYTHONPATH=it python3 -m tide_demo",
    expected: works("tunnel error: unsuccessful", "failed to lookup address information", "403"),
    ..CLIENT
};

pub(crate) const POETRY: Client = Client {
    name: "Poetry",
    version: "poetry --version",
    serve: WHEEL,
    fetch: r#"cat > pyproject.toml <<CONFIG
[project]
name = "user"
version = "0.1"
requires-python = ">=3.9"
dependencies = ["tide-demo"]
[tool.poetry]
package-mode = false
[[tool.poetry.source]]
name = "it"
url = "https://$HOST/simple/"
priority = "primary"
CONFIG
export PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring
poetry install --no-interaction --no-ansi && poetry run --no-interaction python -m tide_demo"#,
    expected: works(
        "All attempts to connect to evil.test failed",
        "All attempts to connect to evil.test failed",
        "Authorization error accessing",
    ),
    ..CLIENT
};

const WEBSOCKETS_SERVER: Server = Server {
    script: "cat > serve.py <<'SCRIPT'
import os, ssl
from websockets.sync.server import serve
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ['CERTIFICATE'], os.environ['KEY'])
with serve(lambda socket: socket.send('hello ' + socket.recv()), '127.0.0.1', 8443, ssl=context) as server:
    server.serve_forever()
SCRIPT
exec python3 serve.py",
    port: 8443,
    protocol: Protocol::Tls,
};

pub(crate) const WEBSOCKETS: Client = Client {
    name: "websockets",
    version: version!("websockets"),
    servers: &[WEBSOCKETS_SERVER],
    fetch: python!(
        "from websockets.sync.client import connect
with connect('wss://' + os.environ['HOST'] + ':8443/', open_timeout=20) as socket:
    socket.send('from a socket')
    print(socket.recv())"
    ),
    shows: "hello from a socket",
    expected: works("403", "Temporary failure in name resolution", "rejected WebSocket connection: HTTP 403"),
    ..CLIENT
};

const GRPC_SERVER: Server = Server {
    script: "cat > serve.py <<'SCRIPT'
import concurrent.futures, grpc, os
class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b'hello ' + request)
[key, certificate] = [open(os.environ[name], 'rb').read() for name in ('KEY', 'CERTIFICATE')]
server = grpc.server(concurrent.futures.ThreadPoolExecutor())
server.add_generic_rpc_handlers((Handler(),))
server.add_secure_port('127.0.0.1:8444', grpc.ssl_server_credentials([(key, certificate)]))
server.start()
server.wait_for_termination()
SCRIPT
exec python3 serve.py",
    port: 8444,
    protocol: Protocol::Tls,
};

pub(crate) const GRPC: Client = Client {
    name: "grpcio",
    version: version!("grpcio"),
    servers: &[GRPC_SERVER],
    fetch: python!(
        "import grpc
channel = grpc.secure_channel(os.environ['HOST'] + ':8444', grpc.ssl_channel_credentials())
print(channel.unary_unary('/tide.Demo/Say')(b'from a call', timeout=20).decode())"
    ),
    shows: "hello from a call",
    expected: works("HTTP proxy returned response code 403", "DNS server refused query", "Received http2 header with status: 403"),
    ..CLIENT
};
