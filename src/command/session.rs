//! `tidegate session`: the sessions of a running proxy, over its admin listener.

mod client;
mod requests;
mod set_up;

use std::{fmt::Write as _, io, net::IpAddr, path::PathBuf};

use serde_json::{Map, Value, json};

use self::client::ask;
use super::{Console, DONE, FAILED, REFUSED, report};
use crate::{
    config::{Admin, Config},
    github::RepositoryName,
    policy::grant::{GrantError, RepositoryGrant},
    token::{CHILD, is_session_id},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Create(CreateArguments),
    List(ListArguments),
    Show(ShowArguments),
    Token(TokenArguments),
    Revoke(RevokeArguments),
    Requests(requests::RequestsArguments),
    Grant(requests::GrantArguments),
}

/// Which proxy is meant, and in which form its answer is wanted.
#[derive(Debug, clap::Args)]
pub(super) struct Proxy {
    /// The proxy's configuration
    #[arg(long, value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// Or its admin listener
    #[arg(long, value_name = "unix:PATH", value_parser = parse_admin)]
    admin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Make a session and print its token
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate session create --config a.toml --ttl 8h --repo octo/spoon:fix-1")]
pub(super) struct CreateArguments {
    #[command(flatten)]
    proxy: Proxy,
    /// Its id, else any
    #[arg(long, value_parser = parse_id)]
    id: Option<String>,
    /// Its policy, else the proxy's
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How long it lasts, such as 30m or 8h
    #[arg(long, value_name = "TIME", conflicts_with = "expires")]
    ttl: Option<String>,
    /// Or until when (2027-01-01T00:00:00Z)
    #[arg(long, value_name = "MOMENT")]
    expires: Option<String>,
    /// A repository; one branch of it may be pushed
    #[arg(long = "repo", value_name = "NAME[:BRANCH]", value_parser = parse_repository)]
    repositories: Vec<RepositoryGrant>,
}

/// Print every session
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate session list --config tidegate.toml")]
pub(super) struct ListArguments {
    #[command(flatten)]
    proxy: Proxy,
}

/// Print one session and what it is granted
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate session show --config tidegate.toml s1")]
pub(super) struct ShowArguments {
    #[command(flatten)]
    proxy: Proxy,
    #[arg(value_parser = parse_id)]
    id: String,
}

/// Print another token of a session; those before it stay good
#[derive(Debug, clap::Args)]
#[command(after_help = "With --only, --repo, --ttl or --from it may do less than the session.\n\n\
    Example:\n  tidegate session token --config tidegate.toml s1 --only git --ttl 30m")]
pub(super) struct TokenArguments {
    #[command(flatten)]
    proxy: Proxy,
    #[arg(value_parser = parse_id)]
    id: String,
    /// What it is for: egress, git, api
    #[arg(long, value_name = "USE,…", value_delimiter = ',')]
    only: Vec<String>,
    /// A repository of its, not all; one branch of it
    #[arg(long = "repo", value_name = "NAME[:BRANCH]", value_parser = parse_repository)]
    repositories: Vec<RepositoryGrant>,
    /// How long it lasts, such as 30m or 8h
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// From where alone it is shown
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
}

impl TokenArguments {
    /// What it is to be good for; empty: for whatever the session is.
    fn wish(&self) -> String {
        let Self { proxy: _, id: _, only, repositories, ttl, from } = self;
        let keys = [
            ("only", (!only.is_empty()).then(|| json!(only))),
            ("repositories", (!repositories.is_empty()).then(|| json!(repositories))),
            ("ttl", ttl.as_ref().map(|ttl| json!(ttl))),
            ("from", from.map(|from| json!(from))),
        ];
        let wish: Map<_, _> = keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        if wish.is_empty() { String::new() } else { Value::Object(wish).to_string() }
    }
}

/// End a session for good; its open tunnels end too
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate session revoke --config tidegate.toml s1")]
pub(super) struct RevokeArguments {
    #[command(flatten)]
    proxy: Proxy,
    #[arg(value_parser = parse_id)]
    id: String,
}

pub(super) fn run(command: &Command, console: &mut Console<'_>) -> io::Result<u8> {
    let (proxy, method, path, body) = match command {
        Command::Create(arguments) => match wish(arguments) {
            Ok(body) => (&arguments.proxy, "POST", "/sessions".to_owned(), body.to_string()),
            Err(error) => {
                console.say(format_args!("tidegate: {error}"));
                return Ok(FAILED);
            }
        },
        Command::List(arguments) => (&arguments.proxy, "GET", "/sessions".to_owned(), String::new()),
        Command::Show(arguments) => (&arguments.proxy, "GET", format!("/sessions/{}", arguments.id), String::new()),
        Command::Token(arguments) => (&arguments.proxy, "POST", format!("/sessions/{}/token", arguments.id), arguments.wish()),
        Command::Revoke(arguments) => (&arguments.proxy, "POST", format!("/sessions/{}/revoke", arguments.id), String::new()),
        Command::Requests(arguments) => (&arguments.proxy, "GET", arguments.path(), String::new()),
        Command::Grant(arguments) => return requests::decide(arguments, console),
    };
    let Some(admin) = proxy.find(console) else { return Ok(FAILED) };
    let answer = match ask(&admin, method, &path, &body) {
        Ok(answer) => answer,
        Err(failure) => return Ok(tell(&failure, console)),
    };
    if proxy.json {
        writeln!(console.out, "{answer}")?;
        return Ok(DONE);
    }
    match command {
        Command::Create(_) => {
            for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                console.say(format_args!("warning: {warning}"));
            }
            console.say(format_args!("session {} is made, it {}", text(&answer["session"], "id"), end(&answer["session"])));
            hand_over(proxy, &answer, console)?;
        }
        Command::Token(_) => hand_over(proxy, &answer, console)?,
        Command::List(_) => write!(console.out, "{}", table(&answer))?,
        Command::Show(_) => write!(console.out, "{}", sheet(&answer))?,
        Command::Requests(_) => write!(console.out, "{}", requests::list(&answer))?,
        Command::Grant(_) => {}
        Command::Revoke(_) => console.say(format_args!("session {} is revoked", text(&answer, "id"))),
    }
    Ok(DONE)
}

