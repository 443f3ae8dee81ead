//! A certificate authority of the test's own, made by the real `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The authority, and one certificate for the names that were asked for.
pub(crate) struct Pki {
    directory: TempDir,
}

impl Pki {
    /// An authority and a server's certificate for these names.
    #[track_caller]
    pub(crate) fn for_names(names: &[&str]) -> Self {
        let pki = Self { directory: tempfile::tempdir().expect("a directory for certificates") };
        let alternatives = names.iter().map(|name| format!("DNS:{name}")).collect::<Vec<_>>().join(",");
        pki.openssl(
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"].map(String::from),
            &["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"],
        );
        pki.openssl(
            &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"].map(String::from),
            &["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=test server"],
        );
        let extensions = format!("subjectAltName={alternatives}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n");
        fs::write(pki.path("extensions"), extensions).expect("a file");
        pki.openssl(
            &["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"].map(String::from),
            &["-days", "2", "-extfile", "extensions", "-out", "server.pem"],
        );
        pki
    }

    /// The authority's certificate.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path("server.key")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn openssl(&self, command: &[String], more: &[&str]) {
        let output = Command::new("openssl").args(command).args(more).current_dir(self.directory.path()).output();
        let output = output.unwrap_or_else(|error| panic!("openssl is needed ({error}): apt-get install openssl"));
        assert!(output.status.success(), "openssl {command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
