//! Signals that are meant for COMMAND, and reach us because we stand in its place.

use std::{future::poll_fn, io, task::Poll};

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// Every signal that is passed on.
pub(super) struct Signals(Vec<(i32, unix::Signal)>);

impl Signals {
    /// From now on they have no effect on this process.
    pub(super) fn new() -> io::Result<Self> {
        let listen = |number: &Signal| Ok((number.as_raw(), signal(SignalKind::from_raw(number.as_raw()))?));
        PASSED_ON.iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            let came = self.0.iter_mut().find_map(|(number, stream)| stream.poll_recv(context).is_ready().then_some(*number));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// What people and programs send to a command. It is continued when we are, and by no signal of its own. Those that a terminal's keys send reach us only while COMMAND does not have the terminal.
const PASSED_ON: &[Signal] =
    &[Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::ALARM, Signal::WINCH, Signal::TSTP];

pub(super) const CONTINUE: i32 = Signal::CONT.as_raw();
