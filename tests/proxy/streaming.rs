//! What is streamed arrives as it is sent, whatever the gate sees of it.

use serde_json::json;

use crate::harness::{
    Pki, Script,
    script::node,
    tidegate::Setup,
    ways::{HOST, Passage, Way},
};

const RULE: &str =
    "[[rule]]\nname = \"all of it\"\nhosts = [\"HOST\"]\nmethods = [\"GET\", \"HEAD\", \"POST\", \"PUT\"]\npaths = [\"/**\"]\n";
const KEY: &str = "sk-real-0123456789abcdef0123456789";
const CREDENTIAL: &str = "[[credential]]\nhosts = [\"HOST\"]\nheader = \"x-api-key\"\nvalue = { env = \"KEY\" }\n";

/// Every way, by each version of HTTP that the client can speak on it.
const WAYS: [(Way, &str); 5] =
    [(Way::Plain, "http/1.1"), (Way::Opaque, "http/1.1"), (Way::Opaque, "h2"), (Way::Intercepted, "http/1.1"), (Way::Intercepted, "h2")];

/// Runs a conversation of an origin and its client to its end; returns what it said after its port.
#[track_caller]
fn converse(way: Way, version: &str, source: &str, rules: &str, more: impl FnOnce(Setup) -> Setup) -> (Vec<String>, Passage) {
    let pki = Pki::for_names(&[HOST]);
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/harness/conversation.js");
    let kind = if way == Way::Plain { "plain" } else { "secure" };
    let mut command = node(&format!("const {{ run, signal, whole }} = require({library:?});\n{source}"));
    command.arg(kind).arg(pki.key()).arg(pki.certificate());
    let mut script = Script::start(command);
    let port = script.port();
    let passage = Passage::with(way, &pki, port, rules, |setup| more(setup.environment("KEY", KEY)));
    let told = json!({
        "way": kind, "version": version, "proxy": passage.proxy(), "root": passage.root(), "host": HOST, "port": port,
    });
    script.tell(&told.to_string());
    assert!(script.wait_for_end(), "{way:?} {version}: {}", script.said());
    (script.lines().split_off(1), passage)
}

/// Timers that are shorter than the silence of [`EVENTS`], and one that is longer.
fn short(setup: Setup) -> Setup {
    setup.timeout("head = \"800ms\"\nbody = \"800ms\"\nfirst_byte = \"800ms\"\nkeep_alive = \"800ms\"\nidle = \"1m\"")
}

/// The origin sends an event when the client has seen the one before: whoever holds one back holds up both.
const EVENTS: &str = r"
let next = signal(), left = signal();
run(async (request, response) => {
  response.on('close', left.give);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  for (let number = 0; number < 20; number++) {
    response.write(`data: ${number} ${request.headers['x-api-key'] ?? 'nothing'}\n\n`);
    await next.promise;
    next = signal();
  }
  setTimeout(() => response.write('data: after a long silence\n\n'), 2000);
}, async (client) => {
  const request = await client.begin('GET', '/events', { accept: 'text/event-stream' });
  request.end();
  const answer = await client.answered(request);
  console.log(answer.status, answer.fields['content-type']);
  let seen = '';
  for await (const piece of answer.stream) {
    seen += piece;
    if (!seen.endsWith('\n\n')) continue;
    console.log(seen.trim());
    const last = seen.includes('silence');
    seen = '';
    if (last) break;
    next.give();
  }
  request.destroy();
  client.open?.destroy();
  await left.promise;
  console.log('the origin saw it leave');
});
";

#[track_caller]
fn events_arrive_one_by_one(way: Way, version: &str, rules: &str, told: &str) {
    let (said, _passage) = converse(way, version, EVENTS, rules, short);
    let events = (0..20).map(|number| format!("data: {number} {told}"));
    let expected: Vec<_> = ["200 text/event-stream".to_owned()]
        .into_iter()
        .chain(events)
        .chain(["data: after a long silence".to_owned(), "the origin saw it leave".to_owned()])
        .collect();
    assert_eq!(said, expected, "{way:?} {version}");
}

