//! Files of a repository beside git: archives and single files, by the URLs of the hosts that GitHub has for them, and by those of its own
//! host that lead there.

use super::{RepositoryName, hosts::is_github};
use crate::{
    destination::{Host, Name},
    wire::{excerpt, path::CanonicalTarget, target},
};

/// Where files of a repository are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Store {
    /// `codeload.`: a tree as an archive.
    Archives,
    /// `raw.`: one file of a tree.
    Raw,
    /// GitHub's own host: a file that somebody put beside a release.
    Releases,
}

/// A host for files, of a GitHub that is known to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHost {
    pub host: Name,
    /// Whose it is.
    pub forge: Name,
    pub store: Store,
}

impl FileHost {
    /// `None` where the GitHub's name leaves no room for one beside it.
    pub fn of(forge: &Name, store: Store) -> Option<Self> {
        Some(Self { host: host(forge, store)?, forge: forge.clone(), store })
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileRoute {
    pub repository: RepositoryName,
    pub store: Store,
    /// The path behind the repository's, in its one spelling.
    rest: Box<str>,
}

impl FileRoute {
    /// What a URL of a store's own host names, given in origin-form; `None` where it names no file of a repository.
    ///
    /// The path is canonical ([`CanonicalTarget`]) and has at most [`MAX_PATH`] octets. Its query is nobody's: it selects nothing there,
    /// and a token in it would be somebody else's credential.
    pub fn read_at(store: Store, origin_form: &str) -> Option<Self> {
        let (repository, rest) = split(origin_form)?;
        let (first, below) = rest.split_once('/')?;
        let is_file = match store {
            Store::Archives => ARCHIVES.contains(&first) && !below.is_empty(),
            Store::Raw => !below.is_empty(),
            Store::Releases => is_release(&rest),
        };
        is_file.then_some(Self { repository, store, rest })
    }

    /// What a path of GitHub's own host names, and where that is: archives and single files are at other hosts.
    pub fn read_on_host(origin_form: &str) -> Option<Self> {
        let (repository, rest) = split(origin_form)?;
        let (page, below) = rest.split_once('/')?;
        let (store, rest) = match page {
            "archive" => {
                ENDS.iter().find_map(|end| Some((Store::Archives, format!("{end}/{}", below.strip_suffix(end)?.strip_suffix('.')?))))
            }
            "tarball" => Some((Store::Archives, format!("legacy.tar.gz/{below}"))),
            "zipball" => Some((Store::Archives, format!("legacy.zip/{below}"))),
            "raw" => Some((Store::Raw, below.to_owned())),
            "releases" => Some((Store::Releases, rest.to_string())),
            _ => None,
        }?;
        // What is found is what its own URL names, or nothing.
        Self::read_at(store, &format!("/{}/{rest}", repository.path()))
    }

    /// The same at another GitHub; `None`: at the first.
    #[must_use]
    pub fn at(self, host: Option<Name>) -> Self {
        Self { repository: self.repository.at(host), ..self }
    }

    /// The path of the file where its repository is called so.
    pub fn path(&self, repository: &str) -> String {
        format!("/{repository}/{}", self.rest)
    }
}

fn split(origin_form: &str) -> Option<(RepositoryName, Box<str>)> {
    let target = CanonicalTarget::read(origin_form).ok().filter(|target| target.path().len() <= MAX_PATH)?;
    let mut segments = target.path().strip_prefix('/')?.splitn(3, '/');
    let repository = RepositoryName::from_parts(segments.next()?, segments.next()?).ok()?;
    let rest = segments.next().filter(|rest| !rest.ends_with('/'))?;
    Some((repository, rest.into()))
}

/// `releases/download/TAG/FILE` or `releases/latest/download/FILE`.
fn is_release(rest: &str) -> bool {
    let segments: Vec<_> = rest.split('/').collect();
    matches!(segments[..], ["releases", "download", _, _] | ["releases", "latest", "download", _])
}

/// Where GitHub keeps a file of a release, as a redirect of its own names it: at a host of its storage, or at another release of the same
/// repository. Such a URL is signed for that one file, and is nobody's credential.
///
/// # Errors
/// Any other place, escaped and bounded.
pub fn check_redirect(forge: &Name, repository: &RepositoryName, location: &str) -> Result<(), Box<str>> {
    let refused = || excerpt(location.split('?').next().unwrap_or_default().as_bytes());
    let Ok(target::RequestTarget::Absolute { destination, origin_form }) = target::parse_inside_tls("GET", location.as_bytes()) else {
        return Err(refused());
    };
    let named = destination.host.name().filter(|_| destination.port == 443 && location.starts_with("https://")).ok_or_else(refused)?;
    let is_storage = is_github(forge) && STORAGE.contains(&named.as_str());
    let same = || FileRoute::read_at(Store::Releases, &origin_form).is_some_and(|route| route.repository.path() == repository.path());
    if is_storage || named == forge && same() { Ok(()) } else { Err(refused()) }
}

/// The name of a store's host beside a GitHub's own.
fn host(forge: &Name, store: Store) -> Option<Name> {
    let forge_name = forge.as_str();
    let text = match store {
        Store::Archives => format!("codeload.{forge_name}"),
        Store::Raw if is_github(forge) => "raw.githubusercontent.com".to_owned(),
        Store::Raw => format!("raw.{forge_name}"),
        Store::Releases => return Some(forge.clone()),
    };
    Host::parse(text.as_bytes()).ok()?.name().cloned()
}

/// Longest path in octets.
pub const MAX_PATH: usize = 4096;

/// How a tree is packed, as the path of an archive says.
const ARCHIVES: [&str; 4] = ["zip", "tar.gz", "legacy.zip", "legacy.tar.gz"];
/// How the path of an archive ends on GitHub's own host.
const ENDS: [&str; 2] = ["tar.gz", "zip"];
/// Where GitHub keeps files of releases, now and before.
const STORAGE: [&str; 3] =
    ["release-assets.githubusercontent.com", "objects.githubusercontent.com", "github-releases.githubusercontent.com"];

#[cfg(test)]
mod tests;
