//! The real nghttpx as an origin that speaks HTTP/2, in front of another.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use super::{pki::Pki, wait::eventually};

/// A running nghttpx; killed when dropped.
pub(crate) struct Nghttpx {
    child: Child,
    port: u16,
}

impl Nghttpx {
    /// Asks the plain HTTP server at `backend` for everything.
    #[track_caller]
    pub(crate) fn start(pki: &Pki, backend: u16) -> Self {
        // The port is reserved, then given up to nghttpx: nothing else here takes a port that it names itself.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let child = Command::new("nghttpx")
            .args(["--conf=/dev/null", "--single-process", "--workers=1"])
            .args([format!("--frontend=127.0.0.1,{port}"), format!("--backend=127.0.0.1,{backend}")])
            .arg(pki.key())
            .arg(pki.certificate())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nghttpx is needed ({error}): apt-get install nghttp2-proxy"));
        let mut nghttpx = Self { child, port };
        eventually("nghttpx listens", || {
            assert!(nghttpx.child.try_wait().expect("its status").is_none(), "nghttpx ended instead of listening on {port}");
            TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
        });
        nghttpx
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Nghttpx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
