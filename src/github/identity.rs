//! What GitHub says about which repository a name is: the answer of its API, and where it sends whoever asks by a name of before.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

use super::{RepositoryName, Service};
use crate::endpoint::Endpoint;

/// The number of a repository at its host, which stays when it is renamed or transferred, and is no other's ever after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryId(NonZeroU64);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One repository, and what it is called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: RepositoryId,
    /// Without a host: it is where it was asked for.
    pub name: RepositoryName,
}

/// Reads the answer to `GET /repos/OWNER/NAME`: an object with one `id` and one `full_name`. The rest of it means nothing here.
/// `None` for anything else, and for more than [`MAX_ANSWER`] octets.
pub fn read(body: &[u8]) -> Option<Identity> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        id: RepositoryId,
        full_name: &'a str,
    }
    // serde would read an array as the fields in their order.
    if body.len() > MAX_ANSWER || !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Answer { id, full_name } = serde_json::from_slice(body).ok()?;
    let (owner, name) = full_name.split_once('/')?;
    Some(Identity { id, name: RepositoryName::from_parts(owner, name).ok()? })
}

/// What an answer of the API sends its reader to instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    Id(RepositoryId),
    Name(RepositoryName),
}

impl Elsewhere {
    /// Reads the `Location` of an answer from `api`, which also goes by these names. `None` where it leads to another host, or to what
    /// is no repository.
    pub fn read(location: &str, api: &Endpoint, names: &[&str]) -> Option<Self> {
        let path = path_at(location, api, names)?;
        if let Some(id) = path.strip_prefix("/repositories/") {
            let is_plain = id.len() <= MAX_DIGITS && id.bytes().all(|byte| byte.is_ascii_digit());
            return if is_plain { id.parse().ok().map(|id| Self::Id(RepositoryId(id))) } else { None };
        }
        let (owner, name) = path.strip_prefix("/repos/")?.split_once('/')?;
        RepositoryName::from_parts(owner, name).ok().map(Self::Name)
    }

    /// The path to ask for it, below the API's own.
    pub fn path(&self) -> String {
        match self {
            Self::Id(id) => format!("/repositories/{id}"),
            Self::Name(name) => format!("/repos/{}", name.path()),
        }
    }
}

/// The repository that the `Location` of an answer to git names, where `git` gave it, which also goes by these names. `None` where it
/// leads to another host, or to what is none of git's requests.
pub fn read_moved(location: &str, git: &Endpoint, names: &[&str]) -> Option<RepositoryName> {
    let path = path_at(location, git, names)?;
    let mut segments = path.strip_prefix('/')?.splitn(3, '/');
    let (owner, name, rest) = (segments.next()?, segments.next()?, segments.next()?);
    let is_git_s = rest == "info/refs" || Service::parse(rest).is_some();
    RepositoryName::from_parts(owner, name).ok().filter(|_| is_git_s)
}

/// The path of a `Location` (RFC 9110, section 10.2.2) below an endpoint's own, if it is there or at one of these names.
fn path_at<'l>(location: &'l str, endpoint: &Endpoint, names: &[&str]) -> Option<&'l str> {
    let (authority, path) = split(location)?;
    if let Some(authority) = authority {
        let here = endpoint.authority();
        let is_known = names.iter().copied().chain([&*here]).any(|name| name.eq_ignore_ascii_case(authority));
        is_known.then_some(())?;
    }
    let path = path.split(['?', '#']).next()?;
    Some(path.strip_prefix(&*endpoint.prefix).unwrap_or(path))
}

/// The authority that a `Location` names, if it names one, and what follows: path, query and fragment.
pub(super) fn split(location: &str) -> Option<(Option<&str>, &str)> {
    match location.strip_prefix("https://").or_else(|| location.strip_prefix("http://")) {
        Some(rest) => {
            let (authority, _) = rest.split_once('/')?;
            Some((Some(authority), rest.get(authority.len()..)?))
        }
        None if location.starts_with('/') && !location.starts_with("//") => Some((None, location)),
        None => None,
    }
}

