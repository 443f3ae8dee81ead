//! `objects/batch`, as it is answered: by an upstream, and to a sandbox.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Href, LfsError, Object, Oid, Way,
    batch::{BASIC, BatchRequest, Operation, SHA256},
};

/// What an upstream answers about each object of a request, in its order.
#[derive(Debug)]
pub struct BatchAnswer(pub Vec<Answered>);

#[derive(Debug)]
pub struct Answered {
    pub object: Object,
    pub outcome: Outcome,
}

/// What becomes of one object.
#[derive(Debug)]
pub enum Outcome {
    Download(Action),
    /// It is to be sent, and then perhaps verified.
    Upload(Action, Option<Action>),
    /// It is there already.
    Present,
    /// Nothing, for this status of HTTP.
    Failed(u16),
}

/// A request that an upstream names. Its fields may hold a credential.
#[derive(Clone)]
pub struct Action {
    pub href: Href,
    pub headers: HeaderMap,
    /// From then on it is of no use.
    pub until: SystemTime,
}

/// Neither a field's value nor the whole link is shown.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action").field("href", &self.href).finish_non_exhaustive()
    }
}

impl Action {
    /// About how many octets it takes to keep.
    pub fn weight(&self) -> usize {
        let fields = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        self.href.target().as_str().len() + fields
    }
}

#[derive(Deserialize)]
struct Written {
    transfer: Option<String>,
    objects: Vec<WrittenObject>,
    hash_algo: Option<String>,
}

#[derive(Deserialize)]
struct WrittenObject {
    oid: String,
    size: Option<u64>,
    actions: Option<WrittenActions>,
    error: Option<WrittenError>,
}

#[derive(Deserialize)]
struct WrittenActions {
    download: Option<WrittenAction>,
    upload: Option<WrittenAction>,
    verify: Option<WrittenAction>,
}

#[derive(Deserialize)]
struct WrittenAction {
    href: String,
    header: Option<HashMap<String, String>>,
    expires_in: Option<i64>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct WrittenError {
    code: u16,
}

impl BatchAnswer {
    /// Reads an upstream's answer to a request, of at most [`MAX_ANSWER`] octets. What it says of objects that were not asked about is
    /// passed over; one that it says nothing of, or nothing usable, has failed. It is `now`.
    ///
    /// # Errors
    /// For what is no answer at all: nothing of it is used.
    pub fn parse(bytes: &[u8], request: &BatchRequest, now: SystemTime) -> Result<Self, LfsError> {
        let Written { transfer, objects, hash_algo } = serde_json::from_slice(bytes)?;
        if transfer.is_some_and(|name| name != BASIC) {
            return Err(LfsError::Transfers);
        }
        if hash_algo.is_some_and(|name| name != SHA256) {
            return Err(LfsError::HashAlgorithm("another".into()));
        }
        let mut said: HashMap<Oid, Option<WrittenObject>> = HashMap::new();
        for written in objects {
            let Ok(oid) = Oid::parse(&written.oid) else { continue };
            // Said twice it means nothing.
            said.entry(oid).and_modify(|said| *said = None).or_insert(Some(written));
        }
        let answered = request.objects.iter().map(|object| {
            let outcome = said.remove(&object.oid).flatten().and_then(|written| outcome(request.operation, *object, written, now));
            Answered { object: *object, outcome: outcome.unwrap_or(Outcome::Failed(UNUSABLE)) }
        });
        Ok(Self(answered.collect()))
    }

    /// The answer to a sandbox: each action with the link that stands for it there, as `lend` gives it.
    pub fn write<E>(self, mut lend: impl FnMut(Object, Way, Action) -> Result<Link, E>) -> Result<Vec<u8>, E> {
        let objects: Vec<Value> = self.0.into_iter().map(|answered| answered.write(&mut lend)).collect::<Result<_, E>>()?;
        Ok(json!({ "transfer": BASIC, "objects": objects, "hash_algo": SHA256 }).to_string().into_bytes())
    }
}

/// What a sandbox is told of an action in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub url: String,
    /// What the client has sent itself, to be sent again.
    pub authorization: Option<String>,
    pub expires_in: Duration,
}