/// Prints the token alone, and says how a sandbox is told of it.
fn hand_over(proxy: &Proxy, answer: &Value, console: &mut Console<'_>) -> io::Result<()> {
    let session = &answer["session"];
    if text(session, "id").contains(CHILD) {
        let only: Vec<_> = session["only"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        console.say(format_args!("token {} is for {}, it {}", text(session, "id"), only.join(", "), end(session)));
    }
    set_up::say(proxy.config.as_deref(), text(session, "id"), console);
    writeln!(console.out, "{}", text(answer, "token"))
}

/// Says why there is no answer, and gives the exit status that tells.
fn tell(failure: &client::Failure, console: &mut Console<'_>) -> u8 {
    console.say(format_args!("tidegate: {failure}"));
    if matches!(failure, client::Failure::Refused(_)) { REFUSED } else { FAILED }
}

impl Proxy {
    /// The admin listener; `None`, once it was said why, where there is none.
    fn find(&self, console: &mut Console<'_>) -> Option<Admin> {
        let Some(config) = &self.config else { return self.admin.clone().map(Admin::Unix) };
        match Config::admin(config, console.environment) {
            Ok(Some(admin)) => return Some(admin),
            Ok(None) => console.say(format_args!(
                "tidegate: {} has no admin listener: add admin = \"unix:admin.sock\" to its [listen] and start the proxy anew",
                config.display()
            )),
            Err(problems) => {
                let report = report::render(&problems, console.err_colour);
                console.say(format_args!("{}", report.trim_end()));
            }
        }
        None
    }
}

fn wish(arguments: &CreateArguments) -> io::Result<Value> {
    let policy = arguments.policy.as_deref().map(std::path::absolute).transpose()?;
    let mut wish = Map::new();
    let texts = [("id", &arguments.id), ("ttl", &arguments.ttl), ("expires", &arguments.expires)];
    for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
        wish.insert(key.to_owned(), json!(value));
    }
    if let Some(policy) = policy {
        wish.insert("policy".to_owned(), json!(policy));
    }
    wish.insert("repositories".to_owned(), json!(arguments.repositories));
    Ok(Value::Object(wish))
}

