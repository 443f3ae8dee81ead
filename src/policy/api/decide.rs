//! The decision on a call: its row in the table, the grant of the repository that it names, and the row's condition.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    Condition, Verdict,
    judging::{ApiSession, Facts, Halt, Judged, Judging, has, plain_number, shown},
    known::Known,
    permit::ApiPermit,
    table::Table,
};
use crate::{
    github::{
        RepositoryName,
        api::{Answer, Call, Method, Question, Search},
    },
    policy::{
        decision::Denial,
        grant::{Access, Purpose, RepositoryGrant},
        refs::RefChange,
        repositories::not_granted,
    },
    reason::Reason,
};

/// What is to be done with a call.
#[derive(Debug)]
pub enum Step {
    Go(Box<ApiPermit>),
    /// GitHub has to be asked this first; then the call is judged again with the answer. That happens at most [`MAX_QUESTIONS`] times for
    /// one call.
    Learn(Question),
    /// It is answered here.
    Answer(Local),
}

/// What is answered without GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// `GET /`: where things are.
    Root,
    /// `GET /user`: who the credential's owner is.
    User,
    /// `GET /rate_limit`.
    RateLimit,
    /// `GET /meta`.
    Meta,
}

impl Local {
    const ALL: [(&'static str, Self); 4] =
        [("/", Self::Root), ("/user", Self::User), ("/rate_limit", Self::RateLimit), ("/meta", Self::Meta)];

    /// What the operation of a path is answered with, if there is an answer to it here.
    pub fn of(template: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == template).map(|(_, local)| local)
    }
}

/// Judges a call by the shipped table and what a session was granted, with what is known of GitHub by now.
///
/// # Errors
/// [`Reason::ApiNotAllowed`] for what no row allows, for want of a word in `grants` and where a condition fails;
/// [`Reason::RepositoryNotGranted`], [`Reason::ReadOnly`], [`Reason::RefNotGranted`], [`Reason::PushNotJudgeable`] where these are the
/// cause; [`Reason::BadRequest`].
pub fn decide_api(session: &ApiSession<'_>, call: &Call, known: &Known) -> Result<Step, Box<Denial>> {
    decide_by(Table::shipped(), session, call, known)
}

pub(super) fn decide_by(table: &Table, session: &ApiSession<'_>, call: &Call, known: &Known) -> Result<Step, Box<Denial>> {
    match judge(table, session, call, known) {
        Ok(step) => Ok(step),
        Err(Halt::Learn(question)) => Ok(Step::Learn(question)),
        Err(Halt::Deny(denial)) => Err(denial),
    }
}

fn judge(table: &Table, session: &ApiSession<'_>, call: &Call, known: &Known) -> Judged<Step> {
    session.grant.check_purpose(Purpose::Api).map_err(Halt::Deny)?;
    let call = &*by_name(session, call, known)?;
    let Some((row, parameters)) = table.find(call.method, &call.segments) else {
        let detail = format!("{} {} is no operation of GitHub's API that is known here.", call.method, shown(&call.target(None)));
        return Err(Halt::Deny(Box::new(Denial::new(Reason::ApiNotAllowed, detail))));
    };
    let facts = Facts { session, call, row, parameters: &parameters, known };
    let (word, condition) = match &row.verdict {
        Verdict::Deny(why) => return Err(facts.refuse(why)),
        Verdict::Local => {
            return Local::of(&row.template).map(Step::Answer).ok_or_else(|| facts.refuse("nothing here answers it"));
        }
        Verdict::Allow(condition) => (None, *condition),
        Verdict::Grant(word, condition) => (Some(&**word), *condition),
    };
    facts.is_plain()?;
    if !row.template.starts_with(REPOSITORY) {
        return facts.beside_repositories(word, condition);
    }
    let named = facts.parameter("owner").zip(facts.parameter("repo")).and_then(|(owner, name)| facts.name(owner, name));
    let repository = named.ok_or_else(|| facts.deny(Reason::RepositoryNotGranted, "it names no repository", None))?;
    match facts.granted(&repository, word)? {
        None => Ok(facts.go(Some(repository), None, Vec::new())),
        Some(granted) => {
            let changes = Judging { facts, granted }.judge(condition)?;
            Ok(facts.go(Some(repository.clone()), Some(repository), changes))
        }
    }
}

/// The same call by the repository's name, where it is by its number.
fn by_name<'c>(session: &ApiSession<'_>, call: &'c Call, known: &Known) -> Judged<Cow<'c, Call>> {
    let [first, number, rest @ ..] = &*call.segments else { return Ok(Cow::Borrowed(call)) };
    if &**first != NUMBERED {
        return Ok(Cow::Borrowed(call));
    }
    // Of what is not granted no name is told.
    let denied = || {
        let detail = format!("This session has no grant for the repository with the number {}.", shown(number));
        Halt::Deny(Box::new(Denial::new(Reason::RepositoryNotGranted, detail)))
    };
    let question = Question::Repository(plain_number(number).ok_or_else(denied)?);
    let name = match known.find(&question) {
        None => return Err(Halt::Learn(question)),
        Some(Answer::Repository(name)) => session.here(name.clone()),
        Some(_) => return Err(denied()),
    };
    if session.grant.find(&name).is_none() {
        return Err(denied());
    }
    let named = ["repos", name.owner(), name.name()].map(Box::from);
    Ok(Cow::Owned(Call { segments: named.into_iter().chain(rest.iter().cloned()).collect(), ..call.clone() }))
}

impl<'j> Facts<'j> {
    /// That nothing but the path and the body says what changes: a server may let a field of the query outweigh one of the body. A file is
    /// sent where an asset of a release belongs, and nowhere else.
    fn is_plain(&self) -> Judged<()> {
        let Call { method, is_upload, .. } = *self.call;
        if is_upload && (method, &*self.row.template) != (Method::Post, ASSETS) {
            return Err(self.refuse("only assets of releases are uploaded"));
        }
        let may_say = |key: &str| method == Method::Get || (is_upload && UPLOAD_QUERY.contains(&key));
        let body = self.call.body.as_ref().and_then(Value::as_object);
        // A server may make one set of fields of the path and the body.
        let says_other = |key: &str, value: &Value| {
            self.parameter(key).is_some_and(|named| {
                value.as_str() != Some(named) && value.as_u64().is_none_or(|number| plain_number(named) != Some(number))
            })
        };
        if let Some((key, _)) = body.and_then(|body| body.iter().find(|(key, value)| says_other(key, value))) {
            return Err(self.refuse(&format!("its field \"{}\" says something else than its path", shown(key))));
        }
        match self.call.query.iter().find(|(key, _)| !may_say(key)) {
            None => Ok(()),
            Some((key, _)) => {
                let why = format!("what it changes stands in its body, and not in the query (\"{}\")", shown(key));
                Err(self.deny(Reason::BadRequest, &why, None))
            }
        }
    }

