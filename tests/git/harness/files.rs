//! Files of repositories beside git, as GitHub's other hosts serve them: archives below `/codeload`, single files below `/raw`, and releases.

use std::{path::Path, process::Command};

/// Status, fields, body.
pub(super) type Said = (u16, Vec<(&'static str, String)>, Vec<u8>);

pub(super) fn is_file(path: &str) -> bool {
    path.starts_with("/codeload/") || path.starts_with("/raw/")
}

pub(super) fn is_release(path: &str) -> bool {
    path.contains("/releases/")
}

/// What git makes of it.
pub(super) fn read(root: &Path, path: &str) -> Said {
    let [store, owner, name, kind, rest] = path.trim_start_matches('/').splitn(5, '/').collect::<Vec<_>>()[..] else {
        return (404, Vec::new(), b"404: Not Found".to_vec());
    };
    let (content_type, arguments) = if store == "codeload" {
        let format = if kind.ends_with("zip") { "zip" } else { "tar.gz" };
        let prefix = format!("--prefix={name}-archive/");
        ("application/x-archive", vec!["archive".to_owned(), format!("--format={format}"), prefix, rest.to_owned()])
    } else {
        ("text/plain; charset=utf-8", vec!["cat-file".to_owned(), "blob".to_owned(), format!("{kind}:{rest}")])
    };
    let repository = root.join(owner).join(format!("{name}.git"));
    let made = Command::new("git").arg("--git-dir").arg(repository).args(arguments).env("GIT_CONFIG_NOSYSTEM", "1").output();
    let made = made.expect("git is needed: apt-get install git");
    if !made.status.success() {
        return (404, Vec::new(), b"404: Not Found".to_vec());
    }
    let fields = vec![
        ("content-type", content_type.to_owned()),
        ("content-disposition", format!("attachment; filename={name}")),
        ("etag", "\"a-tag\"".to_owned()),
        ("set-cookie", "logged_in=no".to_owned()),
        ("x-oauth-scopes", "repo".to_owned()),
    ];
    (200, fields, made.stdout)
}

/// Where a file of a release is: a file `elsewhere` is at nobody's storage.
pub(super) fn release(path: &str) -> Said {
    let place = match path.rsplit('/').next() {
        Some("missing") => return (404, Vec::new(), Vec::new()),
        Some("elsewhere") => "https://evil.test/take",
        Some(_) | None => "https://release-assets.githubusercontent.com/asset/1?sig=signed",
    };
    (302, vec![("location", place.to_owned()), ("set-cookie", "logged_in=no".to_owned())], Vec::new())
}
