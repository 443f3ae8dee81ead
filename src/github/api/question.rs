//! What has to be learnt from GitHub before a call can be judged: the question, and its answer read.

use serde_json::Value;

use crate::github::{RepositoryName, form::encoded, push::RefName};

/// One thing that GitHub knows, asked for by a GET.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// What a repository is called that a call names by its number.
    Repository(u64),
    /// Which branch everybody else starts from.
    DefaultBranch(RepositoryName),
    PullRequest {
        repository: RepositoryName,
        number: u64,
    },
    /// A run of a workflow.
    Run {
        repository: RepositoryName,
        id: u64,
    },
    /// A job of a run.
    Job {
        repository: RepositoryName,
        id: u64,
    },
    Release {
        repository: RepositoryName,
        id: u64,
    },
    /// A user, by the login.
    Account(Box<str>),
}

impl Question {
    /// The repository that it is about by its name: a granted one.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Repository(_) | Self::Account(_) => None,
            Self::DefaultBranch(repository)
            | Self::PullRequest { repository, .. }
            | Self::Run { repository, .. }
            | Self::Job { repository, .. }
            | Self::Release { repository, .. } => Some(repository),
        }
    }

    /// The path to ask at, below the API's own prefix; `at` is where the repository is, `owner/name`, and means nothing to a question
    /// about none.
    pub fn path(&self, at: &str) -> String {
        match self {
            Self::Repository(id) => format!("/repositories/{id}"),
            Self::DefaultBranch(_) => format!("/repos/{at}"),
            Self::PullRequest { number, .. } => format!("/repos/{at}/pulls/{number}"),
            Self::Run { id, .. } => format!("/repos/{at}/actions/runs/{id}"),
            Self::Job { id, .. } => format!("/repos/{at}/actions/jobs/{id}"),
            Self::Release { id, .. } => format!("/repos/{at}/releases/{id}"),
            Self::Account(login) => format!("/users/{}", encoded(login)),
        }
    }
}

/// What GitHub says to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There is no such thing, or none that the credential shows.
    Missing,
    /// Without a host: it is where it was asked for.
    Repository(RepositoryName),
    /// None where it has a name that no ref can have.
    DefaultBranch(Option<RefName>),
    PullRequest {
        head: Head,
        base: RefName,
    },
    Run(Head),
    /// The run that it is of.
    Job(u64),
    /// By the name of its tag.
    Release(Box<str>),
    Account {
        is_person: bool,
    },
}

/// Where the commits of a pull request or a run come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// None where it is gone. Without a host.
    pub repository: Option<RepositoryName>,
    /// None where it is of no branch.
    pub branch: Option<RefName>,
}

impl Answer {
    /// Reads the answer to a question by its status and its body of at most [`MAX_ANSWER`] octets. `None` where it tells nothing: for
    /// any status but 200, 404 and 410, and for JSON that is not what belongs there.
    pub fn read(question: &Question, status: u16, body: &[u8]) -> Option<Self> {
        match status {
            200 => {}
            404 | 410 => return Some(Self::Missing),
            _ => return None,
        }
        let body = object(body)?;
        Some(match question {
            Question::Repository(_) => Self::Repository(full_name(body.get("full_name")?)?),
            Question::DefaultBranch(_) => Self::DefaultBranch(branch(body.get("default_branch")?)),
            Question::PullRequest { .. } => {
                let (from, into) = (body.get("head")?, body.get("base")?);
                Self::PullRequest { head: head(from.get("repo")?, branch(from.get("ref")?))?, base: branch(into.get("ref")?)? }
            }
            Question::Run { .. } => Self::Run(head(body.get("head_repository")?, branch(body.get("head_branch")?))?),
            Question::Job { .. } => Self::Job(body.get("run_id")?.as_u64()?),
            Question::Release { .. } => Self::Release(body.get("tag_name")?.as_str()?.into()),
            Question::Account(_) => Self::Account { is_person: body.get("type")?.as_str()? == PERSON },
        })
    }
}

/// The number by which something that a call made is named afterwards, from the answer to that call: what stands under `key`, `id` or
/// `number`.
pub fn read_made(body: &[u8], key: &str) -> Option<u64> {
    object(body)?.get(key)?.as_u64()
}

fn object(body: &[u8]) -> Option<Value> {
    if body.len() > MAX_ANSWER {
        return None;
    }
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

/// Where the commits come from, of a repository that may be gone.
fn head(repository: &Value, branch: Option<RefName>) -> Option<Head> {
    let repository = if repository.is_null() { None } else { Some(full_name(repository.get("full_name")?)?) };
    Some(Head { repository, branch })
}

fn full_name(value: &Value) -> Option<RepositoryName> {
    let (owner, name) = value.as_str()?.split_once('/')?;
    RepositoryName::from_parts(owner, name).ok()
}

fn branch(value: &Value) -> Option<RefName> {
    RefName::parse(format!("refs/heads/{}", value.as_str()?).as_bytes()).ok()
}

/// Most octets of an answer.
pub const MAX_ANSWER: usize = 1 << 20;
/// What GitHub calls an account of a person.
const PERSON: &str = "User";