    /// The grant of a repository where the row's word is in it. `None` for what anybody may read.
    fn granted(&self, repository: &RepositoryName, word: Option<&str>) -> Judged<Option<&'j RepositoryGrant>> {
        let (session, is_write) = (self.session, self.call.method != Method::Get);
        let Some(granted) = session.grant.find(repository) else {
            let is_public = !is_write && word.is_none() && session.hosts.public_read(repository);
            return if is_public { Ok(None) } else { Err(Halt::Deny(Box::new(not_granted(session.grant, repository)))) };
        };
        if granted.upstream_path.is_some() {
            return Err(self.refuse(&format!("{repository} is kept by the operator, and has no API")));
        }
        // Whoever deletes a ref adds nothing; who deletes a file changes what there is.
        let is_unread =
            matches!((word, self.call.method), (Some("contents"), _) | (Some("refs"), Method::Post | Method::Put | Method::Patch));
        match word {
            Some(word) if has(granted, word) && is_unread && granted.content.is_some() => {
                Err(self.refuse(&format!("what {repository} may hold is looked for in pushes, and not in calls; push it instead")))
            }
            Some(word) if !has(granted, word) => Err(self.lacks(word, &format!("this, of {repository},"))),
            None | Some("refs" | "contents") if is_write && granted.access == Access::Read => Err(self.reads_only(repository)),
            Some(_) | None => Ok(Some(granted)),
        }
    }

    /// An operation whose path names no repository: for whoever has a grant at the host, with the row's word where it has one.
    fn beside_repositories(&self, word: Option<&str>, condition: Option<Condition>) -> Judged<Step> {
        let owner = self.parameter("org").filter(|_| condition == Some(Condition::GrantedOwner));
        let is_of = |granted: &RepositoryGrant| owner.is_none_or(|owner| owner.eq_ignore_ascii_case(granted.name.owner()));
        let mut granted = self.session.granted().filter(|granted| is_of(granted)).peekable();
        if granted.peek().is_none() {
            let whose = owner.unwrap_or(self.session.forge.as_str());
            let why = format!("this session has no grant for a repository of {}", shown(whose));
            return Err(self.deny(Reason::RepositoryNotGranted, &why, None));
        }
        let fitting = granted.find(|granted| word.is_none_or(|word| has(granted, word)));
        let fitting = fitting.ok_or_else(|| self.lacks(word.unwrap_or_default(), "this"))?;
        match condition {
            None | Some(Condition::GrantedOwner) => Ok(self.go(None, Some(fitting.name.clone()), Vec::new())),
            Some(Condition::OneRepository) => self.one_repository(),
            Some(_) => Err(self.refuse("it names no repository")),
        }
    }

