//! One call while it is judged: what it says, what is granted where it leads, and how it is refused.

use serde_json::Value;

use super::{Row, known::Known, made::Made, table::Parameters};
use crate::{
    destination::Name,
    github::{
        RepositoryName,
        api::{Answer, Call, Question, find_command},
        push::RefName,
    },
    policy::{
        decision::{Denial, RuleRef},
        forge::ForgeHosts,
        grant::{Grant, RepositoryGrant},
        refs::{ChangeKind, DefaultBranch, RefChange},
        repositories::{check_change, depends_on_default},
    },
    reason::Reason,
};

/// Who asks, and of which GitHub.
#[derive(Debug, Clone, Copy)]
pub struct ApiSession<'s> {
    pub grant: &'s Grant,
    pub hosts: &'s ForgeHosts,
    /// The host whose API is asked.
    pub forge: &'s Name,
    /// Whose credential it is, where that is known.
    pub login: Option<&'s str>,
    pub made: &'s Made,
}

impl ApiSession<'_> {
    /// The repository by the one name that it has where these hosts are.
    pub(super) fn here(&self, name: RepositoryName) -> RepositoryName {
        name.at((self.hosts.first() != Some(self.forge)).then(|| self.forge.clone()))
    }

    /// The granted repositories of this host that are not kept elsewhere.
    pub(super) fn granted(&self) -> impl Iterator<Item = &RepositoryGrant> {
        let at = (self.hosts.first() != Some(self.forge)).then_some(self.forge);
        self.grant.repositories().iter().filter(move |granted| granted.name.host() == at && granted.upstream_path.is_none())
    }
}

/// Why a judgment ends before its end.
pub(super) enum Halt {
    Learn(Question),
    Deny(Box<Denial>),
}

impl Halt {
    /// False where it is a refusal.
    pub(super) fn denied(self) -> Judged<bool> {
        match self {
            Self::Learn(_) => Err(self),
            Self::Deny(_) => Ok(false),
        }
    }
}

pub(super) type Judged<T> = Result<T, Halt>;

/// A call, and the row of the table that it comes under.
#[derive(Clone, Copy)]
pub(super) struct Facts<'j> {
    pub(super) session: &'j ApiSession<'j>,
    pub(super) call: &'j Call,
    pub(super) row: &'j Row,
    pub(super) parameters: &'j Parameters<'j>,
    pub(super) known: &'j Known,
}

impl<'j> Facts<'j> {
    /// The row, as it is named to people.
    pub(super) fn rule(&self) -> RuleRef {
        let entry = format!("{} {}", self.row.method.map_or("*", |method| method.as_str()), self.row.template);
        RuleRef { entry: entry.into(), source: SOURCE.into(), line: self.row.line }
    }

    /// A refusal; `why` continues a sentence that begins with the operation.
    pub(super) fn deny(&self, reason: Reason, why: &str, allow_with: Option<String>) -> Halt {
        let detail = format!("{} {} is refused: {why}.", self.call.method, self.row.template);
        Halt::Deny(Box::new(Denial { rule: Some(self.rule()), allow_with, ..Denial::new(reason, detail) }))
    }

    /// A refusal that no line of a grant would mend.
    pub(super) fn refuse(&self, why: &str) -> Halt {
        self.deny(Reason::ApiNotAllowed, why, None)
    }

    /// A refusal of what changes a repository that the session may read.
    pub(super) fn reads_only(&self, repository: &RepositoryName) -> Halt {
        let why = format!("{repository} is read only for this session");
        self.deny(Reason::ReadOnly, &why, Some("access = \"write\"".to_owned()))
    }

    /// A refusal for want of a word in `grants`.
    pub(super) fn lacks(&self, word: &str, what: &str) -> Halt {
        self.deny(Reason::ApiNotAllowed, &format!("{what} needs the grant \"{word}\""), Some(format!("grants = [\"{word}\"]")))
    }

    /// What stands in the path where the template has `{name}`.
    pub(super) fn parameter(&self, name: &str) -> Option<&'j str> {
        self.parameters.get(name)
    }

    /// The same where a number belongs.
    pub(super) fn number(&self, name: &str) -> Judged<u64> {
        self.parameter(name).and_then(plain_number).ok_or_else(|| self.deny(Reason::BadRequest, &format!("{name} is a number"), None))
    }

    pub(super) fn learn(&self, question: Question) -> Judged<&'j Answer> {
        self.known.find(&question).ok_or(Halt::Learn(question))
    }

    /// The name of a repository at the host that is asked.
    pub(super) fn name(&self, owner: &str, name: &str) -> Option<RepositoryName> {
        RepositoryName::from_parts(owner, name).ok().map(|name| self.session.here(name))
    }
}

/// The same about a granted repository.
#[derive(Clone, Copy)]
pub(super) struct Judging<'j> {
    pub(super) facts: Facts<'j>,
    pub(super) granted: &'j RepositoryGrant,
}

