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
    !is_githubs && !is_here(host)
}

/// Whether it is one of this machine's, which `gh` asks in plain HTTP.
pub fn is_here(host: &Name) -> bool {
    let name = host.as_str();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether it is GitHub itself, which has names of its own for what others have beside them.
pub fn is_github(host: &Name) -> bool {
    host.as_str() == "github.com"
}

/// A part of GitHub beside its git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Api,
    Uploads,
    /// Archives of a repository.
    Archives,
    /// Single files of a repository.
    Raw,
}

/// Where a part is of the GitHub that has its git at `git`. None where that is not at `host`, so that nothing tells whose the names
/// beside it are.
pub fn beside(git: &Endpoint, host: &Name, part: Part) -> Option<Endpoint> {
    if git.destination.host != Host::Name(host.clone()) || !git.prefix.is_empty() {
        return None;
    }
    let (name, prefix) = match part {
        Part::Api => (format!("api.{}", host.as_str()), "/api/v3"),
        Part::Uploads => (format!("uploads.{}", host.as_str()), "/api/uploads"),
        // Where others have these is their operator's choice.
        Part::Archives | Part::Raw if !is_github(host) => return None,
        Part::Archives => ("codeload.github.com".to_owned(), ""),
        Part::Raw => ("raw.githubusercontent.com".to_owned(), ""),
    };
    if is_own_server(host) {
        return Some(Endpoint { prefix: prefix.into(), ..git.clone() });
    }
    let host = Host::parse(name.as_bytes()).ok()?;
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
            let files = [Part::Archives, Part::Raw].map(|part| beside(&git, &name, part).map(|endpoint| endpoint.to_string()));
            let expected = ["https://codeload.github.com", "https://raw.githubusercontent.com"]
                .map(|url| (host == "github.com").then(|| url.to_owned()));
            assert_eq!(files, expected, "{host}");
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
