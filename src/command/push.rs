//! `tidegate check push`: what a push of one ref would be answered.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde_json::{Value, json};

use super::{
    Console, DONE, FAILED, REFUSED,
    report::{render, shown},
};
use crate::{
    config::{Locate, read_grant},
    destination::Host,
    github::{RepositoryName, push::RefName},
    policy::{
        ChangeKind, ContentRules, ForgeHosts, Problem, Problems, PushDenial, RefChange, Source, Table, UnknownHost, depends_on_default,
        foresee_push, grant::Grant,
    },
    reason::{Reason, Verdict},
};

/// Say whether a session may push REF, and by which entry of its grant
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// A file with one [[session]]
    #[arg(long, value_name = "FILE")]
    session: PathBuf,
    #[command(flatten)]
    change: Change,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[arg(value_name = "[HOST/]OWNER/NAME", help = "The repository")]
    repository: String,
    #[arg(value_name = "REF", help = "refs/heads/BRANCH, refs/tags/TAG, or BRANCH")]
    name: String,
}

/// What is to happen to the ref; an update where nothing is said.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
struct Change {
    /// The ref is new
    #[arg(long)]
    create: bool,
    /// The update leaves commits behind
    #[arg(long)]
    force: bool,
    /// The ref is deleted
    #[arg(long)]
    delete: bool,
}

impl Change {
    fn kind(self) -> ChangeKind {
        let Self { create, force, delete } = self;
        let kinds = [(create, ChangeKind::Create), (force, ChangeKind::Force), (delete, ChangeKind::Delete)];
        kinds.into_iter().find(|(written, _)| *written).map_or(ChangeKind::Update, |(_, kind)| kind)
    }
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> io::Result<u8> {
    let Some(grants) = Grants::load(&arguments.session, console) else { return Ok(FAILED) };
    let file = arguments.session.display().to_string();
    let answer = grants.judge(arguments, (console.clock)());
    if arguments.json {
        writeln!(console.out, "{}", to_json(arguments, &file, &answer))?;
    } else {
        write!(console.out, "{}", to_text(arguments, &file, &answer))?;
    }
    Ok(if answer.reason.is_none() { DONE } else { REFUSED })
}

/// What a session's table grants.
pub(super) struct Grants {
    pub(super) expires: Option<SystemTime>,
    pub(super) grant: Grant,
    pub(super) hosts: ForgeHosts,
}

/// What the push of one ref comes to.
struct Answer {
    reason: Option<Reason>,
    /// The entry that allows it.
    rule: Option<String>,
    allow_with: Vec<String>,
    sentences: Vec<String>,
}

impl Answer {
    fn refused(reason: Reason, sentence: String) -> Self {
        Self { reason: Some(reason), rule: None, allow_with: Vec::new(), sentences: vec![sentence] }
    }
}

impl From<PushDenial> for Answer {
    fn from(denial: PushDenial) -> Self {
        let PushDenial { reason, repository: _, refs: _, may_push: _, allow_with, advice } = denial;
        Self { reason: Some(reason), rule: None, allow_with, sentences: advice }
    }
}

impl Grants {
    /// Those of a file, once what its author may not have meant was said; `None`, once it was said why, where there are none to use.
    pub(super) fn load(file: &Path, console: &mut Console<'_>) -> Option<Self> {
        let text = console.read(file)?;
        let (grants, problems) = Self::parse(&file.display().to_string(), &text);
        if !problems.is_empty() {
            console.say(format_args!("{}", render(&problems, console.err_colour).trim_end()));
        }
        grants
    }

    fn parse(file: &str, text: &str) -> (Option<Self>, Vec<Problem>) {
        let source = Arc::new(Source::new(file, text));
        let mut problems = Problems::new(source.clone());
        let grants = Table::parse(&source.text, &mut problems).and_then(|whole| read_file(whole, &mut problems));
        let failed = problems.has_errors();
        (grants.filter(|_| !failed), problems.into_vec())
    }

