//! What the processes of a run tell each other: small messages in JSON, each in one packet, with descriptors beside it (`unix(7)`,
//! `SCM_RIGHTS`). Nobody but these processes ever holds an end.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::retry_on_intr,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// Two ends that no program inherits by itself.
pub(in crate::command) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message, and copies of at most [`MAX_DESCRIPTORS`] descriptors with it.
pub(in crate::command) fn send(to: impl AsFd, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("no room for the descriptors of a message"));
    }
    retry_on_intr(|| sendmsg(&to, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Waits for one message and the descriptors that came with it; `None` once every other end is closed.
pub(in crate::command) fn receive<T: DeserializeOwned>(from: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| recvmsg(&from, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC));
    let received = match received {
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        received => received?,
    };
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message of this run is too long"));
    }
    Ok(Some((serde_json::from_slice(bytes.get(..received.bytes).unwrap_or_default())?, descriptors)))
}

/// Octets of one message; what may be longer travels in a file of its own.
const MAX_MESSAGE: usize = 16 << 10;
/// Every listener of a run, at once.
const MAX_DESCRIPTORS: usize = 9;

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use super::*;

    #[test]
    fn messages_arrive_whole_and_one_by_one_until_the_end() {
        let (one, other) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&one, &"first", &[]).unwrap();
        send(&one, &"second", &[writer.as_fd(), writer.as_fd()]).unwrap();
        drop((one, writer));
        let (first, descriptors) = receive::<String>(&other).unwrap().unwrap();
        assert_eq!((first.as_str(), descriptors.len()), ("first", 0));
        let (second, descriptors) = receive::<String>(&other).unwrap().unwrap();
        assert_eq!((second.as_str(), descriptors.len()), ("second", 2));
        let writers: Vec<File> = descriptors.into_iter().map(File::from).collect();
        io::Write::write_all(&mut &writers[1], b"x").unwrap();
        drop(writers);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "x");
        assert!(receive::<String>(&other).unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_is_an_error() {
        let (one, other) = pair().unwrap();
        send(&one, &"x".repeat(MAX_MESSAGE), &[]).unwrap();
        assert!(receive::<String>(&other).is_err());
        assert!(send(&one, &"x", &[other.as_fd(); MAX_DESCRIPTORS + 1]).is_err());
    }
}
