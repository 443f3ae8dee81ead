//! A refusal or trouble becomes an answer: the only file that writes a status of our own.

pub(crate) mod socks;
mod ssh;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use crate::{
    destination::Destination,
    downstream::{HeadFailure, HelloFailure},
    github::lfs,
    limits::{Exhausted, Limited},
    policy::Denial,
    reason::{Reason, Verdict},
    upstream::{Failure, Refused},
    wire::opening::Opening,
};

/// Why a request goes no further: a denial of the policy, of a limit or of a bound, or trouble on the way.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) denial: Box<Denial>,
    /// When trying again makes sense, where that is known.
    pub(crate) retry_after: Option<Duration>,
    /// The connection may not be used again, though others of its status may be.
    pub(crate) closes: bool,
    /// The upstream's own status, where that tells a client more than the reason's.
    pub(crate) status: Option<StatusCode>,
    /// The generation of policies that refuses, where it is another than the one under which was asked.
    pub(crate) generation: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Box::new(Denial::new(reason, detail)).into()
    }

    pub(crate) fn reason(&self) -> Reason {
        self.denial.reason
    }

    /// The same, naming where the request wanted to go.
    pub(crate) fn of(mut self, destination: &Destination) -> Self {
        self.denial = Box::new(self.denial.of(destination));
        self
    }
}

impl From<Box<Denial>> for Refusal {
    fn from(denial: Box<Denial>) -> Self {
        Self { denial, retry_after: None, closes: false, status: None, generation: None }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let mut refusal = Self::new(failure.reason, failure.detail);
        refusal.denial.address = failure.address.map(|address| address.ip());
        refusal
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(denial) => denial.into(),
            Refused::Failed(failure) => failure.into(),
        }
    }
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        Self {
            retry_after: Some(limited.retry_after()),
            ..Self::new(limited.reason(), format!("A limit of this session was met: {limited}."))
        }
    }
}

impl From<Exhausted> for Refusal {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(Reason::BudgetExhausted, exhausted.to_string())
    }
}

impl From<HeadFailure> for Refusal {
    fn from(failure: HeadFailure) -> Self {
        Self::new(failure.reason(), format!("The request head was refused: {failure}."))
    }
}

impl From<HelloFailure> for Refusal {
    fn from(failure: HelloFailure) -> Self {
        match failure {
            HelloFailure::Refused(error) => Self::new(error.reason(), format!("The tunnel was refused at its first bytes: {error}.")),
            HelloFailure::Late(limit) => {
                Self::new(Reason::OpaqueTunnel, format!("No ClientHello arrived within {} s.", limit.as_secs_f32()))
            }
            HelloFailure::Closed | HelloFailure::Unused => {
                Self::new(Reason::OpaqueTunnel, "The tunnel was closed before its ClientHello was complete.")
            }
        }
    }
}

/// To whom something is refused, and under which document and generation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    pub(crate) policy: Option<Arc<str>>,
    pub(crate) generation: Option<u64>,
    pub(crate) reader: Reader,
    pub(crate) owner: Owner,
}

/// Whom a sandbox can ask for what is refused to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An owner who sees requests, and grants them while the sandbox runs.
    Listening,
    /// Nobody: who runs the sandbox says at its start what it may do.
    Starting,
    /// Nobody: the operator writes what it may do into the configuration.
    #[default]
    Writing,
}

/// Who reads a refusal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A client of a proxy: the facts in one line of JSON, then sentences.
    #[default]
    Client,
    /// One that asked for `application/json`: the facts alone.
    Program,
    /// git, which prints what an origin server says: sentences alone.
    Git,
    /// A client of GitHub's API, which prints the `message` of a JSON object.
    Api,
    /// Git LFS, which does the same, and takes 404 for what is not served.
    Lfs,
}

/// A whole answer of our own, in bounded size.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: Vec<(header::HeaderName, String)>,
    body: Vec<u8>,
    closes: bool,
}

impl Answer {
    /// A page: ours, and no refusal.
    pub(crate) fn page(status: StatusCode, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![(header::CONTENT_TYPE, content_type.to_owned()), (header::CACHE_CONTROL, "no-store".to_owned())];
        Self { status, headers, body: body.into(), closes: false }
    }

    /// The same, naming the methods that would do.
    pub(crate) fn allowing(mut self, methods: &str) -> Self {
        self.headers.push((header::ALLOW, methods.to_owned()));
        self
    }

