//! `--repo`: what a command line grants, and whose credential it takes for that.

use std::{
    fmt::Display,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    config::{Environment, Github},
    credentials::{Credential, FORM, Source, read_line},
    destination::{Destination, Name},
    endpoint::Endpoint,
    policy::grant::{Grant, RepositoryGrant},
    secret::Secret,
};

/// A grant with more repositories.
pub(super) fn extended(grant: &Grant, more: &[RepositoryGrant]) -> Result<Grant, String> {
    Grant::new(grant.repositories().iter().chain(more).cloned().collect()).map_err(|error| format!("--repo: {error}"))
}

/// GitHub itself, with the caller's own credential.
pub(super) fn github(environment: &dyn Environment) -> Result<Github, String> {
    let failed = |error: &dyn Display| format!("{HOST} cannot be named: {error}");
    let host = Destination::parse(HOST.as_bytes(), Some(443)).map_err(|error| failed(&error))?.host;
    let host: Name = host.name().cloned().ok_or_else(|| failed(&"it is no name"))?;
    let git = Endpoint::parse(&format!("https://{HOST}")).map_err(|error| failed(&error))?;
    let credential = Credential::new(Source::Value(credential(environment)?), Duration::ZERO);
    Ok(Github { host, git, roots: Vec::new(), credential: Some(Arc::new(credential)), public_read: false })
}

/// From the variables that `gh` reads, in its order, and else from `gh` itself.
fn credential(environment: &dyn Environment) -> Result<Secret, String> {
    for name in VARIABLES {
        let Some(value) = environment.variable(name).filter(|value| !value.is_empty()) else { continue };
        return read_line(value.as_encoded_bytes()).ok_or_else(|| format!("a credential is {FORM}, and what {name} holds is not"));
    }
    let asked = Command::new("gh").args(["auth", "token"]).current_dir("/").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let given = asked.ok().filter(|asked| asked.status.success()).map(|asked| Zeroizing::new(asked.stdout));
    given.and_then(|given| read_line(&given)).ok_or_else(|| NO_CREDENTIAL.into())
}

const HOST: &str = "github.com";
const VARIABLES: [&str; 2] = ["GH_TOKEN", "GITHUB_TOKEN"];
const NO_CREDENTIAL: &str =
    "--repo needs a credential of yours: set GH_TOKEN or GITHUB_TOKEN, or log in by gh auth login, or name one in a --config";

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

        fn open(&self, _: &Path) -> io::Result<Box<dyn io::Read>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn find(&self, _: &Path) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn the_callers_credential_comes_from_the_variables_of_gh() {
        let taken = |variables| credential(&Variables(variables)).map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap());
        assert_eq!(taken(&[("GITHUB_TOKEN", "second"), ("GH_TOKEN", "first")]).as_deref(), Ok("first"));
        assert_eq!(taken(&[("GITHUB_TOKEN", "second"), ("GH_TOKEN", "")]).as_deref(), Ok("second"));
        let error = taken(&[("GH_TOKEN", "two lines\nof it")]).unwrap_err();
        assert!(error.contains("GH_TOKEN") && !error.contains("two"), "{error}");
        let github = github(&Variables(&[("GH_TOKEN", "first")])).unwrap();
        assert_eq!((github.host.as_str(), github.public_read), ("github.com", false));
    }

    #[test]
    fn repositories_are_added_to_what_is_granted() {
        let reading = |name| RepositoryGrant::reading(RepositoryName::parse(name).unwrap());
        let [one, other] = ["octo/spoon", "octo/fork"].map(reading);
        let granted = extended(&Grant::default(), std::slice::from_ref(&one)).unwrap();
        assert_eq!(extended(&granted, std::slice::from_ref(&other)).unwrap().repositories(), [one.clone(), other]);
        assert!(extended(&granted, &[one]).unwrap_err().contains("octo/spoon"));
    }
}
