//! Git LFS as a GitHub serves it: an API beside the repositories, and storage on a port of its own, which takes signed links only and
//! records all that reaches it.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::hub::{Piped, Seen, locked, random, reply};

/// What the server has, and what of it is not as it should be.
pub(crate) struct Lfs {
    storage: SocketAddr,
    scheme: &'static str,
    /// What every link holds: in its query, and in a field.
    pub(crate) signature: String,
    pub(crate) key: String,
    objects: Mutex<BTreeMap<String, Bytes>>,
    locks: Mutex<BTreeMap<String, Value>>,
    seen: Mutex<Vec<Seen>>,
    quirk: Mutex<Option<Quirk>>,
}

/// What the server does wrong, or storage.
#[derive(Debug, Clone)]
pub(crate) enum Quirk {
    /// Links end so many seconds from now.
    Expires(i64),
    /// This in place of each action's link.
    Links(String),
    /// Instead of its answer to a batch, this.
    Says(Value),
    /// Storage gives other octets, as many.
    Corrupt,
    /// Storage gives this many octets less, in chunks.
    Short(usize),
    /// Storage gives more octets, in chunks.
    Long,
    /// Storage answers with this status, and these fields.
    Status(u16, Vec<(&'static str, String)>),
}

impl Lfs {
    pub(super) fn new(storage: SocketAddr, secure: bool) -> Self {
        let (objects, locks, seen, quirk) = Default::default();
        let scheme = if secure { "https" } else { "http" };
        Self { storage, scheme, signature: random(), key: random(), objects, locks, seen, quirk }
    }

    /// Every request that storage was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        locked(&self.seen).clone()
    }

    /// From now on.
    pub(crate) fn set(&self, quirk: Quirk) {
        *locked(&self.quirk) = Some(quirk);
    }

    pub(crate) fn calm(&self) {
        *locked(&self.quirk) = None;
    }

    pub(crate) fn storage(&self) -> String {
        format!("{}://{}", self.scheme, self.storage)
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        locked(&self.objects).clone()
    }

    /// Keeps an object, and gives back its name.
    pub(crate) fn put(&self, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let oid = oid(&bytes);
        locked(&self.objects).insert(oid.clone(), bytes);
        oid
    }

    pub(crate) fn locks(&self) -> BTreeMap<String, Value> {
        locked(&self.locks).clone()
    }

    /// What the API answers.
    pub(super) fn answer(&self, head: &Parts, body: &[u8]) -> (u16, Vec<u8>) {
        let path = head.uri.path().split_once("/info/lfs/").map_or("", |(_, below)| below);
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let (status, said) = match (head.method.as_str(), path) {
            ("POST", "objects/batch") => (200, self.batch(&asked)),
            ("GET", "locks") => (200, json!({ "locks": self.locks().values().collect::<Vec<_>>() })),
            ("POST", "locks/verify") => (200, json!({ "ours": self.locks().values().collect::<Vec<_>>(), "theirs": [] })),
            ("POST", "locks") => self.lock(&asked["path"]),
            ("POST", other) => {
                let id = other.trim_start_matches("locks/").trim_end_matches("/unlock");
                match locked(&self.locks).remove(id) {
                    Some(lock) => (200, json!({ "lock": lock })),
                    None => (404, json!({ "message": "no such lock" })),
                }
            }
            _ => (404, json!({ "message": "no such thing" })),
        };
        (status, said.to_string().into_bytes())
    }

    fn lock(&self, path: &Value) -> (u16, Value) {
        let mut locks = locked(&self.locks);
        if let Some(lock) = locks.values().find(|lock| lock["path"] == *path) {
            return (409, json!({ "lock": lock, "message": "taken" }));
        }
        let id = format!("lock-{}", locks.len() + 1);
        let lock = json!({ "id": id, "path": path, "locked_at": "2026-01-02T03:04:05Z", "owner": { "name": "Octo" } });
        locks.insert(id, lock.clone());
        (201, json!({ "lock": lock }))
    }

    fn batch(&self, asked: &Value) -> Value {
        let quirk = locked(&self.quirk).clone();
        if let Some(Quirk::Says(said)) = quirk {
            return said;
        }
        let link = |way: &str, oid: &Value| {
            let oid = oid.as_str().unwrap_or_default();
            let mut action = json!({
                "href": format!("{}/{way}/{oid}?signature={}", self.storage(), self.signature),
                "header": { "X-Storage-Key": self.key },
                "expires_in": 3600,
            });
            match &quirk {
                Some(Quirk::Expires(seconds)) => action["expires_in"] = json!(seconds),
                Some(Quirk::Links(href)) => action["href"] = json!(href.replace("OID", oid)),
                _ => {}
            }
            action
        };
        let objects = asked["objects"].as_array().into_iter().flatten().map(|object| {
            let oid = &object["oid"];
            let mut answered = json!({ "oid": oid, "size": object["size"], "authenticated": true });
            let has = locked(&self.objects).contains_key(oid.as_str().unwrap_or_default());
            match (asked["operation"].as_str(), has) {
                (Some("download"), true) => answered["actions"] = json!({ "download": link("get", oid) }),
                (Some("download"), false) => answered["error"] = json!({ "code": 404, "message": format!("none with {}", self.key) }),
                (_, true) => {}
                (_, false) => answered["actions"] = json!({ "upload": link("put", oid), "verify": link("verify", oid) }),
            }
            answered
        });
        json!({ "transfer": "basic", "objects": objects.collect::<Vec<_>>() })
    }
}

/// Serves storage.
pub(super) async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, lfs: Arc<Lfs>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, acceptor.clone(), lfs.clone()));
    }
}