    /// Sends a client to where what it asked for is.
    pub(crate) fn redirect(location: &str) -> Self {
        let mut answer = Self::page(StatusCode::FOUND, PLAIN_TEXT, "");
        answer.headers.push((header::LOCATION, location.to_owned()));
        answer
    }

    /// The answer to whoever is refused: why, by which rule, and what would change it.
    pub(crate) fn refusal(refusal: &Refusal, context: &Context) -> Self {
        let unserved = context.reader == Reader::Lfs && refusal.reason() == Reason::PathNotAllowed;
        let status = if unserved { StatusCode::NOT_FOUND } else { status_of(refusal) };
        let (content_type, body) = match context.reader {
            Reader::Client => (PLAIN_TEXT, format!("{}{}", facts(refusal, context), sentences(refusal, context.owner))),
            Reader::Program => ("application/json", facts(refusal, context)),
            Reader::Git => (PLAIN_TEXT, sentences(refusal, context.owner)),
            Reader::Api => ("application/json; charset=utf-8", of_api(refusal, status, context.owner)),
            Reader::Lfs => (lfs::CONTENT_TYPE, json!({ "message": advice(refusal, context.owner).join(" ") }).to_string()),
        };
        let mut answer = Self::page(status, content_type, body);
        answer.closes = refusal.closes;
        answer.explain(refusal);
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && matches!(context.reader, Reader::Git | Reader::Api | Reader::Lfs) {
            // For these this is an origin server.
            answer.status = StatusCode::UNAUTHORIZED;
            answer.headers.push((header::WWW_AUTHENTICATE, CHALLENGE.to_owned()));
            if context.reader == Reader::Lfs {
                answer.headers.push((LFS_AUTHENTICATE, CHALLENGE.to_owned()));
            }
        } else if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            answer.headers.push((header::PROXY_AUTHENTICATE, CHALLENGE.to_owned()));
        } else {
            answer.closes = true;
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let methods = if matches!(context.reader, Reader::Git | Reader::Lfs) {
                "GET, POST"
            } else {
                "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
            };
            answer.headers.push((header::ALLOW, methods.to_owned()));
        }
        answer
    }

    /// A refusal in the words of a client's own protocol, which its content type names.
    pub(crate) fn native(refusal: &Refusal, content_type: &str, body: Vec<u8>) -> Self {
        let mut answer = Self::page(StatusCode::OK, content_type, body);
        answer.closes = true;
        answer.explain(refusal);
        answer
    }

    fn explain(&mut self, refusal: &Refusal) {
        self.headers.push((X_DENY_REASON, refusal.reason().as_str().to_owned()));
        self.headers.push((PROXY_STATUS, proxy_status(&refusal.denial)));
        if let Some(wait) = refusal.retry_after {
            self.headers.push((header::RETRY_AFTER, seconds_rounded_up(wait).to_string()));
        }
    }

    /// Whether the client may use the connection again: after 407 it has to, everything else that is refused ends it,
    /// so that nothing pipelined behind a refusal is executed.
    pub(crate) fn keeps_connection(&self) -> bool {
        !self.closes
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let keep = self.keeps_connection();
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, header_value(&value));
        }
        if !keep {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The same as HTTP/1.1 octets, for a CONNECT that is answered without hyper.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status.as_u16(), self.status.canonical_reason().unwrap_or("Refused"));
        for (name, value) in &self.headers {
            let value = header_value(value);
            let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        if !self.keeps_connection() {
            head.push_str("connection: close\r\n");
        }
        let _ = write!(head, "content-length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }
}

/// A refusal in the language of these first bytes, for a client that knows of no proxy: an alert, an answer of HTTP/1.1, a disconnect
/// of SSH. None where it speaks none of them.
pub(crate) fn in_language(opening: Opening, refusal: &Refusal, context: &Context) -> Option<Vec<u8>> {
    match opening {
        Opening::Tls => Some(tls_alert(refusal.reason()).into()),
        // One of HTTP/2 learns that this is none.
        Opening::Http1 | Opening::Http2 => Some(Answer::refusal(refusal, context).to_octets()),
        Opening::Ssh => Some(ssh::disconnect(&advice(refusal, context.owner).join(" "))),
        Opening::Other => None,
    }
}

/// A fatal TLS alert (RFC 8446, section 6) in a record of its own: how a tunnel is refused once it speaks TLS.
fn tls_alert(reason: Reason) -> [u8; 7] {
    let description = match reason.verdict() {
        Verdict::Error => INTERNAL_ERROR,
        Verdict::Allow | Verdict::Deny if reason == Reason::Misdirected => UNRECOGNIZED_NAME,
        Verdict::Allow | Verdict::Deny => ACCESS_DENIED,
    };
    [21, 3, 3, 0, 2, 2, description]
}

/// The upstream's own status, or that of the reason.
fn status_of(refusal: &Refusal) -> StatusCode {
    refusal.status.or(StatusCode::from_u16(refusal.reason().status()).ok()).unwrap_or(StatusCode::FORBIDDEN)
}

/// Whole sentences for people, a line each, the remedy included.
pub(crate) fn advice(refusal: &Refusal, owner: Owner) -> Vec<String> {
    sentences(refusal, owner).lines().map(str::to_owned).collect()
}

/// The first line of a refusal's body.
fn facts(refusal: &Refusal, context: &Context) -> String {
    let Denial { reason, host, port, address: _, rule, allow_with, detail } = refusal.denial.as_ref();
    let mut line = json!({
        "reason": reason.as_str(),
        "host": host.as_ref().map(ToString::to_string),
        "port": port,
        "rule": rule.as_ref().map(ToString::to_string),
        "policy": context.policy.as_deref(),
        "generation": context.generation,
        "allow_with": allow_with,
        "detail": detail,
    })
    .to_string();
    line.push('\n');
    line
}

/// As GitHub's API words an error.
fn of_api(refusal: &Refusal, status: StatusCode, owner: Owner) -> String {
    let message = advice(refusal, owner).join(" ");
    json!({ "message": message, "documentation_url": PAGES, "status": status.as_str() }).to_string()
}

fn sentences(refusal: &Refusal, owner: Owner) -> String {
    let denial = &refusal.denial;
    let mut text = format!("Tidegate: {}\n", denial.detail);
    if let Some(rule) = &denial.rule {
        let _ = writeln!(text, "Decided by {rule}.");
    }
    if let Some(line) = &denial.allow_with {
        let document = if is_of_grant(denial.reason) { "session" } else { "policy" };
        let _ = writeln!(text, "To allow it, the owner of this sandbox adds to its {document}:\n{line}");
    }
    if owner == Owner::Listening && denial.may_be_asked_for() {
        text.push_str(ASK);
    }
    if let Some(wait) = refusal.retry_after {
        let _ = writeln!(text, "Try again in {} s.", seconds_rounded_up(wait));
    }
    text
}

/// Whether a session's grant decides it, and no policy.
fn is_of_grant(reason: Reason) -> bool {
    matches!(reason, Reason::RepositoryNotGranted | Reason::ReadOnly | Reason::RefNotGranted | Reason::ApiNotAllowed)
}

/// RFC 9209, section 2.3; `details` is a string of RFC 8941: printable ASCII, quote and backslash escaped.
fn proxy_status(denial: &Denial) -> String {
    let mut details = String::new();
    for character in denial.to_string().chars().take(MAX_DETAILS) {
        match character {
            '"' | '\\' => details.extend(['\\', character]),
            '\n' => details.push(' '),
            ' '..='~' => details.push(character),
            _ => details.push('?'),
        }
    }
    format!("tidegate; error={}; details=\"{details}\"", denial.reason.proxy_status())
}

fn seconds_rounded_up(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Only our own text comes here; what could not stand in a header is dropped rather than sent.
fn header_value(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

/// Where a sandbox reads what was refused to it.
const PAGES: &str = "http://tidegate.internal/refusals";
/// What a sandbox may do about a refusal that its owner could lift.
const ASK: &str = "Or ask the owner for it: POST /request-access at http://tidegate.internal/ says how.\n";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const CHALLENGE: &str = "Basic realm=\"tidegate\", charset=\"UTF-8\"";
const X_DENY_REASON: header::HeaderName = header::HeaderName::from_static("x-deny-reason");
const LFS_AUTHENTICATE: header::HeaderName = header::HeaderName::from_static("lfs-authenticate");
const PROXY_STATUS: header::HeaderName = header::HeaderName::from_static("proxy-status");
/// Most characters of a sentence that go into `Proxy-Status`.
const MAX_DETAILS: usize = 400;
/// RFC 8446, section 6.
const ACCESS_DENIED: u8 = 49;
/// Trouble that is not the client's (RFC 8446, section 6.2).
const INTERNAL_ERROR: u8 = 80;
/// RFC 6066, section 3.
const UNRECOGNIZED_NAME: u8 = 112;
