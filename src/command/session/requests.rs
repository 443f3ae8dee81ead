//! `tidegate session requests` and `grant`: what sandboxes ask for, and what their owner answers.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal},
};

use serde_json::{Map, Value, json};

use super::{Console, DONE, FAILED, Proxy, REFUSED, ask, parse_id, rights_to, tell, text};

/// Print what sandboxes ask for
#[derive(Debug, clap::Args)]
#[command(after_help = "What a sandbox says is quoted; it is not to be trusted.\n\n\
    Example:\n  tidegate session requests --config tidegate.toml s1")]
pub(in super::super) struct RequestsArguments {
    #[command(flatten)]
    pub(super) proxy: Proxy,
    /// Of this session, else of all
    #[arg(value_parser = parse_id)]
    id: Option<String>,
}

impl RequestsArguments {
    pub(super) fn path(&self) -> String {
        self.id.as_ref().map_or_else(|| "/requests".to_owned(), |id| format!("/sessions/{id}/requests"))
    }
}

/// Grant what a sandbox asks for, or deny it
#[derive(Debug, clap::Args)]
#[command(after_help = "It counts at once; --deny takes back what was granted. On a terminal you are\n\
    asked first whether what is shown is meant.\n\n\
    Example:\n  tidegate session grant --config tidegate.toml s1/3")]
pub(in super::super) struct GrantArguments {
    #[command(flatten)]
    proxy: Proxy,
    /// The request, as session requests shows it
    #[arg(value_name = "SESSION/NUMBER", value_parser = parse_request)]
    id: (String, u32),
    /// Deny it
    #[arg(long)]
    deny: bool,
    /// What the sandbox is told
    #[arg(long, value_name = "TEXT")]
    word: Option<String>,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
}

/// Shows what would be granted, and has it granted as it was shown or not at all.
pub(super) fn decide(arguments: &GrantArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let GrantArguments { proxy, id: (session, number), deny, word, yes } = arguments;
    let Some(admin) = proxy.find(console) else { return Ok(FAILED) };
    let requests = match ask(&admin, "GET", &format!("/sessions/{session}/requests"), "") {
        Ok(requests) => requests,
        Err(failure) => return Ok(tell(&failure, console)),
    };
    let Some(request) = requests.as_array().into_iter().flatten().find(|request| request["number"] == *number) else {
        console.say(format_args!("tidegate: there is no request {session}/{number}: tidegate session requests lists them"));
        return Ok(REFUSED);
    };
    console.say(format_args!("{}", sheet(request, *deny)));
    if !yes && io::stdin().is_terminal() && !is_meant(*deny, console)? {
        console.say(format_args!("nothing was changed"));
        return Ok(REFUSED);
    }
    let mut body = Map::from_iter([("wish".to_owned(), request["wish"].clone())]);
    if let Some(word) = word {
        body.insert("word".to_owned(), json!(word));
    }
    let path = format!("/sessions/{session}/requests/{number}/{}", if *deny { "deny" } else { "grant" });
    let decided = match ask(&admin, "POST", &path, &Value::Object(body).to_string()) {
        Ok(decided) => decided,
        Err(failure) => return Ok(tell(&failure, console)),
    };
    if proxy.json {
        writeln!(console.out, "{decided}")?;
    } else {
        console.say(format_args!("request {session}/{number} is {}", text(&decided, "state")));
        for warning in decided["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            console.say(format_args!("warning: {warning}"));
        }
    }
    Ok(DONE)
}

fn is_meant(deny: bool, console: &mut Console<'_>) -> io::Result<bool> {
    let _ = write!(console.err, "{}? [y/N] ", if deny { "Deny this" } else { "Grant this" });
    let _ = console.err.flush();
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// What is asked for, and what exactly its granting comes to.
fn sheet(request: &Value, deny: bool) -> String {
    let mut shown = format!("session {} asks {}", text(request, "session"), text(request, "words"));
    if let Some(why) = request["why"].as_str().filter(|why| !why.is_empty()) {
        let _ = write!(shown, "\nthe sandbox says: \"{why}\"");
    }
    if deny {
        return shown;
    }
    let would = &request["would_grant"];
    match would["allow"].as_str() {
        Some(entry) => {
            let _ = write!(shown, "\n\nallow = [\"{entry}\"]\n");
        }
        None => {
            let _ = write!(shown, "\n\n{}\n", rights_to(&would["repository"]));
        }
    }
    shown
}

/// A line each, the sandbox's words last and quoted.
pub(super) fn list(requests: &Value) -> String {
    let requests = requests.as_array().map(Vec::as_slice).unwrap_or_default();
    let width = requests.iter().map(|request| text(request, "id").len()).max().unwrap_or_default();
    let mut shown = String::new();
    for request in requests {
        let _ = write!(shown, "{:width$}  {:7}  {}", text(request, "id"), text(request, "state"), text(request, "words"));
        if let Some(why) = request["why"].as_str().filter(|why| !why.is_empty()) {
            let _ = write!(shown, ": \"{why}\"");
        }
        let _ = writeln!(shown);
    }
    shown
}

fn parse_request(text: &str) -> Result<(String, u32), String> {
    let (id, number) = text.rsplit_once('/').ok_or("write SESSION/NUMBER, as tidegate session requests shows it")?;
    let number = number.parse().map_err(|_| format!("no number of a request: {number:?}"))?;
    Ok((parse_id(id)?, number))
}
