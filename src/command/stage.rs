//! A directory for as long as something goes on.

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

/// A new directory that only its owner enters, and that is removed with this value.
pub(super) struct Stage(PathBuf);

impl Stage {
    pub(super) fn new() -> io::Result<Self> {
        let path = env::temp_dir().canonicalize()?.join(format!("tidegate-{}", random_word()?));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A directory in it.
    pub(super) fn room(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns when somebody wants this process to end, which from now on it does not by itself: there is a stage to clear.
pub(super) async fn interrupted() -> io::Result<()> {
    let [mut interrupt, mut terminate, mut hangup] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// 128 bits that nobody guesses, in hexadecimal.
pub(super) fn random_word() -> io::Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness to give"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_stage() {
        let stage = Stage::new().unwrap();
        let path = stage.path().to_owned();
        fs::write(stage.room("sandbox").unwrap().join("file"), "x").unwrap();
        assert!(path.is_dir());
        drop(stage);
        assert!(!path.exists());
    }
}
