//! Why an App gives no token, for its operator's log and for a sandbox.

use std::{fmt, time::Duration};

use crate::{
    github::{RepositoryName, app::Wider, denied::Denied},
    policy::app::Lacking,
};

/// Why there is no token of an App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppError {
    /// The repository is not granted, or is on disk.
    NotGranted,
    /// Nothing says where the API is.
    NoApi,
    /// Its key does not sign.
    Key,
    /// No answer came; why.
    Unanswered(Box<str>),
    NotInstalled,
    Suspended,
    Lacking(Lacking),
    /// Turned away, and how far the clock here is from the one there, in seconds.
    Denied(Denied, Option<i64>),
    /// Such a status, which says nothing else.
    Status(u16),
    /// An answer that is not GitHub's.
    Unreadable,
    Wider(Wider),
    /// What was made has ended already.
    Over,
    Late(Duration),
    /// Whoever was to get it is gone, or the session is.
    Lost,
}

impl AppError {
    /// Whether GitHub said so, and nothing failed on the way.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::NotInstalled | Self::Suspended | Self::Lacking(_) | Self::Denied(..) => true,
            Self::Status(status) => (400..500).contains(status),
            Self::NotGranted
            | Self::NoApi
            | Self::Key
            | Self::Unanswered(_)
            | Self::Unreadable
            | Self::Wider(_)
            | Self::Over
            | Self::Late(_)
            | Self::Lost => false,
        }
    }

    /// What a sandbox is told: a whole sentence, without what is its operator's alone to know.
    pub(crate) fn public(&self, repository: &RepositoryName) -> String {
        match self {
            Self::NotInstalled => format!("The owner's GitHub App is not installed for {repository}: whoever owns that installs it there."),
            Self::Suspended => format!("The owner's GitHub App is suspended for {repository}."),
            Self::Lacking(Lacking { name, level }) => {
                format!("The owner's GitHub App lacks the permission \"{name}: {}\" for {repository}.", level.as_str())
            }
            Self::Denied(denied, _) => format!("There is no token for {repository}: GitHub {}.", denied.words()),
            Self::NotGranted
            | Self::NoApi
            | Self::Key
            | Self::Unanswered(_)
            | Self::Status(_)
            | Self::Unreadable
            | Self::Wider(_)
            | Self::Over
            | Self::Late(_)
            | Self::Lost => {
                "No token of the owner's GitHub App can be had at the moment; the operator finds the cause in Tidegate's log.".to_owned()
            }
        }
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no token of the GitHub App: ")?;
        match self {
            Self::NotGranted => f.write_str("the repository is not granted"),
            Self::NoApi => f.write_str("where the API is nothing says; write api_url in [[github]]"),
            Self::Key => f.write_str("its private key does not sign; make another in the App's settings"),
            Self::Unanswered(why) => write!(f, "GitHub's API gave no answer: {why}"),
            Self::NotInstalled => f.write_str("it is not installed for the repository; install it there, and see that id is the App's"),
            Self::Suspended => f.write_str("it is suspended there; whoever owns the repository lifts that in the installation's settings"),
            Self::Lacking(Lacking { name, level }) => {
                write!(f, "it lacks the permission \"{name}: {}\" where it is installed; add it in the App's settings", level.as_str())
            }
            Self::Denied(Denied::Credential, skew) => {
                f.write_str("GitHub does not take its signature; see that id and key_file belong together")?;
                match skew {
                    Some(seconds) if seconds.abs() > 30 => write!(f, ", and the clock, which is {seconds} seconds ahead of GitHub's"),
                    Some(_) | None => Ok(()),
                }
            }
            Self::Denied(denied, _) => write!(f, "GitHub {}", denied.words()),
            Self::Status(422) => {
                f.write_str("GitHub does not give what was asked for; see which repositories and permissions the installation has")
            }
            Self::Status(status) => write!(f, "GitHub's API answered {status}"),
            Self::Unreadable => f.write_str("the answer of GitHub's API cannot be read"),
            Self::Wider(wider) => write!(f, "{wider}; it is not used"),
            Self::Over => f.write_str("the one that GitHub made has ended already; see that the clocks agree"),
            Self::Late(patience) => write!(f, "it took longer than {patience:?}; see why, or raise [timeouts] credential"),
            Self::Lost => f.write_str("it was given up; ask again"),
        }
    }
}

impl std::error::Error for AppError {}

impl From<Lacking> for AppError {
    fn from(lacking: Lacking) -> Self {
        Self::Lacking(lacking)
    }
}