async fn converse(stream: TcpStream, acceptor: Option<TlsAcceptor>, lfs: Arc<Lfs>) {
    let service = service_fn(move |request| store(lfs.clone(), request));
    match acceptor {
        None => drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await),
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            // The certificate is told apart by ALPN alone: what storage speaks is HTTP/1.1.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

async fn store(lfs: Arc<Lfs>, request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Piped>>, io::Error> {
    let (head, mut body) = request.into_parts();
    let number = Seen::note(&mut locked(&lfs.seen), &head);
    let mut bytes = BytesMut::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            whole = false;
            break;
        };
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    if let Some(seen) = locked(&lfs.seen).get_mut(number) {
        (seen.whole, seen.over, seen.length) = (whole, true, bytes.len() as u64);
        seen.body = bytes[..bytes.len().min(64 * 1024)].to_vec();
    }
    let signed = head.uri.query() == Some(&*format!("signature={}", lfs.signature));
    let keyed = head.headers.get("x-storage-key").is_some_and(|value| value.to_str().is_ok_and(|value| value == lfs.key));
    if !signed || !keyed {
        return Ok(reply(403, &[], b"who are you".to_vec()));
    }
    let quirk = locked(&lfs.quirk).clone();
    if let Some(Quirk::Status(status, fields)) = quirk {
        return Ok(reply(status, &fields, format!("no, for {}", lfs.signature).into_bytes()));
    }
    let name = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let kept = locked(&lfs.objects).get(&name).cloned();
    match (&head.method, kept) {
        (&Method::PUT, _) if whole => {
            // Whatever it is: this storage does not look at what it is given.
            locked(&lfs.objects).insert(name, bytes.freeze());
            Ok(reply(200, &[], Vec::new()))
        }
        (&Method::POST, Some(kept)) => {
            let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            Ok(reply(if said["size"] == kept.len() { 200 } else { 422 }, &[], Vec::new()))
        }
        (&Method::GET, Some(kept)) => Ok(give(&kept, &head.headers, quirk.as_ref())),
        (_, _) => Ok(reply(404, &[], Vec::new())),
    }
}

fn give(kept: &Bytes, headers: &HeaderMap, quirk: Option<&Quirk>) -> Response<Either<Full<Bytes>, Piped>> {
    let range = headers.get("range").and_then(|value| {
        let (first, last) = value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    let mut given = kept.to_vec();
    match quirk {
        Some(Quirk::Corrupt) => given.iter_mut().rev().take(1).for_each(|octet| *octet ^= 1),
        Some(Quirk::Short(octets)) => return piped(Bytes::copy_from_slice(&given[..given.len() - octets])),
        Some(Quirk::Long) => return piped([&*given, b"more"].concat().into()),
        Some(Quirk::Expires(_) | Quirk::Links(_) | Quirk::Says(_) | Quirk::Status(..)) | None => {}
    }
    let fields = [("x-storage-said", "something".to_owned()), ("set-cookie", "a=b".to_owned())];
    let Some((first, last)) = range else { return reply(200, &fields, given) };
    let content_range = ("content-range", format!("bytes {first}-{last}/{}", kept.len()));
    reply(206, &[&fields[..], &[content_range]].concat(), given[first..=last].to_vec())
}

/// An answer without a length.
fn piped(bytes: Bytes) -> Response<Either<Full<Bytes>, Piped>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for piece in bytes.chunks(10_000) {
            if sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Either::Right(Piped(receiver)));
    *response.status_mut() = StatusCode::OK;
    response
}

/// The name of these octets.
pub(crate) fn oid(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat()
}
