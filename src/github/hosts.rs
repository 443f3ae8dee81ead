//! Where a GitHub's API is, by the host that people know it by.

use crate::{
    destination::{Destination, Host, Name},
    endpoint::Endpoint,
};

/// Whether a host is a server of somebody's own, which has its API below paths of the host itself; GitHub's own hosts, and those of this
/// machine, have it at a host beside them. The same names decide in `gh`.
pub fn is_own_server(host: &Name) -> bool {
    let name = host.as_str();
    let is_githubs = name == "github.com" || name.ends_with(".ghe.com");
    let is_here = name == "localhost" || name.ends_with(".localhost");
    !is_githubs && !is_here
}

/// A part of GitHub beside its git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Api,
    Uploads,
}

/// Where a part is of the GitHub that has its git at `git`. None where that is not at `host`, so that nothing tells whose the names
/// beside it are.
pub fn beside(git: &Endpoint, host: &Name, part: Part) -> Option<Endpoint> {
    if git.destination.host != Host::Name(host.clone()) || !git.prefix.is_empty() {
        return None;
    }
    let (label, prefix) = match part {
        Part::Api => ("api", "/api/v3"),
        Part::Uploads => ("uploads", "/api/uploads"),
    };
    if is_own_server(host) {
        return Some(Endpoint { prefix: prefix.into(), ..git.clone() });
    }
    let host = Host::parse(format!("{label}.{}", host.as_str()).as_bytes()).ok()?;
    Some(Endpoint { destination: Destination { host, ..git.destination.clone() }, ..git.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_gh_expects_it() {
        for (host, git, api, uploads) in [
            ("github.com", "https://github.com", "https://api.github.com", "https://uploads.github.com"),
            ("acme.ghe.com", "https://acme.ghe.com", "https://api.acme.ghe.com", "https://uploads.acme.ghe.com"),
            ("github.localhost", "http://github.localhost:81", "http://api.github.localhost:81", "http://uploads.github.localhost:81"),
            ("ghe.example", "https://ghe.example", "https://ghe.example/api/v3", "https://ghe.example/api/uploads"),
            ("ghe.example", "https://ghe.example:8443", "https://ghe.example:8443/api/v3", "https://ghe.example:8443/api/uploads"),
            ("ghe.com", "https://ghe.com", "https://ghe.com/api/v3", "https://ghe.com/api/uploads"),
            ("notgithub.com", "https://notgithub.com", "https://notgithub.com/api/v3", "https://notgithub.com/api/uploads"),
        ] {
            let Ok(Host::Name(name)) = Host::parse(host.as_bytes()) else { panic!("{host}") };
            let git = Endpoint::parse(git).unwrap();
            let found = [Part::Api, Part::Uploads].map(|part| beside(&git, &name, part).unwrap().to_string());
            assert_eq!(found, [api, uploads], "{host}");
        }
    }

    /// A credential is shown to nobody whom the operator did not name.
    #[test]
    fn beside_git_that_is_elsewhere_there_is_nothing() {
        let Ok(Host::Name(name)) = Host::parse(b"github.com") else { panic!("a name") };
        for git in ["http://127.0.0.1:8080", "https://mirror.example", "https://github.com/mirror", "https://api.github.com"] {
            assert_eq!(beside(&Endpoint::parse(git).unwrap(), &name, Part::Api), None, "{git}");
        }
    }
}
