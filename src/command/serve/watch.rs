//! Which files a configuration is made of, and when one of them has changed.

use std::{cell::RefCell, ffi::OsString, io, path::Path, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};

use crate::{config::Environment, files::Stamps};

/// An environment that remembers which files were read of it, and what they were then.
pub(super) struct Remembering<'e> {
    inner: &'e dyn Environment,
    read: RefCell<Stamps>,
}

impl<'e> Remembering<'e> {
    pub(super) fn new(inner: &'e dyn Environment) -> Self {
        Self { inner, read: RefCell::default() }
    }

    pub(super) fn into_files(self) -> Stamps {
        self.read.into_inner()
    }
}

impl Environment for Remembering<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.inner.variable(name)
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read.borrow_mut().note(path);
        self.inner.file(path)
    }

    fn private_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read.borrow_mut().note(path);
        self.inner.private_file(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        self.inner.open(path)
    }

    fn find(&self, path: &Path) -> io::Result<()> {
        self.inner.find(path)
    }
}

/// Every file that a change of is noticed.
pub(super) struct Watched<'s> {
    /// Those of the configuration, as they were when it was read last.
    files: Stamps,
    /// Those of the policies of sessions that were made since, as they are in force.
    of_sessions: &'s dyn Fn() -> Stamps,
    /// The same as they were when they were to be read last: what could not be used is not tried again and again.
    tried: Stamps,
}

impl<'s> Watched<'s> {
    pub(super) fn new(files: Stamps, of_sessions: &'s dyn Fn() -> Stamps) -> Self {
        Self { files, of_sessions, tried: Stamps::default() }
    }

    /// All of them are to be read anew, those of the configuration by `read`, which says what they were.
    pub(super) fn renew<T>(&mut self, read: impl FnOnce() -> (T, Stamps)) -> T {
        self.tried = (self.of_sessions)().now();
        let (value, files) = read();
        self.files = files;
        value
    }

    /// Ends once a file is not what it was, and has not changed for a while: one that is being written is left alone.
    pub(super) async fn change(&self) {
        let mut before = None;
        loop {
            sleep(BETWEEN_LOOKS).await;
            let (files, of_sessions) = (self.files.clone(), (self.of_sessions)());
            // A file system that does not answer keeps nobody else waiting.
            let look = spawn_blocking(move || (files.now(), of_sessions.now(), of_sessions));
            let Ok((now, now_of_sessions, of_sessions)) = look.await else { continue };
            let changed = now != self.files || (now_of_sessions != of_sessions && now_of_sessions != self.tried);
            let now = Some((now, now_of_sessions));
            if changed && now == before {
                return;
            }
            before = now;
        }
    }
}

/// Between two looks at the files.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