    fn judge(&self, arguments: &Arguments, now: SystemTime) -> Answer {
        let named = RepositoryName::parse(&arguments.repository).map_err(|error| error.to_string());
        let repository = match named.and_then(|name| located(&self.hosts, name).map_err(|error| error.to_string())) {
            Ok(repository) => repository,
            Err(error) => return Answer::refused(Reason::BadRequest, format!("The repository cannot be asked about: {error}.")),
        };
        let name = match RefName::parse(full_name(&arguments.name).as_bytes()) {
            Ok(name) => name,
            Err(error) => return Answer::refused(Reason::BadRequest, format!("The ref cannot be asked about: {error}.")),
        };
        if self.expires.is_some_and(|end| end <= now) {
            return Answer::refused(Reason::SessionExpired, "The session has expired.".into());
        }
        let changes = [RefChange { name, kind: arguments.change.kind() }];
        // Nobody is asked here: of a branch that a pattern names it is said what that depends on.
        let unasked = depends_on_default(&self.grant, &repository, &changes);
        match foresee_push(&self.grant, &repository, &changes) {
            Ok(foreseen) => {
                let forward_only = (!foreseen.to_verify().is_empty()).then(|| "Only if it leaves no commit behind.".to_owned());
                let not_default = unasked.then(|| format!("Only if it is not the default branch of {repository}."));
                let rule = foreseen.entries().first().map(ToString::to_string);
                let content = foreseen.to_examine().map(content_sentence);
                let sentences = forward_only.into_iter().chain(not_default).chain(content).collect();
                Answer { reason: None, rule, allow_with: Vec::new(), sentences }
            }
            Err(denial) => (*denial).into(),
        }
    }
}

/// What the objects of a push are held to, which nobody looks at here.
fn content_sentence(rules: &ContentRules) -> String {
    let ContentRules { deny_paths, max_file, max_pack, refuse_secrets } = rules;
    let paths: Vec<_> = deny_paths.iter().map(|path| format!("\"{path}\"")).collect();
    let paths = (!paths.is_empty()).then(|| format!("changes no {}", paths.join(", ")));
    let file = max_file.map(|most| format!("holds no file of more than {most} octets"));
    let pack = max_pack.map(|most| format!("has at most {most} octets"));
    let secrets = refuse_secrets.then(|| "holds no secret".to_owned());
    let rules: Vec<_> = [paths, file, pack, secrets].into_iter().flatten().collect();
    if rules.is_empty() { "Its content is held to no rule.".to_owned() } else { format!("Only if it {}.", rules.join(", ")) }
}

fn read_file(mut whole: Table<'_>, problems: &mut Problems) -> Option<Grants> {
    let mut sessions = whole.array("session", problems);
    let hosts = read_hosts(&mut whole, problems);
    whole.finish(&[], problems);
    if sessions.len() > 1 {
        problems.error(0..0, "more than one session", Some("leave one [[session]] in this file".into()));
    }
    let Some(session) = sessions.pop() else {
        problems.error(0..0, "no session", Some("write [[session]] with its [[session.repository]]".into()));
        return None;
    };
    let mut table = Table::of(session, "an element of \"session\"", problems)?;
    let expires = table.moment("expires", problems);
    // Judging looks at no repository, so none needs to be there.
    let locate = Locate { path: &|path| Ok(Path::new("/").join(path)), name: &|name| located(&hosts, name) };
    let grant = read_grant(&mut table, &locate, problems);
    table.leave(&["id", "token", "policy", "credential", "credentials"]);
    table.finish(&[], problems);
    Some(Grants { expires, grant: grant?, hosts })
}

/// The hosts of each `[[github]]`, of which nothing else is read.
fn read_hosts(whole: &mut Table<'_>, problems: &mut Problems) -> ForgeHosts {
    let mut names = Vec::new();
    for value in whole.array("github", problems) {
        let Some(mut table) = Table::of(value, "an element of \"github\"", problems) else { continue };
        let Some(host) = table.string("host", problems) else { continue };
        match Host::parse(host.get_ref().as_bytes()) {
            Ok(Host::Name(name)) => names.push(name),
            Ok(Host::Ip(_)) | Err(_) => problems.error(host.span(), format!("no name of a host: {:?}", host.get_ref()), None),
        }
    }
    ForgeHosts::new(names)
}

/// The one name of a repository. Where no `[[github]]` says which hosts there are, there may be any, and github.com is the first.
fn located(hosts: &ForgeHosts, name: RepositoryName) -> Result<RepositoryName, UnknownHost> {
    if !hosts.names().is_empty() {
        return hosts.locate(name);
    }
    let is_first = name.host().is_some_and(|host| host.as_str() == FIRST);
    Ok(if is_first { name.at(None) } else { name })
}

/// A branch may be named without what stands before it in full.
fn full_name(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

fn to_text(arguments: &Arguments, file: &str, answer: &Answer) -> String {
    let Answer { reason, rule, allow_with, sentences } = answer;
    let what = format!("{}  {}  {}", shown(&arguments.repository), shown(&full_name(&arguments.name)), arguments.change.kind().as_str());
    let verdict = reason.map_or(Verdict::Allow, Reason::verdict).as_str();
    let by = rule.as_ref().map(|rule| format!("  by {rule} ({file})"));
    let mut lines = vec![format!("{verdict:7}{what}{}", reason.map(|reason| format!("  {reason}")).or(by).unwrap_or_default())];
    lines.extend(sentences.iter().map(|sentence| format!("{INDENT}{sentence}")));
    if !allow_with.is_empty() {
        lines.push(format!("{INDENT}This would allow it:"));
    }
    lines.extend(allow_with.iter().map(|line| format!("{INDENT}  {line}")));
    lines.join("\n") + "\n"
}

fn to_json(arguments: &Arguments, file: &str, answer: &Answer) -> Value {
    let Answer { reason, rule, allow_with, sentences } = answer;
    json!({
        "repository": arguments.repository,
        "ref": full_name(&arguments.name),
        "change": arguments.change.kind().as_str(),
        "verdict": reason.map_or(Verdict::Allow, Reason::verdict).as_str(),
        "reason": reason.map(Reason::as_str),
        "rule": rule,
        "source": file,
        "allow_with": (!allow_with.is_empty()).then(|| allow_with.join("\n")),
        "detail": (!sentences.is_empty()).then(|| sentences.join(" ")),
    })
}

const AFTER_HELP: &str = "\
Exit status: 0 it is allowed, 1 it is denied, 2 the file cannot be used

Example:
  tidegate check push --session session.toml octo/spoon agent/fix-1";

/// Whose repositories have names without a host, where nothing says otherwise.
pub(super) const FIRST: &str = "github.com";

/// What stands under a verdict.
pub(super) const INDENT: &str = "       ";

#[cfg(test)]
mod tests;
