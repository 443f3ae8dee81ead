//! The hosts that a GitHub has for files: what names a repository there follows the session's grant, and the rest is a policy's matter.

use super::{
    Way,
    decision::Denial,
    forge::ForgeHosts,
    grant::Grant,
    permit::Interception,
    repositories::{RepositoryPermit, decide_repository},
};
use crate::{
    destination::{Destination, Name},
    github::{
        Service,
        files::{FileHost, FileRoute, Store},
    },
    reason::Reason,
};

/// Leave for a connection to a host for files, which ends here: each request in it is judged.
#[derive(Debug, Clone)]
pub struct FilesPermit(Interception);

impl FilesPermit {
    pub fn destination(&self) -> &Destination {
        self.0.destination()
    }

    /// Leave to show a certificate for the host.
    pub fn interception(&self) -> Interception {
        self.0.clone()
    }
}

/// Leave to read a file.
#[derive(Debug)]
#[must_use]
pub struct FilePermit {
    repository: RepositoryPermit,
    route: FileRoute,
    elsewhere: Option<Name>,
}

impl FilePermit {
    pub fn repository(&self) -> &RepositoryPermit {
        &self.repository
    }

    pub fn route(&self) -> &FileRoute {
        &self.route
    }

    /// The same for reading as anybody may; see [`RepositoryPermit::publicly`].
    ///
    /// # Errors
    /// Those of that.
    pub fn publicly(self) -> Result<Self, Box<Denial>> {
        Ok(Self { repository: self.repository.publicly()?, ..self })
    }

    /// The host that has the file, where that is not the one that was asked.
    pub fn elsewhere(&self) -> Option<&Name> {
        self.elsewhere.as_ref()
    }
}

impl ForgeHosts {
    /// Judges a connection; `None` where it leads to no host for files, or not to where these are read by HTTPS.
    pub fn decide_files(&self, destination: &Destination, way: Way) -> Option<FilesPermit> {
        let _at = self.files_at(destination).filter(|_| way == Way::Connect)?;
        Some(FilesPermit(Interception::of_a_forge(destination.clone())))
    }

    /// The file of a repository that a request is for, to a host for files or by a page of a GitHub's own host. `None` where it names none, and
    /// where nobody knows the host that would have it.
    pub fn find_file(&self, destination: &Destination, origin_form: &str) -> Option<FileRoute> {
        let (forge, route) = if let Some(at) = self.files_at(destination) {
            (&at.forge, FileRoute::read_at(at.store, origin_form)?)
        } else {
            let name = destination.host.name().filter(|_| destination.port == 443 && !origin_form.starts_with(API))?;
            let forge = self.names().iter().find(|forge| *forge == name)?;
            (forge, FileRoute::read_on_host(origin_form).filter(|route| self.keeping(forge, route.store).is_some())?)
        };
        Some(route.at((self.first() != Some(forge)).then(|| forge.clone())))
    }

    /// Whether a session's grant lets a file be read that was asked for at `destination`.
    ///
    /// # Errors
    /// [`Reason::RepositoryNotGranted`], [`Reason::MethodNotAllowed`].
    pub fn decide_file(&self, route: FileRoute, destination: &Destination, grant: &Grant, method: &str) -> Result<FilePermit, Box<Denial>> {
        let of = |denial: Denial| Box::new(denial.of(destination));
        let public_read = self.public_read(&route.repository);
        let repository = decide_repository(grant, &route.repository, Service::UploadPack, public_read).map_err(|denial| of(*denial))?;
        if !READING.contains(&method) {
            return Err(of(Denial::new(Reason::MethodNotAllowed, ONLY_READ)));
        }
        let forge = route.repository.host().or(self.first());
        let host = forge.and_then(|forge| self.keeping(forge, route.store)).filter(|host| Some(*host) != destination.host.name()).cloned();
        Ok(FilePermit { repository, route, elsewhere: host })
    }

    fn files_at(&self, destination: &Destination) -> Option<&FileHost> {
        let name = destination.host.name().filter(|_| destination.port == 443)?;
        self.files().iter().find(|at| at.host == *name)
    }

    /// The host where a GitHub keeps such files.
    fn keeping<'h>(&'h self, forge: &'h Name, store: Store) -> Option<&'h Name> {
        if store == Store::Releases {
            return Some(forge);
        }
        self.files().iter().find(|at| at.forge == *forge && at.store == store).map(|at| &at.host)
    }
}

