//! Answers that need no GitHub: who asks is a session, and how much of an hour it has is counted here.

use serde::Deserialize;
use serde_json::json;

use crate::{destination::Name, github::form::encoded};

/// How much of an hour is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    pub limit: u32,
    pub used: u32,
    /// When it begins anew, in seconds since 1970.
    pub reset: u64,
}

/// `GET /`: where a client finds what it looks for, below `here`, a base URL without a slash at its end.
pub fn root(here: &str) -> String {
    json!({
        "current_user_url": format!("{here}/user"),
        "repository_url": format!("{here}/repos/{{owner}}/{{repo}}"),
        "issue_search_url": format!("{here}/search/issues?q={{query}}{{&page,per_page,sort,order}}"),
        "code_search_url": format!("{here}/search/code?q={{query}}{{&page,per_page,sort,order}}"),
        "commit_search_url": format!("{here}/search/commits?q={{query}}{{&page,per_page,sort,order}}"),
        "rate_limit_url": format!("{here}/rate_limit"),
    })
    .to_string()
}

/// `GET /user`: whom the owner's credential acts for where that is known, else the session by its id; in the whole form of an account, whose
/// URLs are below `here` and at `host`. Nothing else of a person's is told.
pub fn user(account: Option<&Account>, session: &str, here: &str, host: &Name) -> String {
    let (login, id, kind) = account.map_or(("tidegate", 0, "Bot"), |Account { login, id, kind }| (&**login, *id, &**kind));
    let name = if account.is_some() { login.to_owned() } else { format!("session {session}") };
    let (url, page) = (format!("{here}/users/{}", encoded(login)), format!("https://{}/{}", host.as_str(), encoded(login)));
    json!({
        "login": login, "id": id, "node_id": "", "type": kind, "name": name, "site_admin": false,
        "url": url, "html_url": page, "avatar_url": format!("{page}.png"), "gravatar_id": "",
        "followers_url": format!("{url}/followers"), "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"), "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
    })
    .to_string()
}

/// `GET /rate_limit`: what the session has of its own.
pub fn rate_limit(Hour { limit, used, reset }: Hour) -> String {
    let hour = json!({ "limit": limit, "used": used, "remaining": limit.saturating_sub(used), "reset": reset });
    json!({ "resources": { "core": hour, "search": hour, "graphql": hour }, "rate": hour }).to_string()
}

/// `GET /meta`: of a server of somebody's own its version, by which clients know what it has.
pub fn meta(version: Option<&str>) -> String {
    match version {
        Some(version) => json!({ "verifiable_password_authentication": false, "installed_version": version }),
        None => json!({ "verifiable_password_authentication": false }),
    }
    .to_string()
}

/// Whom a credential acts for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    pub login: Box<str>,
    pub id: u64,
    #[serde(rename = "type", default)]
    pub kind: Box<str>,
}

impl Account {
    /// Reads the answer to `GET /user`, of which nothing else counts; none where it tells of nobody.
    pub fn read(body: &[u8]) -> Option<Self> {
        let plain = |text: &str, most: usize| text.len() <= most && text.bytes().all(|byte| byte.is_ascii_graphic());
        // serde would read an array as the fields in their order.
        let is_object = body.len() <= MAX_ANSWER && body.trim_ascii_start().starts_with(b"{");
        let account: Self = serde_json::from_slice(body).ok().filter(|_| is_object)?;
        (!account.login.is_empty() && plain(&account.login, MAX_LOGIN) && plain(&account.kind, MAX_LOGIN)).then_some(account)
    }
}

/// Reads the answer to `GET /meta` of a server: its version, of which digits and dots are made.
pub fn read_version(body: &[u8]) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Meta {
        installed_version: Box<str>,
    }
    let is_object = body.len() <= MAX_ANSWER && body.trim_ascii_start().starts_with(b"{");
    let Meta { installed_version } = serde_json::from_slice(body).ok().filter(|_| is_object)?;
    let is_plain = installed_version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (is_plain && (1..=MAX_VERSION).contains(&installed_version.len())).then_some(installed_version)
}

/// Most octets of what an API says of itself, or of a user.
pub const MAX_ANSWER: usize = 256 * 1024;
/// Of a name, `[bot]` included.
const MAX_LOGIN: usize = 64;
const MAX_VERSION: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::destination::Host;

    #[test]
    fn a_session_is_told_who_it_is_and_what_it_has() {
        let account = Account::read(br#"{"login":"octo","id":7,"type":"User","email":"o@x.test","plan":{"name":"pro"}}"#).unwrap();
        let Ok(Host::Name(host)) = Host::parse(b"ghe.test") else { panic!("a name") };
        let told = |account| serde_json::from_str::<Value>(&user(account, "s1", "http://h/api/v3", &host)).unwrap();
        let octo = told(Some(&account));
        assert_eq!((&octo["login"], &octo["id"], &octo["type"]), (&json!("octo"), &json!(7), &json!("User")));
        assert_eq!((&octo["repos_url"], &octo["html_url"]), (&json!("http://h/api/v3/users/octo/repos"), &json!("https://ghe.test/octo")));
        assert_eq!((octo.get("email"), octo.get("plan"), &told(None)["name"]), (None, None, &json!("session s1")));
        for other in ["[\"octo\",7]", "{\"login\":\"\",\"id\":7}", "{\"login\":\"o c\",\"id\":7}", "{\"id\":7}", ""] {
            assert_eq!(Account::read(other.as_bytes()), None, "{other}");
        }
        let told: Value = serde_json::from_str(&rate_limit(Hour { limit: 10, used: 3, reset: 99 })).unwrap();
        assert_eq!(told["rate"], json!({ "limit": 10, "used": 3, "remaining": 7, "reset": 99 }));
        assert_eq!(read_version(br#"{"installed_version":"3.14.2","x":1}"#).as_deref(), Some("3.14.2"));
        for other in [&br#"{"installed_version":"3 <b>"}"#[..], br#"{"installed_version":""}"#, b"{}", b"[\"3.14\"]"] {
            assert_eq!(read_version(other), None);
        }
        assert!(meta(Some("3.14.2")).contains("\"installed_version\":\"3.14.2\"") && !meta(None).contains("installed_version"));
        assert!(root("http://h/api/v3").contains("\"repository_url\":\"http://h/api/v3/repos/{owner}/{repo}\""));
    }
}
