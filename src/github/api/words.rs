//! Words of a comment by which bots are commanded.

/// The first command in a text: a line that begins with `/word` or with the name of a bot that listens without being called, or a bot
/// that is called by `@name`.
pub fn find_command(text: &str) -> Option<&str> {
    text.split(ends_line).find_map(|line| at_start(line).or_else(|| mention(line)))
}

fn ends_line(letter: char) -> bool {
    matches!(letter, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn at_start(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{feff}'));
    let word = line.split_whitespace().next()?;
    let is_command =
        word.strip_prefix('/').is_some_and(|name| name.starts_with(|letter: char| letter.is_alphabetic()) && !name.contains('/'));
    let listens = LISTENING.iter().any(|bot| bot.eq_ignore_ascii_case(word.trim_end_matches([':', ','])));
    (is_command || listens).then_some(word)
}

fn mention(line: &str) -> Option<&str> {
    line.match_indices('@').find_map(|(at, _)| {
        let (before, after) = (line.get(..at)?, line.get(at + 1..)?);
        let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_').unwrap_or(after.len());
        let (login, rest) = after.split_at_checked(end)?;
        let login = login.trim_end_matches('-').to_ascii_lowercase();
        let is_bot = login.ends_with("bot") || rest.starts_with("[bot]") || CALLED.contains(&&*login);
        let is_mention = !before.ends_with(|letter: char| letter.is_ascii_alphanumeric());
        line.get(at..at + 1 + end).filter(|_| is_bot && is_mention)
    })
}

/// Bots that are commanded by a line that begins with their name.
const LISTENING: &[&str] = &["bors", "homu"];
/// Bots and agents whose names do not say so.
const CALLED: &[&str] = &[
    "amazon-q",
    "bors",
    "claude",
    "coderabbitai",
    "codex",
    "copilot",
    "copilot-swe-agent",
    "cursor",
    "cursoragent",
    "devin",
    "devin-ai-integration",
    "factory-droid",
    "gemini-cli",
    "github-actions",
    "google-labs-jules",
    "homu",
    "jules",
    "mergify",
    "mergifyio",
    "openhands",
    "openhands-agent",
    "renovate",
    "sweep-ai",
];
