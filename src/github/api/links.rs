//! URLs in the head of an API's answers, as whoever asked through a door of ours can use them.

use crate::{destination::Name, endpoint::Endpoint, github::identity::split};

/// Where an API really is, whose it is, and where it is for whoever asks.
#[derive(Debug, Clone, Copy)]
pub struct Places<'p> {
    pub api: &'p Endpoint,
    /// The GitHub's name, at which its API goes by paths of its own, or by `api.` before it.
    pub host: &'p Name,
    /// A base URL without a slash at its end.
    pub here: &'p str,
}

impl Places<'_> {
    /// A value of `Location`, or of a link; none where it leads away from the API.
    pub fn url(&self, url: &str) -> Option<String> {
        let (authority, path) = split(url)?;
        let (host, own) = (self.host.as_str(), self.api.authority());
        let is = |name: &str| authority.is_some_and(|authority| authority.eq_ignore_ascii_case(name));
        let prefix = if authority.is_none() || is(&own) {
            &*self.api.prefix
        } else if is(host) {
            BELOW
        } else if is(&format!("api.{host}")) {
            ""
        } else {
            return None;
        };
        let path = path.strip_prefix(prefix).filter(|path| path.starts_with('/'))?;
        Some(format!("{}{path}", self.here))
    }

    /// Whether a `Location` leads to a place of the API.
    pub fn is_api(&self, url: &str) -> bool {
        self.url(url).is_some()
    }

    /// A value of `Link` (RFC 8288, section 3), its links away from the API left out; none where nothing is left, or it cannot be read.
    pub fn links(&self, value: &str) -> Option<String> {
        let (mut links, mut rest) = (Vec::new(), value.trim());
        while !rest.is_empty() {
            let (url, after) = rest.strip_prefix('<')?.split_once('>')?;
            let (parameters, next) = after.split_at(end_of_link(after));
            if let Some(url) = self.url(url) {
                links.push(format!("<{url}>{}", parameters.trim_end()));
            }
            rest = next.strip_prefix(',').unwrap_or(next).trim_start();
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

/// Where the parameters of a link end: at a comma outside of quotes.
fn end_of_link(parameters: &str) -> usize {
    let mut quoted = false;
    let end = parameters.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    end.unwrap_or(parameters.len())
}

/// Where a server of somebody's own has its API.
const BELOW: &str = "/api/v3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Host;

    #[test]
    fn links_lead_through_the_door_or_nowhere() {
        let api = Endpoint::parse("https://ghe.example/api/v3").unwrap();
        let host = Host::parse(b"ghe.example").unwrap();
        let places = Places { api: &api, host: host.name().unwrap(), here: "http://127.0.0.1:3129/api/v3" };
        for (value, expected) in [
            (
                "<https://ghe.example/api/v3/repositories/7/pulls?page=2>; rel=\"next\", <https://ghe.example/api/v3/repositories/7/pulls?page=9>; rel=\"last\"",
                Some(
                    "<http://127.0.0.1:3129/api/v3/repositories/7/pulls?page=2>; rel=\"next\", <http://127.0.0.1:3129/api/v3/repositories/7/pulls?page=9>; rel=\"last\"",
                ),
            ),
            ("<https://api.ghe.example/user>;rel=next", Some("<http://127.0.0.1:3129/api/v3/user>;rel=next")),
            (
                "</api/v3/a,b>; title=\"x, y\" , </api/v3/c>",
                Some("<http://127.0.0.1:3129/api/v3/a,b>; title=\"x, y\", <http://127.0.0.1:3129/api/v3/c>"),
            ),
            ("<https://evil.example/api/v3/user>; rel=\"next\", </api/v3/c>", Some("<http://127.0.0.1:3129/api/v3/c>")),
            ("<https://ghe.example@evil.example/api/v3/user>; rel=\"next\"", None),
            ("<//evil.example/api/v3/user>; rel=\"next\"", None),
            ("https://ghe.example/api/v3/user", None),
            ("<https://ghe.example/api/v3/user", None),
            ("", None),
        ] {
            assert_eq!(places.links(value).as_deref(), expected, "{value}");
        }
        assert_eq!(
            places.url("https://ghe.example/api/v3/repos/o/r/git/refs/heads/x?y").unwrap(),
            "http://127.0.0.1:3129/api/v3/repos/o/r/git/refs/heads/x?y"
        );
        // What stands beside the API on its host is something else.
        for url in ["https://storage.example/x", "https://ghe.example/_codeload/o/r", "/o/r", "https://ghe.example/api/v30"] {
            assert_eq!(places.url(url), None, "{url}");
        }
        let api = Endpoint::parse("https://api.github.com").unwrap();
        let host = Host::parse(b"github.com").unwrap();
        let places = Places { api: &api, host: host.name().unwrap(), here: "https://api.github.com" };
        assert_eq!(
            places.url("https://api.github.com/repositories/7/pulls?page=2").unwrap(),
            "https://api.github.com/repositories/7/pulls?page=2"
        );
        assert_eq!(places.url("https://codeload.github.com/o/r/legacy.zip/x?token=y"), None);
    }
}
