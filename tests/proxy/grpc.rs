//! gRPC between its own implementations, through a tunnel that is not looked into and through one that is.

use crate::harness::{
    Pki, Script,
    program::run,
    script::{node, python},
    ways::{HOST, Passage, Way},
};

/// A real server, and the way to it.
struct Ground {
    server: Script,
    passage: Passage,
    port: u16,
}

impl Ground {
    fn new(way: Way) -> Self {
        let pki = Pki::for_names(&[HOST]);
        let mut command = python(SERVER);
        command.arg(pki.key()).arg(pki.certificate());
        let mut server = Script::start(command);
        let port = server.port();
        Self { passage: Passage::open(way, &pki, port, RULE), server, port }
    }

    fn client(&self, mut command: std::process::Command) -> std::process::Command {
        command.arg(format!("{HOST}:{}", self.port)).arg(self.passage.root());
        command.env("grpc_proxy", self.passage.proxy()).env("https_proxy", self.passage.proxy());
        command
    }
}

const RULE: &str = "[[rule]]\nname = \"echo\"\nhosts = [\"HOST\"]\nmethods = [\"POST\"]\npaths = [\"/tide.Echo/*\"]\n";

/// Both clients say the same of the same calls.
const SEEN: &str = "\
unary pong said=hello trailing=ebb binary=00ff
empty 0
big 4194304 True
collect 3 6
count 0 1 2 3 4 5 6 7 8 9
chat a b c
fail RESOURCE_EXHAUSTED no tide, é 100% why=ebb
deadline DEADLINE_EXCEEDED
cancel CANCELLED
";

#[track_caller]
fn everything_passes(way: Way, source: fn() -> std::process::Command, other: &str) {
    let mut ground = Ground::new(way);
    let ran = run(&mut ground.client(source()), "nodejs");
    assert_eq!(ran.stdout, format!("{SEEN}other {other}\n"), "{}", ran.said);
    // The server saw that nobody waited any more, twice.
    ground.server.wait_for_line("over deadline");
    ground.server.wait_for_line("over cancel");
    match way {
        Way::Intercepted => {
            let record = ground.passage.gate.wait_for_record(|record| record["verdict"] == "deny");
            assert_eq!(
                (record["reason"].as_str(), record["path"].as_str(), record["method"].as_str()),
                (Some("path_not_allowed"), Some("/tide.Other/Unary"), Some("POST")),
                "{record:#}"
            );
            ground.passage.gate.wait_for_record(|record| record["path"] == "/tide.Echo/Chat" && record["verdict"] == "allow");
        }
        Way::Plain | Way::Opaque => assert!(ground.passage.gate.records().iter().all(|record| record["verdict"] == "allow")),
    }
}

#[test]
fn every_kind_of_call_of_python_passes_an_opaque_tunnel() {
    everything_passes(Way::Opaque, || python(PYTHON), "UNIMPLEMENTED");
}

#[test]
fn every_kind_of_call_of_python_passes_interception_and_a_refused_one_is_a_permission_denied() {
    everything_passes(Way::Intercepted, || python(PYTHON), "PERMISSION_DENIED");
}

#[test]
fn every_kind_of_call_of_node_passes_an_opaque_tunnel() {
    everything_passes(Way::Opaque, || node(NODE), "UNIMPLEMENTED");
}

#[test]
fn every_kind_of_call_of_node_passes_interception_and_a_refused_one_is_a_permission_denied() {
    everything_passes(Way::Intercepted, || node(NODE), "PERMISSION_DENIED");
}

/// A client that stops reading stops the server, not the calls beside it, and costs the gate no memory.
#[test]
fn a_slow_reader_stops_the_server() {
    for way in [Way::Opaque, Way::Intercepted] {
        let ground = Ground::new(way);
        let mut client = Script::start(ground.client(python(SLOW)));
        client.wait_for_line("paused");
        let sent = ground.server.lines().iter().filter(|line| *line == "flood").count();
        assert!((1..512).contains(&sent), "{way:?}: {sent} of 1024 messages were sent to a client that takes none");
        client.tell("go on");
        assert_eq!(client.wait_for_line("took"), "took 67108864", "{way:?}");
        assert!(ground.passage.peak() < MOST, "{way:?}: {} KiB", ground.passage.peak());
    }
}

