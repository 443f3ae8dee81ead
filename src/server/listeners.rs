//! Sockets to listen on, and who may come through them.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream},
    time::sleep,
};

use crate::{
    config::{Admin, Listen},
    metrics::Door,
    secret::Secret,
};

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

pub(super) fn bind_tcp(name: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| StartError(format!("listener {name} cannot listen on {address}: {error}")))
}

/// Where sandboxes come in.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// There may be more than one of a door.
    pub(crate) streams: Vec<(Door, TcpListener)>,
    /// Of the DNS door.
    pub(crate) datagrams: Vec<UdpSocket>,
    /// All of them listen in another network than the one that this process dials in.
    pub(crate) elsewhere: bool,
    /// By which the kernel tells of connections there.
    pub(crate) diagnosis: Option<OwnedFd>,
}

impl Listeners {
    /// What a configuration names.
    pub(crate) fn bind(listen: &Listen) -> Result<Self, StartError> {
        let mut listeners = Self::default();
        for &address in &listen.dns {
            let (stream, datagrams) = bind_both(address)?;
            listeners.streams.push((Door::Dns, stream));
            listeners.datagrams.push(datagrams);
        }
        let transparent = listen.transparent.iter().map(|&address| (Door::Transparent, address));
        let others = [(Door::Proxy, listen.proxy), (Door::Git, listen.git), (Door::Socks, listen.socks)];
        for (door, address) in others.into_iter().filter_map(|(door, address)| Some((door, address?))).chain(transparent) {
            listeners.streams.push((door, bind_tcp(door.as_str(), address)?));
        }
        Ok(listeners)
    }

    /// Where the first listener of a door listens.
    pub(crate) fn address(&self, door: Door) -> Result<SocketAddr, StartError> {
        let listener = self.streams.iter().find(|(known, _)| *known == door).map(|(_, listener)| listener);
        let listener = listener.ok_or_else(|| StartError(format!("nothing listens for {}", door.as_str())))?;
        listener.local_addr().map_err(StartError::new)
    }

    /// The name of each door and where it listens.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.streams.iter().filter_map(|(door, listener)| Some((door.as_str(), listener.local_addr().ok()?)))
    }

    /// Waits for a connection at any door. Whoever came last is looked at last, so that no door keeps another waiting.
    pub(super) async fn accept(&mut self) -> (Door, TcpStream) {
        loop {
            let (at, accepted) = poll_fn(|context| {
                let ready = self.streams.iter().enumerate().find_map(|(at, (_, listener))| match listener.poll_accept(context) {
                    Poll::Ready(accepted) => Some((at, accepted)),
                    Poll::Pending => None,
                });
                ready.map_or(Poll::Pending, Poll::Ready)
            })
            .await;
            self.streams[at..].rotate_left(1);
            let door = self.streams.last().map_or(Door::Proxy, |(door, _)| *door);
            if let Some(stream) = accepted_or_pause(accepted).await {
                return (door, stream);
            }
        }
    }
}

/// The same port for both ways to ask for names.
fn bind_both(address: SocketAddr) -> Result<(TcpListener, UdpSocket), StartError> {
    let stream = bind_tcp(Door::Dns.as_str(), address)?;
    let bind = || {
        let datagrams = std::net::UdpSocket::bind(stream.local_addr()?)?;
        datagrams.set_nonblocking(true)?;
        UdpSocket::from_std(datagrams)
    };
    let datagrams = bind().map_err(|error| StartError(format!("listener dns cannot listen on {address} for UDP: {error}")))?;
    Ok((stream, datagrams))
}

/// Waits for a connection. After a failure it pauses, so that a process out of descriptors neither spins nor dies.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        if let Some(stream) = accepted_or_pause(listener.accept().await).await {
            return stream;
        }
    }
}

async fn accepted_or_pause(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
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
            Admin::Tcp { address, token } => Ok(Self::Tcp { listener: bind_tcp("admin", address)?, token: Arc::new(token) }),
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
            Self::Tcp { listener, token } => (Box::new(accept(listener).await), Some(Arc::clone(token))),
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
