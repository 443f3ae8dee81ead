//! What the caller left open as 0 to 2, which COMMAND gets as it is: whatever no wall of ours can shut has to be nothing that leads further.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{FileType, fstat},
    net::{
        AddressFamily, SocketType, getpeername,
        sockopt::{socket_domain, socket_type},
    },
};

use super::Failure;

/// Holds that they are files, pipes, terminals or other character devices, or Unix sockets that are connected for good.
///
/// A directory leads to the host's files as they are without walls. A socket stays in the network of the host, whoever holds
/// it: one of the internet is connected anew to anywhere (`connect(2)`, `AF_UNSPEC`), one for datagrams to the host's abstract names.
pub(super) fn hold_that_they_end_here() -> Result<(), Failure> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for (name, stream) in [("stdin", stdin.as_fd()), ("stdout", stdout.as_fd()), ("stderr", stderr.as_fd())] {
        if let Some(found) = way_out(stream)? {
            return Err(Failure(format!("{name} is {found}, by which COMMAND would get around the walls: put a pipe between them")));
        }
    }
    Ok(())
}

/// What it is, where it leads further.
fn way_out(stream: BorrowedFd<'_>) -> io::Result<Option<&'static str>> {
    Ok(match FileType::from_raw_mode(fstat(stream)?.st_mode) {
        FileType::RegularFile | FileType::Fifo | FileType::CharacterDevice => None,
        FileType::Socket => (!is_settled(stream)?).then_some("a socket that can be connected elsewhere"),
        FileType::Directory => Some("a directory"),
        FileType::BlockDevice | FileType::Symlink | FileType::Unknown => Some("no file, pipe, terminal or socket"),
    })
}

/// Whether a socket is connected, and can never be connected again.
fn is_settled(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let stays = [SocketType::STREAM, SocketType::SEQPACKET].contains(&socket_type(socket)?);
    Ok(stays && socket_domain(socket)? == AddressFamily::UNIX && getpeername(socket).is_ok())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        net::{TcpListener, TcpStream, UdpSocket},
        os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    };

    use super::*;

    fn leads_further(stream: impl AsFd) -> bool {
        way_out(stream.as_fd()).unwrap().is_some()
    }

    #[test]
    fn what_can_be_connected_or_walked_from_leads_further() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, _) = io::pipe().unwrap();
        let (stream, peer) = UnixStream::pair().unwrap();
        drop(peer);
        let plain = File::create(directory.path().join("plain")).unwrap();
        assert!(
            ![leads_further(pipe), leads_further(stream), leads_further(plain), leads_further(File::open("/dev/null").unwrap())]
                .contains(&true)
        );

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (datagram, _peer) = UnixDatagram::pair().unwrap();
        let waiting = UnixListener::bind(directory.path().join("waiting")).unwrap();
        assert!(leads_further(File::open(directory.path()).unwrap()));
        assert!(leads_further(TcpStream::connect(listener.local_addr().unwrap()).unwrap()));
        assert!(leads_further(UdpSocket::bind("127.0.0.1:0").unwrap()));
        assert!(leads_further(listener));
        assert!(leads_further(datagram));
        assert!(leads_further(waiting));
    }
}