/// In KiB.
const MOST: u64 = 64 * 1024;

const SERVER: &str = r"
import sys, threading, grpc
from concurrent import futures

def unary(request, context):
    said = dict(context.invocation_metadata()).get('x-said', '')
    context.send_initial_metadata([('x-said', said)])
    context.set_trailing_metadata([('x-trailing', 'ebb'), ('x-bytes-bin', b'\x00\xff')])
    return b'pong' if request == b'ping' else request

def collect(requests, context):
    sizes = [len(request) for request in requests]
    return b'%d %d' % (len(sizes), sum(sizes))

def count(request, context):
    for number in range(int(request)):
        yield b'%d' % number

def chat(requests, context):
    for request in requests:
        yield request

def fail(request, context):
    context.set_trailing_metadata([('x-why', 'ebb')])
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'no tide, \u00e9 100%')

def wait(request, context):
    over = threading.Event()
    context.add_callback(lambda: (print('over ' + request.decode(), flush=True), over.set()))
    yield b'began'
    over.wait()

def flood(request, context):
    for _ in range(1024):
        print('flood', flush=True)
        yield bytes(65536)

key, certificate = (open(name, 'rb').read() for name in sys.argv[1:3])
server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler('tide.Echo', {
    'Unary': grpc.unary_unary_rpc_method_handler(unary),
    'Collect': grpc.stream_unary_rpc_method_handler(collect),
    'Count': grpc.unary_stream_rpc_method_handler(count),
    'Chat': grpc.stream_stream_rpc_method_handler(chat),
    'Fail': grpc.unary_unary_rpc_method_handler(fail),
    'Wait': grpc.unary_stream_rpc_method_handler(wait),
    'Flood': grpc.unary_stream_rpc_method_handler(flood),
})])
port = server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([(key, certificate)]))
server.start()
print('listening %d' % port, flush=True)
server.wait_for_termination()
";

const PYTHON: &str = r"
import sys, queue, grpc
target, root = sys.argv[1:3]
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(open(root, 'rb').read()))
echo = '/tide.Echo/'
soon = {'timeout': 60}

unary = channel.unary_unary(echo + 'Unary')
answer, call = unary.with_call(b'ping', metadata=[('x-said', 'hello')], **soon)
initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
print('unary', answer.decode(), 'said=' + initial['x-said'], 'trailing=' + trailing['x-trailing'], 'binary=' + trailing['x-bytes-bin'].hex())
print('empty', len(unary(b'', **soon)))
big = bytes(range(256)) * (4 * 4096)
answer = unary(big, **soon)
print('big', len(answer), answer == big)

print('collect', channel.stream_unary(echo + 'Collect')(iter([b'a', b'bb', b'ccc']), **soon).decode())
print('count', *(answer.decode() for answer in channel.unary_stream(echo + 'Count')(b'10', **soon)))

said = queue.Queue()
answers = channel.stream_stream(echo + 'Chat')(iter(said.get, None), **soon)
heard = []
for word in [b'a', b'b', b'c']:
    said.put(word)
    heard.append(next(answers).decode())
said.put(None)
assert list(answers) == []
print('chat', *heard)

def failed(call):
    try:
        return call(), None
    except grpc.RpcError as error:
        return error

error = failed(lambda: channel.unary_unary(echo + 'Fail')(b'', **soon))
print('fail', error.code().name, error.details(), 'why=' + dict(error.trailing_metadata())['x-why'])

wait = channel.unary_stream(echo + 'Wait')
print('deadline', failed(lambda: list(wait(b'deadline', timeout=1))).code().name)
call = wait(b'cancel', **soon)
assert next(call) == b'began'
call.cancel()
print('cancel', failed(lambda: list(call)).code().name)
print('other', failed(lambda: channel.unary_unary('/tide.Other/Unary')(b'', **soon)).code().name)
";