fn table(sessions: &Value) -> String {
    let mut rows = vec![["ID", "STATE", "EXPIRES", "ACCESS", "POLICY"].map(str::to_owned)];
    let sessions = sessions.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.extend(sessions.iter().map(|session| {
        ["id", "state", "expires", "access", "policy"]
            .map(|key| Some(text(session, key)).filter(|text| !text.is_empty()).unwrap_or("-").to_owned())
    }));
    let widths = [0, 1, 2, 3].map(|column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default());
    let mut shown = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(shown, "{cell:width$}  ");
        }
        let _ = writeln!(shown, "{}", row[4]);
    }
    shown
}

fn sheet(session: &Value) -> String {
    let mut shown = String::new();
    for key in ["id", "state", "origin", "token", "expires", "policy", "access"] {
        let _ = writeln!(shown, "{key:8} {}", Some(text(session, key)).filter(|text| !text.is_empty()).unwrap_or("-"));
    }
    for repository in session["repositories"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let _ = writeln!(shown, "\n{}", rights_to(repository));
    }
    for child in session["children"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let only: Vec<_> = child["only"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = writeln!(shown, "\ntoken {} is for {}, it {}", text(child, "id"), only.join(", "), end(child));
    }
    if session["requests"].as_array().is_some_and(|requests| !requests.is_empty()) {
        let _ = write!(shown, "\nasked for, in the sandbox's words\n{}", requests::list(&session["requests"]));
    }
    shown
}

/// What may be done with one repository.
fn rights_to(repository: &Value) -> String {
    let mut shown = format!("{} {}", text(repository, "access"), text(repository, "name"));
    for key in ["push", "tags", "bases", "grants"] {
        let words: Vec<_> = repository[key].as_array().into_iter().flatten().map(word).collect();
        if !words.is_empty() {
            let _ = write!(shown, "\n  {key:6} {}", words.join(" "));
        }
    }
    let rights: Vec<_> = ["create", "update", "force", "delete"].into_iter().filter(|right| repository[*right] == true).collect();
    let _ = write!(shown, "\n  refs   {}", if rights.is_empty() { "-".to_owned() } else { rights.join(" ") });
    shown
}

/// An entry of a list: a word, or a ref with rights of its own.
fn word(entry: &Value) -> String {
    let Some(name) = entry["ref"].as_str() else { return entry.as_str().unwrap_or_default().to_owned() };
    let keys = entry.as_object().into_iter().flatten().filter(|(key, _)| *key != "ref");
    let keys: Vec<_> = keys.map(|(key, set)| if *set == true { key.clone() } else { format!("no {key}") }).collect();
    format!("{name} ({})", keys.join(", "))
}

fn end(session: &Value) -> String {
    match text(session, "expires") {
        "" => "does not expire".to_owned(),
        moment => format!("ends at {moment}"),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn parse_admin(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix:").filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or_else(|| "write unix:PATH; one of the network is found by --config, with its token".to_owned())
}

fn parse_id(text: &str) -> Result<String, String> {
    let session = text.split_once(CHILD).map_or(text, |(session, _)| session);
    if is_session_id(session) { Ok(text.to_owned()) } else { Err("an id is 1 to 64 letters, digits, '-', '_' and '.'".to_owned()) }
}

pub(super) fn parse_repository(text: &str) -> Result<RepositoryGrant, String> {
    let (name, branch) = text.split_once(':').map_or((text, None), |(name, branch)| (name, Some(branch)));
    let grant = RepositoryName::parse(name).map_err(GrantError::Name).and_then(|name| match branch {
        Some(branch) => RepositoryGrant::pushing(name, branch),
        None => Ok(RepositoryGrant::reading(name)),
    });
    grant.map_err(|error| error.to_string())
}

pub(super) const AFTER_HELP: &str = "\
Exit status: 0 done, 1 the proxy refused, 2 it could not be asked

Example:
  tidegate session create --config tidegate.toml --ttl 8h";
