//! The terminal, and whose turn at it is: as a shell does it for a job that is one command.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileTypeExt,
    },
};

use nix::sys::signal::{SigSet, SigmaskHow, Signal as NixSignal};
use rustix::{
    process::{Signal, getpgrp, getsid, kill_current_process_group},
    termios::{tcgetpgrp, tcsetpgrp},
};

/// The terminal that this process and whoever started it share.
pub(super) struct Terminal {
    file: File,
    /// Whether other programs of a pipeline may need the terminal: then COMMAND gets it when it asks for it.
    in_pipeline: bool,
    /// Whether COMMAND has it.
    lent: bool,
}

impl Terminal {
    /// The controlling terminal of this process, if it has one.
    pub(super) fn open() -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        let in_pipeline = is_pipe(io::stdin().as_fd()) || is_pipe(io::stdout().as_fd());
        Some(Self { file, in_pipeline, lent: false })
    }

    /// Whether COMMAND is to begin in the foreground.
    pub(super) fn lend_at_start(&mut self) -> bool {
        self.lent = !self.in_pipeline && self.is_ours();
        self.lent
    }

    /// What becomes of COMMAND after a signal stopped it.
    pub(super) fn stopped(&mut self, signal: i32) -> Next {
        let asks = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&signal);
        if asks && self.is_ours() {
            self.lent = true;
            return Next::Foreground;
        }
        self.take_back();
        suspend();
        self.lent = !self.in_pipeline && self.is_ours();
        if self.lent { Next::Foreground } else { Next::Background }
    }

    /// Takes the terminal back from COMMAND, if it has it.
    pub(super) fn take_back(&mut self) {
        if std::mem::take(&mut self.lent) {
            let mut ttou = SigSet::empty();
            ttou.add(NixSignal::SIGTTOU);
            // Who is not in the foreground asks for it, and is stopped for asking unless this signal is blocked.
            let Ok(before) = ttou.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return };
            let _ = tcsetpgrp(&self.file, getpgrp());
            let _ = before.thread_set_mask();
        }
    }

    /// Whether our own process group is the foreground.
    fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file).is_ok_and(|foreground| foreground == getpgrp())
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// How COMMAND goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Foreground,
    Background,
}

/// Stops this process and all that whoever started it counts as one job with it, until somebody continues it. Where nobody
/// could, it goes on: a session's leader has no shell that would.
pub(super) fn suspend() {
    if getsid(None).is_ok_and(|leader| leader != getpgrp()) {
        let _ = kill_current_process_group(Signal::STOP);
    }
}

fn is_pipe(stream: BorrowedFd<'_>) -> bool {
    let file = stream.try_clone_to_owned().map(File::from);
    let kind = file.and_then(|file| file.metadata()).map(|found| found.file_type());
    !stream.is_terminal() && kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}