const SLOW: &str = r"
import sys, grpc
target, root = sys.argv[1:3]
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(open(root, 'rb').read()))
flood = channel.unary_stream('/tide.Echo/Flood')(b'', timeout=90)
took = len(next(flood))
unary = channel.unary_unary('/tide.Echo/Unary')
for _ in range(50):
    assert unary(b'ping', timeout=60) == b'pong'
print('paused', flush=True)
sys.stdin.readline()
print('took', took + sum(len(message) for message in flood), flush=True)
";

const NODE: &str = r"
const fs = require('fs'), grpc = require('@grpc/grpc-js');
const [target, root] = process.argv.slice(2);
const client = new grpc.Client(target, grpc.credentials.createSsl(fs.readFileSync(root)));
const same = (bytes) => bytes;
const soon = () => ({ deadline: Date.now() + 60000 });
const echo = '/tide.Echo/';
const unary = (path, bytes, metadata = new grpc.Metadata()) => new Promise((resolve) => {
  let initial, answer, failure;
  const call = client.makeUnaryRequest(path, same, same, bytes, metadata, soon(), (error, value) => { failure = error; answer = value; });
  call.on('metadata', (got) => { initial = got; });
  call.on('status', (status) => setImmediate(() => resolve({ answer, failure, initial, trailing: status.metadata })));
});
const ended = (call) => new Promise((resolve) => {
  const got = [];
  call.on('data', (data) => got.push(data));
  call.on('error', (error) => resolve({ got, code: grpc.status[error.code] }));
  call.on('end', () => resolve({ got }));
});
(async () => {
  const metadata = new grpc.Metadata();
  metadata.set('x-said', 'hello');
  const first = await unary(echo + 'Unary', Buffer.from('ping'), metadata);
  console.log('unary', first.answer.toString(), 'said=' + first.initial.get('x-said')[0], 'trailing=' + first.trailing.get('x-trailing')[0],
    'binary=' + first.trailing.get('x-bytes-bin')[0].toString('hex'));
  console.log('empty', (await unary(echo + 'Unary', Buffer.alloc(0))).answer.length);
  const big = Buffer.alloc(4 << 20, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));
  const back = await unary(echo + 'Unary', big);
  console.log('big', back.answer.length, back.answer.equals(big) ? 'True' : 'False');

  const collected = await new Promise((resolve, reject) => {
    const call = client.makeClientStreamRequest(echo + 'Collect', same, same, new grpc.Metadata(), soon(),
      (error, value) => error ? reject(error) : resolve(value));
    ['a', 'bb', 'ccc'].forEach((word) => call.write(Buffer.from(word)));
    call.end();
  });
  console.log('collect', collected.toString());
  const counted = await ended(client.makeServerStreamRequest(echo + 'Count', same, same, Buffer.from('10'), new grpc.Metadata(), soon()));
  console.log('count', ...counted.got.map(String));

  const chat = client.makeBidiStreamRequest(echo + 'Chat', same, same, new grpc.Metadata(), soon());
  const words = ['a', 'b', 'c'], heard = [];
  await new Promise((resolve, reject) => {
    const next = () => words.length ? chat.write(Buffer.from(words.shift())) : chat.end();
    chat.on('data', (data) => { heard.push(data.toString()); next(); });
    chat.on('error', reject);
    chat.on('end', resolve);
    next();
  });
  console.log('chat', ...heard);

  const { failure } = await unary(echo + 'Fail', Buffer.alloc(0));
  console.log('fail', grpc.status[failure.code], failure.details, 'why=' + failure.metadata.get('x-why')[0]);
  const late = client.makeServerStreamRequest(echo + 'Wait', same, same, Buffer.from('deadline'), new grpc.Metadata(), { deadline: Date.now() + 1000 });
  console.log('deadline', (await ended(late)).code);
  const cancelled = client.makeServerStreamRequest(echo + 'Wait', same, same, Buffer.from('cancel'), new grpc.Metadata(), soon());
  cancelled.once('data', () => cancelled.cancel());
  console.log('cancel', (await ended(cancelled)).code);
  console.log('other', grpc.status[(await unary('/tide.Other/Unary', Buffer.alloc(0))).failure.code]);
  client.close();
})().catch((error) => { console.error(error); process.exit(1); });
";