/// The methods by which a file is read.
const READING: [&str; 2] = ["GET", "HEAD"];
/// Where a server of somebody's own has its API.
const API: &str = "/api/";
const ONLY_READ: &str = "Files of a repository are read here, with GET or HEAD; what is to change is pushed.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        destination::Host,
        github::RepositoryName,
        policy::{ForgePermit, grant::RepositoryGrant},
    };

    fn name(text: &str) -> Name {
        Host::parse(text.as_bytes()).unwrap().name().unwrap().clone()
    }

    fn at(text: &str) -> Destination {
        Destination::parse(text.as_bytes(), Some(443)).unwrap()
    }

    /// GitHub with both of its hosts, and a server of which nobody knows any.
    fn hosts() -> ForgeHosts {
        let stores = [Store::Archives, Store::Raw].map(|store| FileHost::of(&name("github.com"), store).unwrap());
        ForgeHosts::new([name("github.com"), name("ghe.test")]).with_files(stores)
    }

    #[test]
    fn a_host_for_files_is_read_and_is_no_host_of_git() {
        let hosts = hosts();
        for host in ["codeload.github.com", "raw.githubusercontent.com"] {
            let permit = hosts.decide_files(&at(host), Way::Connect).unwrap();
            assert_eq!(permit.interception().destination(), &at(host));
            assert!(hosts.decide(&at(host), Way::Connect).is_none(), "its policy judges what grants do not");
            assert!(hosts.decide_name(&name(host)).is_some());
            assert!(hosts.decide_files(&at(&format!("{host}:80")), Way::Connect).is_none());
            assert!(hosts.decide_files(&at(host), Way::Http).is_none());
        }
        for host in ["objects.githubusercontent.com", "codeload.ghe.test", "raw.ghe.test", "github.com", "raw.githubusercontent.com.evil"] {
            assert!(hosts.decide_files(&at(host), Way::Connect).is_none(), "{host}");
        }
        let of_github = hosts.decide(&at("github.com"), Way::Connect).unwrap().map(|permit: ForgePermit| permit.destination().clone());
        assert_eq!(of_github.unwrap(), at("github.com"));
    }

    #[test]
    fn files_follow_the_grant_of_their_repository() {
        let grant = Grant::new(vec![RepositoryGrant::reading(RepositoryName::parse("octo/spoon").unwrap())]).unwrap();
        let decide = |hosts: &ForgeHosts, host: &str, target: &str, method: &str| {
            let judged = hosts.decide_file(hosts.find_file(&at(host), target)?, &at(host), &grant, method);
            let host = |permit: FilePermit| (permit.repository().is_public(), permit.elsewhere().map(|host| host.as_str().to_owned()));
            Some(judged.map(host).map_err(|denial| denial.reason))
        };
        let elsewhere = |host: &str| Some(Ok((false, Some(host.to_owned()))));
        for (host, target, method, expected) in [
            ("codeload.github.com", "/octo/spoon/tar.gz/main", "GET", Some(Ok((false, None)))),
            ("codeload.github.com", "/octo/spoon/tar.gz/main", "POST", Some(Err(Reason::MethodNotAllowed))),
            ("codeload.github.com", "/octo/secret/tar.gz/main", "GET", Some(Err(Reason::RepositoryNotGranted))),
            ("codeload.github.com", "/octo/secret/tar.gz/main", "POST", Some(Err(Reason::RepositoryNotGranted))),
            ("codeload.github.com", "/octo/spoon/main/README.md", "GET", None),
            ("raw.githubusercontent.com", "/octo/spoon/main/README.md", "HEAD", Some(Ok((false, None)))),
            ("github.com", "/octo/spoon/archive/main.zip", "GET", elsewhere("codeload.github.com")),
            ("github.com", "/octo/spoon/raw/main/README.md", "GET", elsewhere("raw.githubusercontent.com")),
            ("github.com", "/octo/spoon/releases/download/v1/x", "GET", Some(Ok((false, None)))),
            ("github.com", "/octo/secret/releases/download/v1/x", "GET", Some(Err(Reason::RepositoryNotGranted))),
            ("github.com", "/octo/spoon/issues", "GET", None),
            ("ghe.test", "/octo/spoon/archive/main.zip", "GET", None),
            ("ghe.test", "/octo/spoon/releases/download/v1/x", "GET", Some(Err(Reason::RepositoryNotGranted))),
            ("ghe.test", "/api/v3/releases/download/v1/x", "GET", None),
            ("evil.test", "/octo/spoon/archive/main.zip", "GET", None),
        ] {
            assert_eq!(decide(&hosts(), host, target, method), expected, "{host} {target} {method}");
        }
        let public = hosts().public_at([name("github.com")]);
        let read = |target: &str| decide(&public, "raw.githubusercontent.com", target, "GET");
        assert_eq!((read("/octo/secret/main/x"), read("/octo/spoon/main/x")), (Some(Ok((true, None))), Some(Ok((false, None)))));
    }
}