    /// `GET /search/…`: what leaves names the one repository itself. That of labels is by number, and its words are words.
    fn one_repository(&self) -> Judged<Step> {
        let mut call = self.call.clone();
        let none = || self.deny(Reason::RepositoryNotGranted, "this session has no grant for where it searches", None);
        let granted = |name: Option<RepositoryName>| {
            let granted = name.and_then(|name| self.session.granted().find(|granted| granted.name == name));
            granted.map(|granted| granted.name.clone()).ok_or_else(none)
        };
        let repository = if &*self.row.template == LABELS {
            let number = call.find_query("repository_id").and_then(plain_number);
            let number = number.ok_or_else(|| self.refuse("it has to say in which repository, by \"repository_id\""))?;
            let Answer::Repository(name) = self.learn(Question::Repository(number))? else { return Err(none()) };
            granted(Some(self.session.here(name.clone())))?
        } else {
            let asked = call.query.iter_mut().find(|(key, _)| &**key == "q").ok_or_else(|| self.refuse("it searches for nothing"))?;
            let search = Search::read(&asked.1).map_err(|error| self.refuse(&error.to_string()))?;
            let [repository] = &*search.repositories else {
                return Err(self.refuse("a search is in exactly one repository; add one repo:OWNER/NAME to \"q\""));
            };
            let repository = granted(repository.split_once('/').and_then(|(owner, name)| self.name(owner, name)))?;
            asked.1 = search.within(repository.path()).into();
            repository
        };
        Ok(Facts { call: &call, ..*self }.go(Some(repository.clone()), Some(repository), Vec::new()))
    }

    fn go(&self, repository: Option<RepositoryName>, credential: Option<RepositoryName>, changes: Vec<RefChange>) -> Step {
        let (call, rule) = (self.call.clone(), self.rule());
        Step::Go(Box::new(ApiPermit { call, template: self.row.template.clone(), rule, repository, credential, changes }))
    }
}

impl Judging<'_> {
    /// Whether what a row asks for besides holds: the refs that the call changes.
    fn judge(&self, condition: Option<Condition>) -> Judged<Vec<RefChange>> {
        let Some(condition) = condition else { return Ok(Vec::new()) };
        match condition {
            Condition::HeadAndBase => self.head_and_base()?,
            Condition::OwnHead => return self.own_head(),
            Condition::OwnHeadIntoBase => self.own_head_into_base()?,
            Condition::NoApproval => self.no_approval()?,
            Condition::OwnReview => self.own_review()?,
            Condition::OwnComment => self.own_comment()?,
            Condition::PlainWords => self.plain_words()?,
            Condition::NewIssue => self.new_issue()?,
            Condition::OwnIssue => self.own_issue()?,
            Condition::NoBots => self.no_bots()?,
            Condition::PushableRef => return Ok(vec![self.pushable_ref()?]),
            Condition::PushableBranch => return Ok(vec![self.pushable_branch()?]),
            Condition::PushableBase => return Ok(vec![self.pushable_base()?]),
            Condition::GrantedTag => return Ok(vec![self.granted_tag()?]),
            Condition::PushableDispatch => self.pushable_dispatch()?,
            Condition::OwnRun => self.own_run()?,
            Condition::GrantedSides => self.granted_sides()?,
            Condition::OneRepository | Condition::GrantedOwner => return Err(self.refuse("its path names a repository")),
        }
        Ok(Vec::new())
    }
}

/// Most questions that the judgment of one call asks.
pub const MAX_QUESTIONS: usize = 24;
/// What the path of a repository begins with, and where it is named by its number.
const REPOSITORY: &str = "/repos/{owner}/{repo}";
const NUMBERED: &str = "repositories";
/// Where files are sent to.
const ASSETS: &str = "/repos/{owner}/{repo}/releases/{release_id}/assets";
/// The search whose words are no qualifiers.
const LABELS: &str = "/search/labels";
/// What the upload of a release's asset says in its query.
const UPLOAD_QUERY: &[&str] = &["name", "label"];