/// Most octets of an answer about one repository.
pub const MAX_ANSWER: usize = 256 * 1024;
/// Of a number that 64 bits hold.
const MAX_DIGITS: usize = 19;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(id: u64, name: &str) -> Identity {
        Identity { id: RepositoryId(NonZeroU64::new(id).unwrap()), name: RepositoryName::parse(name).unwrap() }
    }

    #[test]
    fn an_answer_of_the_api() {
        let whole =
            br#"{"id":1296269,"node_id":"x","name":"Spoon","full_name":"Octo/Spoon","owner":{"id":1,"login":"Octo"},"private":true}"#;
        assert_eq!(read(whole), Some(identity(1_296_269, "octo/spoon")));
        assert_eq!(read(br#" {"full_name":"o/r","id":18446744073709551615}"#), Some(identity(u64::MAX, "o/r")));
        for other in [
            r#"[7, "o/r"]"#,
            r#"{"id":7}"#,
            r#"{"full_name":"o/r"}"#,
            r#"{"id":0,"full_name":"o/r"}"#,
            r#"{"id":-7,"full_name":"o/r"}"#,
            r#"{"id":7.0,"full_name":"o/r"}"#,
            r#"{"id":"7","full_name":"o/r"}"#,
            r#"{"id":18446744073709551616,"full_name":"o/r"}"#,
            r#"{"id":7,"id":8,"full_name":"o/r"}"#,
            r#"{"id":7,"full_name":"o/r","full_name":"o/s"}"#,
            r#"{"id":7,"full_name":"o"}"#,
            r#"{"id":7,"full_name":"o/../r"}"#,
            r#"{"id":7,"full_name":"ghe.example/o/r"}"#,
            r#"{"id":7,"full_name":"o/r"} x"#,
            r#"{"id":7,"full_name":"o/r""#,
            "",
        ] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        let long = format!(r#"{{"id":7,"full_name":"o/r","x":"{}"}}"#, "x".repeat(MAX_ANSWER));
        assert_eq!(read(long.as_bytes()), None);
        let deep = format!(r#"{{"id":7,"full_name":"o/r","x":{}"#, "[".repeat(100_000));
        assert_eq!(read(deep.as_bytes()), None);
    }

    #[test]
    fn where_the_api_sends_its_reader() {
        let api = Endpoint::parse("https://ghe.example/api/v3").unwrap();
        let read = |location: &str| Elsewhere::read(location, &api, &["api.other.test"]).map(|to| to.path());
        for (location, path) in [
            ("https://ghe.example/api/v3/repositories/7", "/repositories/7"),
            ("https://GHE.example/api/v3/repos/Octo/Fork", "/repos/octo/fork"),
            ("/api/v3/repositories/7?x=y", "/repositories/7"),
            ("https://api.other.test/repositories/7", "/repositories/7"),
        ] {
            assert_eq!(read(location).as_deref(), Some(path), "{location}");
        }
        for location in [
            "https://evil.example/api/v3/repositories/7",
            "https://ghe.example.evil/api/v3/repositories/7",
            "https://ghe.example@evil.example/api/v3/repositories/7",
            "//evil.example/api/v3/repositories/7",
            "https://ghe.example:8443/api/v3/repositories/7",
            "https://ghe.example/api/v3/repositories/0",
            "https://ghe.example/api/v3/repositories/+7",
            "https://ghe.example/api/v3/repositories/7/git",
            "https://ghe.example/api/v3/repositories/99999999999999999999",
            "https://ghe.example/api/v3/repos/octo/fork/pulls",
            "https://ghe.example/login",
            "repositories/7",
            "",
        ] {
            assert_eq!(read(location), None, "{location}");
        }
    }

    #[test]
    fn where_git_is_sent() {
        let git = Endpoint::parse("http://127.0.0.1:8080/git").unwrap();
        let read = |location: &str| read_moved(location, &git, &["github.test"]).map(|name| name.to_string());
        for location in [
            "http://127.0.0.1:8080/git/Octo/Fork.git/info/refs?service=git-upload-pack",
            "/git/octo/fork/git-receive-pack",
            "https://github.test/octo/fork.git/info/refs?service=git-upload-pack",
        ] {
            assert_eq!(read(location).as_deref(), Some("octo/fork"), "{location}");
        }
        for location in [
            "https://evil.test/octo/fork/info/refs",
            "https://github.test:444/octo/fork/info/refs",
            "https://x@github.test/octo/fork/info/refs",
            "https://github.test",
            "https://github.test/octo/fork",
            "https://github.test/login?return_to=/octo/fork/info/refs",
            "https://github.test/octo/../fork/info/refs",
            "octo/fork/info/refs",
        ] {
            assert_eq!(read(location), None, "{location}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_can_be_asked_for(location in "(https://ghe.example)?/[ -~]{0,40}", body in prop::collection::vec(any::<u8>(), 0..80)) {
            let api = Endpoint::parse("https://ghe.example").unwrap();
            if let Some(to) = Elsewhere::read(&location, &api, &[]) {
                prop_assert_eq!(Elsewhere::read(&to.path(), &api, &[]), Some(to));
            }
            if let Some(identity) = read(&body) {
                prop_assert!(identity.name.host().is_none());
            }
        }
    }
}