impl Answered {
    fn write<E>(self, lend: &mut impl FnMut(Object, Way, Action) -> Result<Link, E>) -> Result<Value, E> {
        let Self { object, outcome } = self;
        let mut written = json!({ "oid": object.oid.to_string(), "size": object.size, "authenticated": true });
        let mut actions = Map::new();
        match outcome {
            Outcome::Present => {}
            Outcome::Download(action) => {
                actions.insert("download".into(), lend(object, Way::Download, action)?.write());
            }
            Outcome::Upload(action, verify) => {
                actions.insert("upload".into(), lend(object, Way::Upload, action)?.write());
                if let Some(verify) = verify {
                    actions.insert("verify".into(), lend(object, Way::Verify, verify)?.write());
                }
            }
            Outcome::Failed(code) => written["error"] = json!({ "code": code, "message": words(code) }),
        }
        if !actions.is_empty() {
            written["actions"] = Value::Object(actions);
        }
        Ok(written)
    }
}

impl Link {
    fn write(self) -> Value {
        let mut written = json!({ "href": self.url, "expires_in": self.expires_in.as_secs() });
        if let Some(authorization) = self.authorization {
            written["header"] = json!({ "Authorization": authorization });
        }
        written
    }
}

fn outcome(operation: Operation, object: Object, written: WrittenObject, now: SystemTime) -> Option<Outcome> {
    let WrittenObject { oid: _, size, actions, error } = written;
    if let Some(WrittenError { code }) = error {
        return Some(Outcome::Failed(if (400..600).contains(&code) { code } else { UNUSABLE }));
    }
    // An object has one size, or its name is another's.
    if size.is_some_and(|size| size != object.size) {
        return Some(Outcome::Failed(422));
    }
    let actions = actions.unwrap_or(WrittenActions { download: None, upload: None, verify: None });
    Some(match (operation, actions) {
        (Operation::Download, WrittenActions { download: Some(download), .. }) => Outcome::Download(download.read(now)?),
        (Operation::Download, _) => Outcome::Failed(404),
        (Operation::Upload, WrittenActions { upload: Some(upload), verify, .. }) => {
            let verify = match verify {
                Some(verify) => Some(verify.read(now)?),
                None => None,
            };
            Outcome::Upload(upload.read(now)?, verify)
        }
        (Operation::Upload, _) => Outcome::Present,
    })
}

impl WrittenAction {
    fn read(self, now: SystemTime) -> Option<Action> {
        let Self { href, header, expires_in, expires_at } = self;
        let header = header.unwrap_or_default();
        let length = header.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if header.len() > MAX_FIELDS || length > MAX_FIELD_OCTETS {
            return None;
        }
        let mut headers = HeaderMap::new();
        for (name, value) in header {
            let name: HeaderName = name.parse().ok()?;
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            // A name in two cases would be one field with two values.
            if !NOT_ITS_OWN.contains(&name.as_str()) && headers.insert(name, value).is_some() {
                return None;
            }
        }
        let longest = now.checked_add(LONGEST)?;
        let relative = match expires_in {
            // Servers write 0 where they mean nothing by it.
            None | Some(0) => longest,
            Some(seconds) => now.checked_add(Duration::from_secs(seconds.try_into().ok()?)).unwrap_or(longest),
        };
        let absolute = match expires_at.filter(|moment| !moment.starts_with(NEVER)) {
            None => longest,
            Some(moment) => SystemTime::from(moment.parse::<Timestamp>().ok()?),
        };
        let until = longest.min(relative).min(absolute);
        (until > now).then_some(Action { href: Href::parse(&href).ok()?, headers, until })
    }
}

/// Why an object has failed. The upstream's own words are not repeated: they may hold what it was sent.
fn words(code: u16) -> &'static str {
    match code {
        404 => "The server of this repository does not have the object.",
        409 => "The server of this repository names objects by another hash.",
        410 => "The object was removed from the server of this repository.",
        422 => "The server of this repository knows the object by another size, or finds fault with its name.",
        UNUSABLE => "The server of this repository gave no usable answer about this object.",
        _ => "The server of this repository refused this object.",
    }
}

/// Octets of the longest answer.
pub const MAX_ANSWER: usize = 4 << 20;
/// No answer that can be used.
const UNUSABLE: u16 = 502;
/// Fields of one action, and their octets.
const MAX_FIELDS: usize = 32;
const MAX_FIELD_OCTETS: usize = 16 * 1024;
/// How long an action may be kept.
const LONGEST: Duration = Duration::from_secs(3600);
/// How Go writes a time that was never set.
const NEVER: &str = "0001-01-01";
/// Fields that are the connection's or the body's, which we write ourselves.
const NOT_ITS_OWN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
