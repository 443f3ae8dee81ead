//! One client in every column: it fetches from the name that is allowed, and from one that is not; what it printed, and what was recorded.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    client::{COLUMNS, Client, Column, Expected, Until},
    ground::{Ground, NAME, PATIENCE, REFUSED, SHUT},
    harness::program::{Ran, run_for},
};

/// What came of a client.
pub(crate) struct Row {
    pub(crate) client: &'static Client,
    pub(crate) version: String,
    /// In the order of [`COLUMNS`].
    pub(crate) cells: Vec<Cell>,
    /// What is not as expected, with all that is known of it.
    pub(crate) wrong: Vec<String>,
}

/// What came of it in one column.
pub(crate) enum Cell {
    Works { refused: String },
    Cannot { said: String, why: &'static str },
    Nothing { why: &'static str },
    Wrong,
}

/// Measures a client. One that is not installed is wrong in every cell.
pub(crate) fn measure(ground: &Ground, client: &'static Client) -> Row {
    let (home, _records) = ground.home();
    let mut asked = ground.program("bash");
    asked.args(["-c", client.version]).env("HOME", home.path()).current_dir(home.path());
    let asked = run_for(&mut asked, "bash", PATIENCE);
    let version = number(&asked.stdout);
    let mut row = Row { client, version, cells: Vec::new(), wrong: Vec::new() };
    if !asked.success || row.version.is_empty() {
        row.wrong.push(format!("{}: it is not there; make matrix installs it:\n{}", client.name, asked.said));
        row.cells.extend(COLUMNS.map(|_| Cell::Wrong));
        return row;
    }
    for (column, expected) in COLUMNS.into_iter().zip(client.expected) {
        let expected = settled(expected, &row.version);
        row.cells.push(cell(ground, client, column, expected).unwrap_or_else(|wrong| {
            row.wrong.push(format!("{} {}, {column:?}: {wrong}", client.name, row.version));
            Cell::Wrong
        }));
    }
    row
}

/// What is expected of this version.
fn settled(expected: Expected, version: &str) -> Expected {
    let until = if let Expected::Cannot { until, .. } = expected { until } else { None };
    let works = until.filter(|until| parts(version) >= until.version);
    works.map_or(expected, |Until { refused, .. }| Expected::Works { refused })
}

fn cell(ground: &Ground, client: &Client, column: Column, expected: Expected) -> Result<Cell, String> {
    match expected {
        Expected::Nothing { why } => Ok(Cell::Nothing { why }),
        Expected::Cannot { says, why, .. } => {
            let Fetched { ran, records } = fetch(ground, client, column, NAME);
            let said = (!ran.success).then(|| line_with(&ran.said, says)).flatten();
            let said = said.ok_or_else(|| format!("it was to fail and to say {says:?}:\n{}{}", ran.said, told(&records)))?;
            Ok(Cell::Cannot { said, why })
        }
        Expected::Works { refused } => {
            let Fetched { ran, records } = fetch(ground, client, column, NAME);
            if !ran.success || !ran.said.contains(client.shows) {
                return Err(format!("it was to show {:?}:\n{}{}", client.shows, ran.said, told(&records)));
            }
            check_passed(&records, column).map_err(|why| format!("{why}:\n{}{}", ran.said, told(&records)))?;
            let shut = column.intercepted;
            let Fetched { ran, records } = fetch(ground, client, column, if shut { SHUT } else { REFUSED });
            let said = (!ran.success).then(|| line_with(&ran.said, refused)).flatten();
            let said = said.ok_or_else(|| format!("refused, it was to fail and to say {refused:?}:\n{}{}", ran.said, told(&records)))?;
            let (host, reason) = if shut { (SHUT, ["path_not_allowed", "method_not_allowed"]) } else { (REFUSED, ["host_not_allowed"; 2]) };
            let is_it = |record: &Value| record["host"] == host && reason.iter().any(|reason| record["reason"] == *reason);
            if !records.iter().any(|record| record["verdict"] == "deny" && is_it(record) && is_by(record, column)) {
                return Err(format!("nothing of {reason:?} was recorded:\n{}{}", ran.said, told(&records)));
            }
            Ok(Cell::Works { refused: said })
        }
    }
}

/// Records in a line each.
fn told(records: &[Value]) -> String {
    let words = |record: &Value| {
        ["door", "kind", "verdict", "reason", "host", "port", "method", "path"]
            .map(|key| record[key].to_string().replace('"', ""))
            .join(" ")
    };
    records.iter().map(|record| words(record) + "\n").collect()
}

/// It came by the column's door, was read if it was to be, and nothing of it was refused.
fn check_passed(records: &[Value], column: Column) -> Result<(), &'static str> {
    let ours: Vec<&Value> = records.iter().filter(|record| record["host"] == NAME).collect();
    let was_read = |record: &&&Value| record["kind"] == "http" && record["port"] != 80;
    if !ours.iter().any(|record| record["verdict"] == "allow" && record["kind"] != "dns") {
        return Err("nothing was let through");
    }
    if ours.iter().any(|record| record["verdict"] != "allow" || !is_by(record, column)) {
        return Err("something was refused or failed, or came by another door");
    }
    let plain = ours.iter().all(|record| record["port"] == 80 || record["kind"] == "dns");
    if !plain && ours.iter().any(|record| was_read(&record)) != column.intercepted {
        return Err("TLS ended at the wrong place");
    }
    Ok(())
}

fn is_by(record: &Value, column: Column) -> bool {
    (record["door"] == "proxy") == column.variables
}

struct Fetched {
    ran: Ran,
    records: Vec<Value>,
}

/// Lets a client fetch once, in a home of its own.
fn fetch(ground: &Ground, client: &Client, column: Column, host: &str) -> Fetched {
    let (home, outside) = ground.home();
    let audit = outside.path().join("audit.jsonl");
    let mut command = ground.program(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["run", "--isolation", if column.variables { "env" } else { "netns" }, "--config"]).arg(ground.config(column));
    let script = format!("{}{}", if column.variables { "" } else { WITHOUT_A_PROXY }, client.fetch);
    command.arg("--audit").arg(&audit).args(["--", "bash", "-euo", "pipefail", "-c", &script]);
    command.env("SSL_CERT_FILE", ground.roots()).env("HOST", host).env("BY", if column.variables { "variables" } else { "nothing" });
    command.env("HOME", home.path()).current_dir(home.path());
    let mut ran = run_for(&mut command, "bash", PATIENCE_WITH_A_CLIENT);
    let ours = |line: &&str| !line.starts_with("tidegate: ") && !line.starts_with("Picked up ");
    ran.said =
        ran.said.replace(&home.path().display().to_string(), "~").lines().filter(ours).fold(String::new(), |text, line| text + line + "\n");
    let records = fs::read_to_string(audit).unwrap_or_default();
    Fetched { ran, records: records.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
}

/// The line in which it says so, without colours and numbers that are others the next time, and not longer than a table bears.
fn line_with(said: &str, words: &str) -> Option<String> {
    let plain = without_colours(said);
    let line = plain.lines().find(|line| line.contains(words))?;
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = without_ports(&line);
    // Times and addresses before the words are others the next time.
    let at = line.find(words)?;
    let line = if line[..at].contains(|c: char| c.is_ascii_digit()) { line[at..].to_owned() } else { line };
    // What is kept is long enough to have the words in it.
    let end = line.find(words).map_or(0, |at| at + words.len()).max(LONGEST);
    Some(if line.chars().count() <= end { line } else { line.chars().take(end).chain(['…']).collect() })
}

fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once(|end: char| end.is_ascii_alphabetic()).map_or("", |(_, rest)| rest))
}

/// Our own ports are others each time.
fn without_ports(line: &str) -> String {
    // apt parts them by a blank.
    let line = line.replace("127.0.0.1 ", "127.0.0.1:");
    let mut pieces = line.split("127.0.0.1:");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + "127.0.0.1:PORT" + piece.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// The first number with a dot in it.
fn number(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c| !is_part(c)).map(|word| word.trim_matches('.'));
    words.into_iter().find(|word| word.contains('.')).unwrap_or_default().to_owned()
}

fn parts(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Unsets whatever names a proxy, and leaves all that says whom to trust.
const WITHOUT_A_PROXY: &str = "for variable in $(env | cut -d= -f1 | grep -i proxy); do unset $variable; done
export JAVA_TOOL_OPTIONS=$(tr ' ' '\\n' <<<\"$JAVA_TOOL_OPTIONS\" | grep -vi proxy | tr '\\n' ' ')
";
const PATIENCE_WITH_A_CLIENT: Duration = Duration::from_secs(120);
const LONGEST: usize = 110;
