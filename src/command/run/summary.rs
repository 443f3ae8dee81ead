//! What was refused to COMMAND, how often, and what would allow it.

use crate::{
    reason::{Reason, Verdict},
    sessions::{MAX_REFUSALS, Refusal},
};

/// One line for each thing that was refused, in the order in which it first was; none where nothing was. `refusals` are the latest, the
/// last one first.
pub(super) fn lines(refusals: &[Refusal]) -> Vec<String> {
    let mut counted: Vec<(Refused, usize)> = Vec::new();
    for refused in refusals.iter().rev().filter(|refusal| refusal.reason.verdict() == Verdict::Deny).map(Refused::of) {
        match counted.iter_mut().find(|(known, _)| *known == refused) {
            Some((_, count)) => *count += 1,
            None => counted.push((refused, 1)),
        }
    }
    let left_out = counted.len().saturating_sub(MAX_LINES);
    let mut lines: Vec<_> = counted.iter().take(MAX_LINES).map(|(refused, count)| refused.line(*count)).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} more; --audit FILE records all of them"));
    }
    if refusals.len() >= MAX_REFUSALS {
        lines.push(format!("these are the latest {MAX_REFUSALS} refusals; --audit FILE records all of them"));
    }
    lines
}

/// What is counted as one.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    what: String,
    reason: Reason,
    remedy: Option<String>,
}

impl Refused {
    fn of(refusal: &Refusal) -> Self {
        let at = match (&refusal.host, refusal.port) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_string(),
            (None, _) => String::new(),
        };
        // What is judged by host alone is the same whatever was asked for there.
        let asked = matches!(refusal.reason, Reason::MethodNotAllowed | Reason::PathNotAllowed) || refusal.host.is_none();
        let request = |part: &Option<String>| part.clone().filter(|_| asked).unwrap_or_default();
        let what = format!("{} {at}{}", request(&refusal.method), request(&refusal.path)).trim().to_owned();
        Self { what, reason: refusal.reason, remedy: refusal.allow_with.as_deref().map(as_option) }
    }

    fn line(&self, count: usize) -> String {
        let Self { what, reason, remedy } = self;
        let times = if count == 1 { String::new() } else { format!(" {count} times") };
        let remedy = remedy.as_ref().map(|remedy| format!("; to allow it: {remedy}")).unwrap_or_default();
        let what = if what.is_empty() { String::new() } else { format!(": {what}") };
        format!("refused{times}{what} ({reason}){remedy}")
    }
}

/// What a document would have to say, as an option of this command where there is one for it.
fn as_option(lines: &str) -> String {
    let entry = lines.strip_prefix("allow = [\"").and_then(|rest| rest.strip_suffix("\"]"));
    if let Some(entry) = entry.filter(|entry| !entry.contains('"')) {
        return format!("--allow '{entry}'");
    }
    let name = lines.strip_prefix("[[session.repository]]\nname = \"").and_then(|rest| rest.strip_suffix("\"\naccess = \"read\""));
    if let Some(name) = name {
        return format!("--repo {name}");
    }
    lines.replace('\n', "; ")
}

const MAX_LINES: usize = 10;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::destination::Host;

    fn refusal(host: &str, port: u16, reason: Reason, allow_with: Option<&str>) -> Refusal {
        let host = (!host.is_empty()).then(|| Host::parse(host.as_bytes()).unwrap());
        Refusal {
            time: SystemTime::UNIX_EPOCH,
            reason,
            port: host.is_some().then_some(port),
            host,
            method: Some("GET".into()),
            path: Some("/octo/knife/info/refs".into()),
            rule: None,
            allow_with: allow_with.map(str::to_owned),
            detail: String::new(),
        }
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(lines(&[]), Vec::<String>::new());
        assert_eq!(lines(&[refusal("a.example", 443, Reason::DnsFailed, None)]), Vec::<String>::new());
    }

    #[test]
    fn what_could_not_be_read_has_no_name() {
        let refused = Refusal { method: None, path: None, ..refusal("", 0, Reason::BadRequest, None) };
        assert_eq!(lines(&[refused]), ["refused (bad_request)"]);
    }

    #[test]
    fn what_was_refused_is_counted_and_has_its_remedy() {
        let host = || refusal("a.example", 443, Reason::HostNotAllowed, Some("allow = [\"a.example\"]"));
        let repository = "[[session.repository]]\nname = \"octo/knife\"\naccess = \"read\"";
        let address = "access = \"custom\"\nallow = [\"[fd00::1]:8443\"]";
        let refusals = [
            host(),
            refusal("[fd00::1]", 8443, Reason::NetworkDisabled, Some(address)),
            refusal("", 0, Reason::RepositoryNotGranted, Some(repository)),
            refusal("b.example", 80, Reason::MethodNotAllowed, None),
            host(),
        ];
        let expected = [
            "refused 2 times: a.example:443 (host_not_allowed); to allow it: --allow 'a.example'",
            "refused: GET b.example:80/octo/knife/info/refs (method_not_allowed)",
            "refused: GET /octo/knife/info/refs (repository_not_granted); to allow it: --repo octo/knife",
            "refused: [fd00::1]:8443 (network_disabled); to allow it: access = \"custom\"; allow = [\"[fd00::1]:8443\"]",
        ];
        assert_eq!(lines(&refusals), expected);
    }

    #[test]
    fn many_refusals_take_few_lines() {
        let refusals: Vec<_> =
            (0..MAX_REFUSALS).map(|number| refusal(&format!("h{number}.example"), 443, Reason::HostNotAllowed, None)).collect();
        let lines = lines(&refusals);
        assert_eq!(lines.len(), MAX_LINES + 2);
        assert_eq!(lines[0], "refused: h99.example:443 (host_not_allowed)");
        assert_eq!(
            lines[MAX_LINES..],
            ["and 90 more; --audit FILE records all of them", "these are the latest 100 refusals; --audit FILE records all of them"]
        );
    }
}
