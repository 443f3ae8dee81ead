//! hyper, handed an answer that was framed, sees this answer and no other; and pieces change nothing.
#![no_main]

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tidegate::wire::http1::{BodyFramer, BodyLength, MAX_FIELDS, MAX_HEAD, ResponseHead, ResponseReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fuzz_target!(|input: &[u8]| {
    let Some((head, head_length)) = whole_head(input) else { return };
    let mut slow = ResponseReader::default();
    let slowly = (1..=input.len()).find_map(|length| slow.read(&input[..length]).expect("what is good whole is good in pieces"));
    assert_eq!(slowly.map(|(slow, length)| (slow.status, slow.body, length)), Some((head.status, head.body, head_length)));
    let Some((length, body)) = framed(&head, &input[head_length..]) else { return };
    // What ends HTTP, or has no body whatever its head says, is for others to judge.
    if head.is_interim() || matches!(head.status, 101 | 204 | 304) {
        return;
    }
    let answer = &input[..head_length + length];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let seen = runtime.block_on(ask(answer));
    let fields = head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    assert_eq!(seen, Some((head.status, sorted(fields), body)), "{}", answer.escape_ascii());
});

type Seen = (u16, Vec<(String, Vec<u8>)>, Vec<u8>);

fn whole_head(input: &[u8]) -> Option<(ResponseHead, usize)> {
    ResponseReader::default().read(input).ok()?
}

/// How many octets the body has on the wire, and its content; one that ends with the connection is all there is.
fn framed(head: &ResponseHead, rest: &[u8]) -> Option<(usize, Vec<u8>)> {
    if head.body == BodyLength::None {
        return Some((rest.len(), rest.to_vec()));
    }
    let advance = BodyFramer::new(head.body).advance(rest).ok().filter(|advance| advance.complete)?;
    let body = &rest[..advance.released];
    Some((body.len(), if head.body == BodyLength::Chunked { dechunked(body) } else { body.to_vec() }))
}

/// The content of a body in chunks that was framed.
fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = body.iter().position(|&byte| byte == b'\n').expect("a chunk size");
        let digits = body[..line].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..digits]).expect("digits"), 16).expect("a size");
        if size == 0 {
            return content;
        }
        content.extend_from_slice(&body[line + 1..line + 1 + size]);
        body = &body[line + 1 + size + 2..];
    }
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// What hyper makes of an answer, after which its connection ends.
async fn ask(answer: &[u8]) -> Option<Seen> {
    let (client, mut server) = tokio::io::duplex(answer.len() + 4096);
    let (mut sender, connection) =
        http1::Builder::new().max_headers(MAX_FIELDS).max_buf_size(MAX_HEAD.max(8192)).handshake(TokioIo::new(client)).await.ok()?;
    let serve = async {
        let mut asked = [0; 1024];
        let _ = server.read(&mut asked).await;
        server.write_all(answer).await.expect("room for the answer");
        drop(server);
        std::future::pending::<()>().await;
    };
    let exchange = async {
        let request = Request::get("/").header("host", "a.test").body(Empty::<Bytes>::new()).expect("a request");
        let response = sender.send_request(request).await.ok()?;
        let (parts, mut body) = response.into_parts();
        let mut content = Vec::new();
        while let Some(frame) = body.frame().await {
            content.extend_from_slice(frame.ok()?.data_ref().unwrap_or(&Bytes::new()));
        }
        let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        Some((parts.status.as_u16(), sorted(fields), content))
    };
    tokio::select! {
        biased;
        seen = async { tokio::join!(exchange, async { drop(connection.await) }).0 } => seen,
        () = serve => None,
    }
}
