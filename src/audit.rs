//! One record for each decision: one line of JSON, written with one `write(2)`, or the failure to do so.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    },
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, SystemTime},
};

use crate::metrics::{Audited, Metrics};

mod record;

pub(crate) use record::{Record, Sighting, bounded_method, bounded_path, rfc3339};

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    /// Appended to; made with mode 0640 where it is missing.
    File(PathBuf),
}

/// What becomes of a decision that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// It is refused: [`Audit::record`] fails.
    Refuse,
    /// It stands, and the record is counted as lost.
    Continue,
}

/// A decision that could not be recorded and must not stand ([`Reason::AuditUnavailable`]).
///
/// [`Reason::AuditUnavailable`]: crate::reason::Reason::AuditUnavailable
#[derive(Debug)]
pub(crate) struct Unrecorded(io::Error);

impl fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit record cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unrecorded {}

/// An audit file that cannot be opened.
#[derive(Debug)]
pub(crate) struct OpenError {
    target: Target,
    error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Stdout => write!(f, "cannot write audit records to stdout: {}", self.error),
            Target::File(path) => write!(f, "cannot open the audit file {}: {}", path.display(), self.error),
        }
    }
}

impl std::error::Error for OpenError {}

/// The writer of records; shared by everything that decides.
pub(crate) struct Audit {
    target: Target,
    on_failure: OnFailure,
    clock: fn() -> SystemTime,
    metrics: Arc<Metrics>,
    sink: Mutex<Sink>,
}

impl Audit {
    /// Opens the target. A last line that an earlier process left unfinished is closed before the first record.
    pub(crate) fn open(target: Target, on_failure: OnFailure, clock: fn() -> SystemTime, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let (file, torn) = open(&target)?;
        let sink = Mutex::new(Sink { lines: Lines { out: file, torn }, failing: false, sequences: HashMap::new() });
        Ok(Self { target, on_failure, clock, metrics, sink })
    }

    /// Writes one record, stamped with the time and the next number of its session. Numbers start at 1 with each
    /// process; one that could not be written leaves a gap.
    ///
    /// Blocks for as long as one `write(2)` to the target takes. A pipe whose reader stands still is waited for once, for
    /// [`PATIENCE`]; until it reads again, nothing can be recorded.
    pub(crate) fn record(&self, record: &Record) -> Result<(), Unrecorded> {
        let body = record.to_json();
        let mut sink = self.lock();
        let sequence = sink.next_sequence(record.session());
        let patience = if sink.failing { Duration::ZERO } else { PATIENCE };
        let result = body.and_then(|body| sink.lines.write(record::line((self.clock)(), sequence, &body), patience));
        sink.tell_change(result.as_ref().err());
        drop(sink);
        match (result, self.on_failure) {
            (Ok(()), _) => {
                self.metrics.audited(Audited::Written);
                Ok(())
            }
            (Err(_), OnFailure::Continue) => {
                self.metrics.audited(Audited::Lost);
                Ok(())
            }
            (Err(error), OnFailure::Refuse) => {
                self.metrics.audited(Audited::Refused);
                Err(Unrecorded(error))
            }
        }
    }

    /// Opens the target anew, after a rotation moved the file away. Where that fails the old one stays in use.
    pub(crate) fn reopen(&self) -> Result<(), OpenError> {
        // Locked before: a line that is being written would be taken for one without an end.
        let mut sink = self.lock();
        let (file, torn) = open(&self.target)?;
        sink.lines = Lines { out: file, torn };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sink {
    lines: Lines<File>,
    /// Whether the last record could not be written.
    failing: bool,
    /// The last number of each session; the empty name stands for no session.
    sequences: HashMap<Box<str>, u64>,
}

impl Sink {
    fn next_sequence(&mut self, session: Option<&str>) -> u64 {
        let session = session.unwrap_or_default();
        if let Some(last) = self.sequences.get_mut(session) {
            *last += 1;
            return *last;
        }
        self.sequences.insert(session.into(), 1);
        1
    }

    /// Our own log hears of the first failure and of the recovery, not of each record between.
    fn tell_change(&mut self, error: Option<&io::Error>) {
        match (error, self.failing) {
            (Some(error), false) => tracing::error!(%error, "audit records cannot be written"),
            (None, true) => tracing::warn!("audit records are written again"),
            (Some(_), true) | (None, false) => {}
        }
        self.failing = error.is_some();
    }
}

struct Lines<W> {
    out: W,
    /// Whether the last line lacks its end.
    torn: bool,
}

impl<W: Write> Lines<W> {
    /// All of the line in one call or an error: a second call could let another process' line in between.
    fn write(&mut self, mut line: Vec<u8>, mut patience: Duration) -> io::Result<()> {
        if self.torn {
            line.insert(0, b'\n');
        }
        let written = loop {
            match self.out.write(&line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !patience.is_zero() => {
                    sleep(PAUSE);
                    patience = patience.saturating_sub(PAUSE);
                }
                result => break result?,
            }
        };
        if written > 0 {
            self.torn = written < line.len();
        }
        if written < line.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, format!("only {written} of {} bytes were written", line.len())));
        }
        Ok(())
    }
}

/// The file to write to, and whether its last line lacks its end.
fn open(target: &Target) -> Result<(File, bool), OpenError> {
    let opened = match target {
        Target::Stdout => stdout().map(|file| (file, false)),
        Target::File(path) => {
            OpenOptions::new().append(true).create(true).mode(FILE_MODE).custom_flags(O_NONBLOCK).open(path).map(|file| {
                let torn = is_regular(&file) && File::open(path).is_ok_and(|readable| lacks_end(&readable));
                (file, torn)
            })
        }
    };
    opened.map_err(|error| OpenError { target: target.clone(), error })
}

/// A descriptor of its own, since `Stdout` buffers and would tear lines. A pipe is opened anew, since others may write to
/// it and expect to wait.
fn stdout() -> io::Result<File> {
    let shared = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    if !shared.metadata()?.file_type().is_fifo() {
        return Ok(shared);
    }
    let path = format!("/proc/self/fd/{}", shared.as_raw_fd());
    Ok(OpenOptions::new().append(true).custom_flags(O_NONBLOCK).open(path).unwrap_or(shared))
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn lacks_end(file: &File) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let mut last = [0];
    metadata.len() > 0 && file.read_at(&mut last, metadata.len() - 1).is_ok_and(|read| read == 1 && last != *b"\n")
}

/// Hosts and paths are nobody else's business.
const FILE_MODE: u32 = 0o640;
/// Of `open(2)` on Linux: a reader of a pipe who stands still may not hold up every decision. Files ignore it.
const O_NONBLOCK: i32 = 0o4000;
/// For a burst that a reader of a pipe is about to take.
const PATIENCE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
