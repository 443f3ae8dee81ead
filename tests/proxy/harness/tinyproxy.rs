//! The real tinyproxy as a parent proxy.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::wait::eventually;

/// A running tinyproxy; killed when dropped.
pub(crate) struct Tinyproxy {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Tinyproxy {
    /// Asks for this user and password.
    #[track_caller]
    pub(crate) fn start(user: &str, password: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for tinyproxy");
        // The port is reserved, then given up to tinyproxy: nothing else here takes a port that it names itself.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let log = directory.path().join("log");
        let config = format!(
            "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\nLogLevel Connect\nLogFile \"{}\"\nBasicAuth {user} {password}\n",
            address.port(),
            log.display()
        );
        fs::write(directory.path().join("tinyproxy.conf"), config).expect("a configuration");
        let child = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(directory.path().join("tinyproxy.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("tinyproxy is needed ({error}): apt-get install tinyproxy-bin"));
        let mut tinyproxy = Self { child, directory, address };
        eventually("tinyproxy listens", || {
            assert!(tinyproxy.child.try_wait().expect("its status").is_none(), "tinyproxy ended instead of listening on {address}");
            TcpStream::connect(address).is_ok()
        });
        tinyproxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The request lines that it has read.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines().filter_map(|line| line.split_once("Request (")?.1.split_once("): ")).map(|(_, request)| request.to_owned()).collect()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