#[test]
fn events_arrive_before_the_next_is_sent_and_silence_does_not_end_them() {
    for (way, version) in WAYS {
        events_arrive_one_by_one(way, version, RULE, "nothing");
    }
}

#[test]
fn events_in_which_a_credential_is_masked_arrive_as_soon() {
    for version in ["http/1.1", "h2"] {
        events_arrive_one_by_one(Way::Intercepted, version, CREDENTIAL, &"*".repeat(KEY.len()));
    }
}

/// No request is answered before the last of them has arrived, and each answer is longer than what is buffered of it.
const CROWD: &str = r"
const COUNT = 100, SIZE = 200000;
const all = signal();
let arrived = 0;
run(async (request, response) => {
  if (++arrived === COUNT) all.give();
  const sent = await whole(request);
  await all.promise;
  const number = Number(request.url.slice(1));
  response.writeHead(200, { 'x-number': number, 'x-sent': sent.toString() });
  response.end(Buffer.alloc(SIZE, number));
}, async (client) => {
  await client.session();
  const right = await Promise.all(Array.from({ length: COUNT }, async (_, number) => {
    const request = await client.begin('POST', '/' + number);
    request.end('body ' + number);
    const answer = await client.answered(request);
    const body = await whole(answer.stream);
    return answer.status === 200 && answer.fields['x-number'] === String(number) && answer.fields['x-sent'] === 'body ' + number
      && body.equals(Buffer.alloc(SIZE, number));
  }));
  console.log(right.filter(Boolean).length, 'of', COUNT);
});
";

#[test]
fn a_hundred_streams_of_one_connection_are_answered_at_once() {
    for way in [Way::Opaque, Way::Intercepted] {
        let (said, _passage) = converse(way, "h2", CROWD, RULE, |setup| setup);
        assert_eq!(said, ["100 of 100"], "{way:?}");
    }
}

const TRAILERS: &str = r"
run(async (request, response) => {
  const sent = await whole(request);
  response.writeHead(200, { trailer: 'x-sum, x-seen' });
  response.write('body');
  response.addTrailers({ 'x-sum': sent.toString(), 'x-seen': request.trailers['x-last'] ?? 'nothing' });
  response.end();
}, async (client) => {
  let request;
  if (client.version === 'h2') {
    const session = await client.session();
    request = session.request({ ':method': 'POST', ':path': '/', te: 'trailers' }, { endStream: false, waitForTrailers: true });
    request.on('wantTrailers', () => request.sendTrailers({ 'x-last': 'words' }));
    request.end('sent');
  } else {
    request = await client.begin('POST', '/', { te: 'trailers', connection: 'te', trailer: 'x-last', 'transfer-encoding': 'chunked' });
    request.write('sent');
    request.addTrailers({ 'x-last': 'words' });
    request.end();
  }
  const answer = await client.answered(request);
  const body = await whole(answer.stream);
  console.log(answer.status, body.toString(), answer.trailers['x-sum'], answer.trailers['x-seen']);
});
";

#[test]
fn trailers_pass() {
    for (way, version) in WAYS {
        let (said, _passage) = converse(way, version, TRAILERS, RULE, |setup| setup);
        // Where a rule judges the head of a request, nothing may come behind it that the rule did not see.
        let up = if way == Way::Intercepted { "nothing" } else { "words" };
        assert_eq!(said, [format!("200 body sent {up}")], "{way:?} {version}");
    }
}

// ── What stands still in HTTP/2

