//! hyper, handed the requests that were framed, sees these requests: no more, no fewer, no others.
#![no_main]

use std::{cell::RefCell, convert::Infallible};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tidegate::wire::{
    http1::{BodyFramer, BodyLength, Head, MAX_FIELDS, MAX_HEAD, parse_head},
    target::{self, RequestTarget},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fuzz_target!(|input: &[u8]| {
    let (length, framed) = frame(input);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let seen = runtime.block_on(serve(&input[..length]));
    assert_eq!(seen, framed, "{}", input[..length].escape_ascii());
});

#[derive(Debug, PartialEq)]
struct Seen {
    method: String,
    target: RequestTarget,
    /// Sorted by name, the order of equal names kept.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// The requests at the beginning of `input` that a door would hand on whole, and their length in octets.
fn frame(input: &[u8]) -> (usize, Vec<Seen>) {
    let (mut length, mut requests) = (0, Vec::new());
    while let Ok(Some((head, head_length))) = parse_head(&input[length..]) {
        let Ok(target) = target::parse(&head.method, head.target.as_bytes()) else { break };
        let rest = &input[length + head_length..];
        let Ok(advance) = BodyFramer::new(head.body).advance(rest) else { break };
        if !advance.complete {
            break;
        }
        length += head_length + advance.released;
        requests.push(seen(&head, target, &rest[..advance.released]));
        if !head.keep_alive || &*head.method == "CONNECT" {
            break;
        }
    }
    (length, requests)
}

fn seen(head: &Head, target: RequestTarget, body: &[u8]) -> Seen {
    let body = if head.body == BodyLength::Chunked { dechunked(body) } else { body.to_vec() };
    let fields = head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    Seen { method: head.method.to_string(), target, fields: sorted(fields), body }
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// The data of a chunked body that is known to be good.
fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let line = body.iter().position(|&byte| byte == b'\r').expect("a line end");
        let digits = body[..line].split(|&byte| byte == b';').next().expect("a size");
        let size = usize::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("a size");
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&body[line + 2..][..size]);
        body = &body[line + 2 + size + 2..];
    }
}

/// What hyper makes of `octets`, settings as at a door.
async fn serve(octets: &[u8]) -> Vec<Seen> {
    let requests = RefCell::new(Vec::new());
    let (mut client, server) = tokio::io::duplex(octets.len() + 1);
    let service = service_fn(async |request: Request<Incoming>| {
        let (parts, mut body) = request.into_parts();
        let mut data = Vec::new();
        while let Some(frame) = body.frame().await {
            data.extend_from_slice(frame.expect("a body that was framed").data_ref().unwrap_or(&Bytes::new()));
        }
        let target = target::parse(parts.method.as_str(), parts.uri.to_string().as_bytes()).expect("a target that was read");
        let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        requests.borrow_mut().push(Seen { method: parts.method.to_string(), target, fields: sorted(fields), body: data });
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok::<_, Infallible>(response)
    });
    let mut builder = http1::Builder::new();
    builder.half_close(true).max_headers(MAX_FIELDS).max_buf_size(2 * MAX_HEAD).header_read_timeout(None);
    let connection = builder.serve_connection(TokioIo::new(server), service);
    let exchange = async {
        client.write_all(octets).await.expect("a duplex takes what fits");
        client.shutdown().await.expect("a duplex closes");
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.expect("a duplex is read");
        answers
    };
    let (result, answers) = tokio::join!(connection, exchange);
    assert!(result.is_ok(), "{result:?}: {}", answers.escape_ascii());
    requests.into_inner()
}
