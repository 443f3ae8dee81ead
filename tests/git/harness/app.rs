//! What a GitHub does for an App: it knows it by its signature, finds its installations, and makes tokens that are good for what was
//! asked for and for so long, and for nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{Method, request::Parts};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    api::{PREFIX, Said},
    hub::random,
};

/// The number of the App.
pub(crate) const APP: u64 = 4711;

/// An App, where it is installed and what it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Of the tokens that it makes from now on.
    pub(crate) life: Duration,
    /// What it is installed for, by numbers of repositories, and by the number of the installation.
    pub(crate) covers: BTreeMap<u64, BTreeSet<u64>>,
    pub(crate) permissions: Value,
    pub(crate) suspended: bool,
    /// What answers hold instead of what was asked for.
    pub(crate) widened: Option<(&'static str, Value)>,
    /// What tokens are made of beside their prefix.
    pub(crate) length: usize,
    /// Every token that was made.
    pub(crate) minted: Vec<Minted>,
    /// Every request of an App that was turned away, and why.
    pub(crate) denied: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Minted {
    pub(crate) token: String,
    /// What was asked for.
    pub(crate) asked: Value,
    repositories: BTreeSet<u64>,
    permissions: Value,
    pub(crate) at: Instant,
    until: SystemTime,
    pub(crate) revoked: bool,
    /// What it was shown for and let through.
    pub(crate) used: Vec<String>,
}

impl Minted {
    pub(crate) fn is_alive(&self) -> bool {
        !self.revoked && now() < self.until
    }

    /// Whether it may change what repositories hold.
    pub(crate) fn writes(&self) -> bool {
        self.permissions["contents"] == "write"
    }

    /// Whether it is for learning numbers and nothing else.
    pub(crate) fn learns(&self) -> bool {
        self.asked["repositories"].is_array()
    }
}

impl App {
    /// Installed for these repositories, with all that anybody could ask for but workflows.
    pub(crate) fn installed_for(repositories: &[u64], life: Duration) -> Self {
        let permissions = ["actions", "contents", "issues", "pull_requests"].map(|name| (name.to_owned(), json!("write")));
        let permissions = permissions.into_iter().chain(["checks", "metadata", "statuses"].map(|name| (name.to_owned(), json!("read"))));
        Self {
            life,
            covers: [(42, repositories.iter().copied().collect())].into(),
            permissions: Value::Object(permissions.collect()),
            suspended: false,
            widened: None,
            length: 36,
            minted: Vec::new(),
            denied: Vec::new(),
        }
    }

    /// Whether a request shows what it needs: nothing is said of those that are the App's own.
    pub(super) fn admits(&mut self, head: &Parts, number: Option<u64>) -> bool {
        let path = head.uri.path();
        if is_of_app(path) {
            return true;
        }
        let Some(token) = shown(head) else { return false };
        let Some(minted) = self.minted.iter_mut().find(|minted| minted.token == token && minted.is_alive()) else { return false };
        let (permission, wanted) =
            if path.contains("git-receive-pack") || head.uri.query().is_some_and(|query| query.contains("git-receive-pack")) {
                ("contents", "write")
            } else if path.starts_with(PREFIX) {
                ("metadata", "read")
            } else {
                ("contents", "read")
            };
        let has = minted.permissions[permission].as_str().unwrap_or_default();
        let admitted = (has == wanted || has == "write") && number.is_none_or(|number| minted.repositories.contains(&number));
        if admitted {
            minted.used.push(format!("{} {path}", head.method));
        }
        admitted
    }

    /// The answer to a request of the App's own. `ids` tells which number a name has.
    pub(super) fn answer(&mut self, head: &Parts, body: &[u8], ids: &BTreeMap<String, u64>) -> Said {
        let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let said = |status: u16, body: &Value| (status, None, body.to_string());
        if path == "/installation/token" {
            let token = shown(head).unwrap_or_default();
            let Some(minted) = self.minted.iter_mut().find(|minted| minted.token == token && minted.is_alive()) else {
                return said(401, &json!({"message": "Bad credentials"}));
            };
            minted.revoked = head.method == Method::DELETE;
            return (204, None, String::new());
        }
        if let Err(why) = check(head) {
            self.denied.push(why.clone());
            return said(401, &json!({"message": why}));
        }
        if let Some(name) = path.strip_prefix("/repos/").and_then(|rest| rest.strip_suffix("/installation")) {
            let number = ids.get(name).copied().unwrap_or_default();
            return match self.covers.iter().find(|(_, covered)| covered.contains(&number)) {
                Some((id, _)) => said(200, &self.installation(*id)),
                None => said(404, &json!({"message": "Not Found"})),
            };
        }
        if let Some(number) = path.strip_prefix("/repositories/").and_then(|rest| rest.strip_suffix("/installation")?.parse().ok()) {
            return match self.covers.iter().find(|(_, covered)| covered.contains(&number)) {
                Some((id, _)) => said(200, &self.installation(*id)),
                None => said(404, &json!({"message": "Not Found"})),
            };
        }
        let id = path.strip_prefix("/app/installations/").and_then(|rest| rest.strip_suffix("/access_tokens")?.parse().ok());
        match id.filter(|_| head.method == Method::POST) {
            Some(id) => self.make(id, body, ids),
            None => said(404, &json!({"message": "Not Found"})),
        }
    }

    fn installation(&self, id: u64) -> Value {
        let suspended = if self.suspended { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        json!({"id": id, "app_id": APP, "account": {"login": "octo"}, "permissions": self.permissions, "suspended_at": suspended})
    }

    fn make(&mut self, id: u64, body: &[u8], ids: &BTreeMap<String, u64>) -> Said {
        let asked: Value = serde_json::from_slice(body).expect("JSON");
        let refused = |why: &str| (422, None, json!({ "message": why }).to_string());
        let covered = self.covers.get(&id).cloned().unwrap_or_default();
        let by_name = asked["repositories"].as_array().into_iter().flatten();
        let named = by_name.map(|name| ids.get(&format!("octo/{}", name.as_str().expect("a name"))).copied().unwrap_or_default());
        let numbered = asked["repository_ids"].as_array().into_iter().flatten().map(|number| number.as_u64().expect("a number"));
        let mut repositories: BTreeSet<u64> = named.chain(numbered).collect();
        if repositories.is_empty() {
            // So GitHub does.
            repositories.clone_from(&covered);
        }
        if !repositories.is_subset(&covered) {
            return refused("There is at least one repository that does not exist or is not accessible to the parent installation.");
        }
        let wanted = asked["permissions"].as_object().expect("permissions");
        let has = |(name, level): (&String, &Value)| self.permissions[name] == *level || self.permissions[name] == "write";
        if !wanted.iter().all(has) {
            return refused("The permissions requested are not granted to this installation.");
        }
        let seconds = now().duration_since(UNIX_EPOCH).expect("a time").as_secs() + self.life.as_secs();
        let mut token = format!("ghs_{}", random());
        while token.len() < self.length {
            token.push_str(&random());
        }
        let minted = Minted {
            token: token.clone(),
            repositories: repositories.clone(),
            permissions: asked["permissions"].clone(),
            asked,
            at: Instant::now(),
            until: UNIX_EPOCH + Duration::from_secs(seconds),
            revoked: false,
            used: Vec::new(),
        };
        let name = |number: &u64| ids.iter().find(|(_, id)| *id == number).map(|(name, _)| name.clone()).expect("a name");
        let repositories: Vec<_> = repositories.iter().map(|number| json!({"id": number, "full_name": name(number)})).collect();
        let expires = Timestamp::from_second(i64::try_from(seconds).expect("a time")).expect("a time").to_string();
        let mut answer = json!({"token": token, "expires_at": expires, "permissions": minted.permissions, "repositories": repositories, "repository_selection": "selected"});
        if let Some((key, value)) = &self.widened {
            answer[key] = value.clone();
        }
        self.minted.push(minted);
        (201, None, answer.to_string())
    }
}

#[expect(clippy::disallowed_methods, reason = "the upstream has a clock of its own")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Whether a request is one that an App makes as itself, or that ends a token.
pub(super) fn is_of_app(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.starts_with("/app/") || rest.ends_with("/installation") || rest == "/installation/token")
}

/// The token that a request shows, to git or to the API.
fn shown(head: &Parts) -> Option<String> {
    let shown = head.headers.get("authorization")?.to_str().ok()?;
    if let Some(token) = shown.strip_prefix("Bearer ") {
        return Some(token.to_owned());
    }
    let pair = BASE64_STANDARD.decode(shown.strip_prefix("Basic ")?).ok()?;
    String::from_utf8(pair).ok()?.strip_prefix("x-access-token:").map(str::to_owned)
}

/// Holds a signature to what GitHub wants of it.
fn check(head: &Parts) -> Result<(), String> {
    let token = shown(head).ok_or("no signature")?;
    let (signed, signature) = token.rsplit_once('.').ok_or("no token of three parts")?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| "no base64")?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &pair().1);
    public.verify(signed.as_bytes(), &signature).map_err(|_| "A JSON web token could not be decoded")?;
    let [header, claims] = [0, 1].map(|part| {
        let part = BASE64_URL_SAFE_NO_PAD.decode(signed.split('.').nth(part).unwrap_or_default()).unwrap_or_default();
        serde_json::from_slice::<Value>(&part).unwrap_or_default()
    });
    let now = now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    let (issued, expires) = (claims["iat"].as_u64().ok_or("no iat")?, claims["exp"].as_u64().ok_or("no exp")?);
    let is_good = header["alg"] == "RS256" && issued <= now && now < expires && expires <= now + 600;
    let is_app = claims["iss"] == json!(APP) || claims["iss"] == json!(APP.to_string());
    if is_good && is_app { Ok(()) } else { Err(format!("'Issuer' claim or times of {claims} are wrong")) }
}

/// The App's private key in PEM, and its public one, made once for all tests of a run.
pub(crate) fn pair() -> &'static (String, Vec<u8>) {
    static PAIR: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.pem").display().to_string();
        openssl(&["genrsa", "-out", &file, "2048"]);
        let public = openssl(&["rsa", "-in", &file, "-RSAPublicKey_out", "-outform", "DER"]);
        (fs::read_to_string(file).expect("a key"), public)
    })
}

/// Another key, which nobody knows.
pub(crate) fn other_key() -> String {
    String::from_utf8(openssl(&["genrsa", "2048"])).expect("a key")
}

#[track_caller]
fn openssl(arguments: &[&str]) -> Vec<u8> {
    let made = Command::new("openssl").args(arguments).output();
    let made = made.unwrap_or_else(|error| panic!("openssl is needed ({error}): apt-get install openssl"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}