/// Requests of one connection whose bodies do not end: one announces a length and sends nothing, one announces none, one goes on
/// being sent all the while, one says nothing more though its answer goes on, and one goes on though its answer says nothing.
const HALTING: &str = r"
run(async (request, response) => {
  if (request.url === '/chat') {
    response.writeHead(200);
    const talk = setInterval(() => response.write('.'), 100);
    request.on('error', () => {}).on('end', () => { clearInterval(talk); response.end('over'); }).resume();
    return;
  }
  if (request.url === '/listen') {
    response.writeHead(200);
    response.flushHeaders();
    request.on('error', () => {}).on('end', () => response.end('heard')).resume();
    return;
  }
  request.on('error', () => {});
  response.end(String((await whole(request).catch(() => [])).length));
}, async (client) => {
  await client.session();
  const begin = async (method, path, length) => {
    const request = await client.begin(method, path, length ? { 'content-length': length } : {});
    request.write('x');
    return { request, answered: client.answered(request) };
  };
  const shown = async ({ answered }) => {
    const answer = await answered, text = (await whole(answer.stream)).toString();
    return [answer.status, answer.fields['x-deny-reason'], text.split('Tidegate: ').pop().replace(/^[.]+|[.]?\n$/g, '')].join(' ');
  };
  const chat = await begin('POST', '/chat'), listen = await begin('POST', '/listen');
  await listen.answered;
  const moving = await begin('PUT', '/moving', 1000);
  let sent = 1;
  const drip = setInterval(() => { moving.request.write('x'); listen.request.write('x'); sent++; }, 100);
  const announced = await begin('PUT', '/announced', 10), open = await begin('POST', '/open');
  console.log('announced', await shown(announced));
  console.log('open', await shown(open));
  await new Promise((resolve) => setTimeout(resolve, 3100));
  clearInterval(drip);
  chat.request.end();
  listen.request.end();
  moving.request.end('x'.repeat(1000 - sent));
  console.log('chat', await shown(chat));
  console.log('listen', await shown(listen));
  console.log('moving', await shown(moving));
});
";

#[test]
fn a_body_that_stands_still_ends_its_own_stream() {
    let (said, passage) = converse(Way::Intercepted, "h2", HALTING, RULE, |setup| setup.timeout("body = \"1500ms\"\nidle = \"3s\""));
    let expected = [
        "announced 408 head_timeout The body of the request brought nothing for 1.5 s",
        "open 408 head_timeout The body of the request brought nothing for 3 s",
        "chat 200  over",
        "listen 200  heard",
        "moving 200  1000",
    ];
    assert_eq!(said, expected);
    let refused = passage.gate.records().into_iter().filter(|record| record["verdict"] == "deny");
    let refused: Vec<_> = refused.map(|record| (record["path"].clone(), record["reason"].clone())).collect();
    assert_eq!(refused, [(json!("/announced"), json!("head_timeout")), (json!("/open"), json!("head_timeout"))]);
}

/// One answer is not taken; another, on the same connection, goes on.
const UNTAKEN: &str = r"
const left = signal(), talked = signal();
run((request, response) => {
  if (request.url === '/talk') {
    const talk = setInterval(() => response.write('.'), 100);
    talked.promise.then(() => { clearInterval(talk); response.end('over'); });
    return;
  }
  response.on('close', () => left.give(response.writableFinished));
  response.end(Buffer.alloc(50 << 20));
}, async (client) => {
  await client.session();
  const begin = async (path) => {
    const request = await client.begin('GET', path);
    request.end();
    return client.answered(request);
  };
  const talk = await begin('/talk');
  const text = whole(talk.stream);
  const long = await begin('/long');
  const code = await new Promise((resolve) => long.stream.on('error', () => {}).on('close', () => resolve(long.stream.rstCode)));
  console.log('long', long.status, code === http2.constants.NGHTTP2_CANCEL ? 'cancelled' : code);
  console.log('finished at the origin', await left.promise);
  talked.give();
  console.log('talk', talk.status, (await text).toString().replaceAll('.', ''));
});
";

#[test]
fn threat_74_an_answer_that_is_not_taken_ends_its_own_stream() {
    let source = format!("const http2 = require('http2');\n{UNTAKEN}");
    let (said, passage) = converse(Way::Intercepted, "h2", &source, RULE, |setup| setup.timeout("idle = \"2s\""));
    assert_eq!(said, ["long 200 cancelled", "finished at the origin false", "talk 200 over"]);
    assert!(passage.peak() < 64 * 1024, "{} KiB", passage.peak());
}