impl Judging<'_> {
    pub(super) fn repository(&self) -> &RepositoryName {
        &self.granted.name
    }

    pub(super) fn refuse(&self, why: &str) -> Halt {
        self.facts.refuse(why)
    }

    pub(super) fn has(&self, word: &str) -> bool {
        has(self.granted, word)
    }

    /// That the body has no other fields than those that are judged or are harmless, or say again what the path says, as octocrab has it.
    pub(super) fn only_fields(&self, known: &[&str]) -> Judged<()> {
        let body = self.facts.call.body.as_ref().and_then(Value::as_object);
        let repeats = |key: &str, value: &Value| value.is_u64() && self.facts.parameter(key) == Some(&*value.to_string());
        let unknown = body.and_then(|body| body.iter().find(|(key, value)| !known.contains(&key.as_str()) && !repeats(key, value)));
        match unknown {
            None => Ok(()),
            Some((key, _)) => Err(self.refuse(&format!("its field \"{}\" is none of {}", shown(key), known.join(", ")))),
        }
    }

    /// A field that is a text where it is there.
    pub(super) fn text(&self, key: &str) -> Judged<Option<&str>> {
        match self.facts.call.find_field(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(&format!("its field \"{key}\" is a text"))),
        }
    }

    pub(super) fn required(&self, key: &str) -> Judged<&str> {
        self.text(key)?.ok_or_else(|| self.refuse(&format!("its field \"{key}\" has to be there")))
    }

    /// A field that is true or false, false where it is not there.
    pub(super) fn flag(&self, key: &str) -> Judged<bool> {
        match self.facts.call.find_field(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.refuse(&format!("its field \"{key}\" is true or false"))),
        }
    }

    /// That none of its words commands a bot, which would trust whoever writes them.
    pub(super) fn plain_words(&self) -> Judged<()> {
        if self.has(COMMANDS) {
            return Ok(());
        }
        match self.facts.call.body.as_ref().and_then(command) {
            None => Ok(()),
            Some(command) => Err(self.facts.lacks(COMMANDS, &format!("a command to a bot (\"{}\")", shown(command)))),
        }
    }

    /// That a ref of a granted repository may change in one of these ways.
    pub(super) fn may_push(&self, repository: &RepositoryName, name: &RefName, kinds: &[ChangeKind]) -> Judged<RefChange> {
        let grant = self.facts.session.grant;
        let mut first = None;
        for kind in kinds {
            let change = RefChange { name: name.clone(), kind: *kind };
            let mut default = DefaultBranch::Unknown;
            if depends_on_default(grant, repository, std::slice::from_ref(&change))
                && let Answer::DefaultBranch(Some(branch)) = self.facts.learn(Question::DefaultBranch(repository.clone()))?
            {
                default = DefaultBranch::Named(branch.clone());
            }
            match check_change(grant, repository, &change, &default) {
                Ok(()) => return Ok(change),
                Err(denial) => first = first.or(Some(denial)),
            }
        }
        Err(first.map_or_else(
            || self.refuse("it changes no ref"),
            |denial| {
                self.facts.deny(
                    denial.reason,
                    denial.advice.join(" ").trim_end_matches('.'),
                    (!denial.allow_with.is_empty()).then(|| denial.allow_with.join("\n")),
                )
            },
        ))
    }

    /// A branch by its short name.
    pub(super) fn branch(&self, name: &str) -> Judged<RefName> {
        let read = RefName::parse(format!("{BRANCHES}{name}").as_bytes()).ok().filter(|_| is_short(name));
        read.ok_or_else(|| self.refuse(&format!("\"{}\" is no name of a branch, such as main", shown(name))))
    }
}

/// Whether a name means the same to every server where a short one belongs. git looks for `heads/main` among all refs before it does so among
/// branches (gitrevisions(7)), and takes `@` for HEAD.
pub(super) fn is_short(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    name != "@" && !["refs", "heads", "tags", "remotes", "HEAD"].contains(&first)
}

/// What of a text is shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// A number in its one spelling.
pub(super) fn plain_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == text)
}

pub(super) fn has(granted: &RepositoryGrant, word: &str) -> bool {
    granted.grants.iter().any(|capability| capability.as_str() == word)
}

/// The first command in what people are to read of a body.
fn command(body: &Value) -> Option<&str> {
    match body {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Value::String(text) if READ.contains(&key.as_str()) => find_command(text),
            Value::Object(_) | Value::Array(_) => command(value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }),
        Value::Array(elements) => elements.iter().find_map(command),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What lets comments command bots.
const COMMANDS: &str = "comments.commands";
/// Fields that are texts for people.
const READ: &[&str] = &["body", "title", "commit_title", "commit_message", "message"];
const BRANCHES: &str = "refs/heads/";
/// Where rows stand.
const SOURCE: &str = "github/rest.txt";
/// Most of an offending text that is shown, in characters.
const MAX_SHOWN: usize = 60;
