//! `--repo`: what a command line grants, and whose credential it takes for that.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    config::{Environment, Github},
    credentials::{Credential, FORM, Source, read_line},
    destination::{Host, Name},
    github::hosts::is_own_server,
    policy::{
        ForgeHosts,
        grant::{Grant, RepositoryGrant},
    },
    secret::Secret,
};

/// A grant with more repositories.
pub(super) fn extended(grant: &Grant, more: &[RepositoryGrant], githubs: &[Github]) -> Result<Grant, String> {
    let hosts = ForgeHosts::new(githubs.iter().map(|github| github.host.clone()));
    let whole = Grant::new(grant.repositories().iter().chain(more).cloned().collect());
    whole.and_then(|grant| grant.located(&hosts)).map_err(|error| format!("--repo: {error}"))
}

/// GitHub itself where a repository is without a host, then each host that is named, with the caller's own credential for it.
pub(super) fn githubs(repositories: &[RepositoryGrant], environment: &dyn Environment) -> Result<Vec<Github>, String> {
    let first = parse_host(HOST)?;
    let mut hosts: Vec<_> = repositories.iter().map(|granted| granted.name.host().unwrap_or(&first)).collect();
    hosts.sort_by_key(|host| **host != first);
    let mut githubs: Vec<Github> = Vec::new();
    for host in hosts {
        if githubs.iter().all(|github| github.host != *host) {
            githubs.push(github(host, environment)?);
        }
    }
    Ok(githubs)
}

fn parse_host(text: &str) -> Result<Name, String> {
    let host = Host::parse(text.as_bytes()).ok().and_then(|host| host.name().cloned());
    host.ok_or_else(|| format!("{text} cannot be named"))
}

fn github(host: &Name, environment: &dyn Environment) -> Result<Github, String> {
    let credential = Credential::new(Source::Value(credential(host, environment)?), Duration::ZERO);
    Ok(Github::by_name(host.clone(), Some(Arc::new(credential.into()))))
}

/// From the variables that `gh` reads for a host, in its order, and else from `gh` itself.
fn credential(host: &Name, environment: &dyn Environment) -> Result<Secret, String> {
    for name in if is_own_server(host) { ENTERPRISE_VARIABLES } else { VARIABLES } {
        let Some(value) = environment.variable(name).filter(|value| !value.is_empty()) else { continue };
        return read_line(value.as_encoded_bytes()).ok_or_else(|| format!("a credential is {FORM}, and what {name} holds is not"));
    }
    let asked = Command::new("gh")
        .args(["auth", "token", "--hostname", host.as_str()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let given = asked.ok().filter(|asked| asked.status.success()).map(|asked| Zeroizing::new(asked.stdout));
    given.and_then(|given| read_line(&given)).ok_or_else(|| {
        let [first, second] = if is_own_server(host) { ENTERPRISE_VARIABLES } else { VARIABLES };
        format!(
            "--repo needs a credential of yours for {}: set {first} or {second}, or log in by gh auth login, or name one in a --config",
            host.as_str()
        )
    })
}

const HOST: &str = "github.com";
const VARIABLES: [&str; 2] = ["GH_TOKEN", "GITHUB_TOKEN"];
/// Of servers that are somebody's own.
const ENTERPRISE_VARIABLES: [&str; 2] = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, io, path::Path};

    use super::*;
    use crate::github::RepositoryName;

    /// Variables and no file.
    struct Variables(&'static [(&'static str, &'static str)]);

    impl Environment for Variables {
        fn variable(&self, name: &str) -> Option<OsString> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        }

        fn file(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn private_file(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn open(&self, _: &Path) -> io::Result<Box<dyn io::Read>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn find(&self, _: &Path) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn the_callers_credential_comes_from_the_variables_of_gh() {
        let host = parse_host("github.com").unwrap();
        let taken = |variables| credential(&host, &Variables(variables)).map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap());
        assert_eq!(taken(&[("GITHUB_TOKEN", "second"), ("GH_TOKEN", "first")]).as_deref(), Ok("first"));
        assert_eq!(taken(&[("GITHUB_TOKEN", "second"), ("GH_TOKEN", "")]).as_deref(), Ok("second"));
        let error = taken(&[("GH_TOKEN", "two lines\nof it")]).unwrap_err();
        assert!(error.contains("GH_TOKEN") && !error.contains("two"), "{error}");
    }

    /// Nobody's token is shown to a host that it is not for.
    #[test]
    fn each_host_has_the_token_that_gh_would_show_it() {
        let granted = ["ghe.example/octo/spoon", "octo/spoon", "acme.ghe.com/octo/spoon", "ghe.example/octo/fork"]
            .map(|name| RepositoryGrant::reading(RepositoryName::parse(name).unwrap()));
        let variables = Variables(&[("GH_TOKEN", "of-github"), ("GH_ENTERPRISE_TOKEN", "of-the-company")]);
        let found: Vec<_> = githubs(&granted, &variables)
            .unwrap()
            .into_iter()
            .map(|github| {
                let held = github.credential.unwrap().held().unwrap();
                let api = github.api.unwrap().to_string();
                (github.git.to_string(), api, String::from_utf8(held.expose().to_vec()).unwrap())
            })
            .collect();
        let expected = [
            ("https://github.com", "https://api.github.com", "of-github"),
            ("https://ghe.example", "https://ghe.example/api/v3", "of-the-company"),
            ("https://acme.ghe.com", "https://api.acme.ghe.com", "of-github"),
        ];
        assert_eq!(found, expected.map(|(git, api, token)| (git.to_owned(), api.to_owned(), token.to_owned())));
        let error = githubs(&granted[..1], &Variables(&[("GH_TOKEN", "of-github")])).err().unwrap();
        assert!(error.contains("ghe.example") && error.contains("GH_ENTERPRISE_TOKEN"), "{error}");
    }

    #[test]
    fn repositories_are_added_to_what_is_granted() {
        let reading = |name| RepositoryGrant::reading(RepositoryName::parse(name).unwrap());
        let [one, other] = ["octo/spoon", "octo/fork"].map(reading);
        let githubs = [Github::by_name(parse_host("github.com").unwrap(), None)];
        let extended = |grant: &Grant, more: &RepositoryGrant| extended(grant, std::slice::from_ref(more), &githubs);
        let granted = extended(&Grant::default(), &one).unwrap();
        assert_eq!(extended(&granted, &other).unwrap().repositories(), [one.clone(), other]);
        for again in [one, reading("github.com/octo/spoon")] {
            assert!(extended(&granted, &again).unwrap_err().contains("octo/spoon"));
        }
        assert!(extended(&granted, &reading("ghe.example/octo/spoon")).unwrap_err().contains("no [[github]]"));
    }
}
