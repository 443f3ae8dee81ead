//! Sockets to listen on, and who may come through them.

use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
    time::sleep,
};

use crate::{config::Admin, secret::Secret};

/// Why a server could not start.
#[derive(Debug)]
pub(crate) struct StartError(String);

impl StartError {
    pub(crate) fn new(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Binds a listener, where there is to be one.
pub(super) fn bind_tcp(name: &str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map(Some).map_err(|error| StartError(format!("listener {name} cannot listen on {address}: {error}")))
}

/// Waits for a connection, for ever where there is no listener. After a failure it pauses, so that a process out of
/// descriptors neither spins nor dies.
pub(super) async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Where the owner comes in.
pub(super) enum OwnerListener {
    Socket(OwnerSocket),
    Tcp { listener: TcpListener, token: Arc<Secret> },
}

/// What an owner's connection is read from and written to.
pub(super) type OwnerIo = Box<dyn OwnerStream>;

pub(super) trait OwnerStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> OwnerStream for T {}

impl OwnerListener {
    pub(super) fn bind(address: Admin) -> Result<Self, StartError> {
        match address {
            Admin::Unix(path) => OwnerSocket::bind(&path)
                .map(Self::Socket)
                .map_err(|error| StartError(format!("listener admin cannot listen on unix:{}: {error}", path.display()))),
            Admin::Tcp { address, token } => {
                let listener = bind_tcp("admin", Some(address))?.ok_or_else(|| StartError("listener admin has no address".to_owned()))?;
                Ok(Self::Tcp { listener, token: Arc::new(token) })
            }
        }
    }

    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(_) => None,
            Self::Tcp { listener, .. } => listener.local_addr().ok(),
        }
    }

    /// Waits for a connection that may speak: one with the right peer credentials, or one that has yet to show the token.
    pub(super) async fn accept(&self) -> (OwnerIo, Option<Arc<Secret>>) {
        match self {
            Self::Socket(socket) => (Box::new(socket.accept().await), None),
            Self::Tcp { listener, token } => (Box::new(accept(Some(listener)).await), Some(Arc::clone(token))),
        }
    }
}

impl fmt::Display for OwnerListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.tcp_address()) {
            (Self::Socket(socket), _) => write!(f, "unix:{}", socket.path.display()),
            (Self::Tcp { .. }, Some(address)) => write!(f, "{address}"),
            (Self::Tcp { .. }, None) => f.write_str("unknown"),
        }
    }
}

/// The owner's socket: mode 0600, and only this process's user or root may speak to it.
pub(super) struct OwnerSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl OwnerSocket {
    fn bind(path: &Path) -> io::Result<Self> {
        // A socket that a killed process left behind is in the way; anything else of that name is not ours to remove.
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(path)?.uid();
        Ok(Self { listener, path: path.to_owned(), owner })
    }

    async fn accept(&self) -> UnixStream {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            if stream.peer_cred().is_ok_and(|caller| caller.uid() == self.owner || caller.uid() == 0) {
                return stream;
            }
        }
    }
}

impl Drop for OwnerSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

const BACKLOG: u32 = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
