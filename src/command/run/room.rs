//! Our side of the processes inside: they are started, watched, told what to do, and gone when this is dropped.

use std::{
    fs::File,
    io::{self, Seek, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Child,
};

use rustix::fs::{MemfdFlags, memfd_create};

use super::{
    Failure,
    channel::{pair, receive, send},
    inside::{Order, Start, Step, Told},
    terminal::Terminal,
};
use crate::confine::{namespaces, network::Bound};

/// The processes that COMMAND is to run under.
pub(super) struct Room {
    /// The one that we started; the others end with it.
    child: Child,
    channel: OwnedFd,
}

/// What goes on inside, one after the other.
pub(super) struct Events(OwnedFd);

impl Room {
    /// Namespaces of their own, on their way. Has to be called by the main thread: what is inside ends when the calling thread does.
    pub(super) fn confined() -> io::Result<Self> {
        Self::start_at(Step::Keeper)
    }

    /// No walls at all.
    pub(super) fn unconfined() -> io::Result<Self> {
        Self::start_at(Step::Unconfined)
    }

    fn start_at(step: Step) -> io::Result<Self> {
        let (channel, inside) = pair()?;
        // A group of its own: what the terminal's keys send to ours is not meant for it.
        let child = step.program().stdin(inside).process_group(0).spawn()?;
        Ok(Self { child, channel })
    }

    /// Waits for the namespaces, and lets the caller's ids hold in them.
    pub(super) fn map_ids(&self) -> Result<(), Failure> {
        match receive(&self.channel)? {
            Some((Told::Unmapped, _)) => {
                namespaces::map_ids(self.child.id())?;
                Ok(send(&self.channel, &Order::Mapped, &[])?)
            }
            other => Err(unexpected(other)),
        }
    }

    /// Waits for the closed network, and gives its listeners.
    pub(super) fn listeners(&self) -> Result<Bound, Failure> {
        match receive(&self.channel)? {
            Some((Told::Bound, listeners)) => bound(listeners).ok_or_else(|| Failure("a listener is missing".into())),
            other => Err(unexpected(other)),
        }
    }

    /// Has COMMAND started, with this stdin and our terminal.
    pub(super) fn start(&self, start: &Start, stdin: BorrowedFd<'_>, terminal: Option<&Terminal>) -> io::Result<Events> {
        let mut file = File::from(memfd_create("start", MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(start)?)?;
        file.rewind()?;
        let mut beside: Vec<BorrowedFd<'_>> = vec![file.as_fd(), stdin];
        beside.extend(terminal.map(AsFd::as_fd));
        send(&self.channel, &Order::Start, &beside)?;
        Ok(Events(self.channel.try_clone()?))
    }

    /// Passes a signal on to COMMAND. Once it is gone this does nothing.
    pub(super) fn signal(&self, number: i32) {
        let _ = send(&self.channel, &Order::Signal(number), &[]);
    }

    /// Makes COMMAND the foreground of the terminal.
    pub(super) fn foreground(&self) {
        let _ = send(&self.channel, &Order::Foreground, &[]);
    }
}

/// Ends what is left inside, and waits until nothing of it is there.
impl Drop for Room {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.channel, rustix::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

impl Events {
    /// Waits for the next; after `None` there is none.
    pub(super) fn next(&self) -> Option<Told> {
        receive(&self.0).ok().flatten().map(|(told, _)| told)
    }
}

fn unexpected(told: Option<(Told, Vec<OwnedFd>)>) -> Failure {
    match told {
        Some((Told::Failed(why), _)) => Failure(why),
        Some((told, _)) => Failure(format!("the processes inside said {told:?} out of turn")),
        None => Failure(GONE.into()),
    }
}

/// Each listener of a family has its like of the other, where there is one. What is left over is the diagnosis.
fn bound(listeners: Vec<OwnedFd>) -> Option<Bound> {
    let families = listeners.len().checked_sub(2).filter(|rest| rest % 3 < 2)? / 3;
    let mut listeners = listeners.into_iter();
    Some(Bound {
        proxy: listeners.next()?.into(),
        git: listeners.next()?.into(),
        transparent: listeners.by_ref().take(families).map(Into::into).collect(),
        dns: listeners.by_ref().take(families).map(Into::into).collect(),
        dns_streams: listeners.by_ref().take(families).map(Into::into).collect(),
        diagnosis: listeners.next(),
    })
}

pub(super) const GONE: &str = "the processes inside are gone";
