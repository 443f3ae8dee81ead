//! Every variable by which a client finds its way through a gate and trusts its authority, in one table.
//!
//! They lead, and hold nobody: what goes past them meets the wall, or nothing, where there is none.

use std::{
    ffi::{OsStr, OsString},
    fmt::{self, Write},
    os::unix::ffi::OsStringExt,
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    destination::{Destination, Host, Name},
    secret::Secret,
};

/// What a client has to know of a gate.
pub(crate) struct Gate<'a> {
    pub(crate) proxy: &'a Proxy,
    /// Our root and the system's in one text; and the same for the JVM, which reads no such text.
    pub(crate) bundle: &'a Path,
    pub(crate) key_store: Option<&'a Path>,
    /// What wget reads in place of the system's `wgetrc`, where the bundle does not stand in the place of the system's.
    pub(crate) wgetrc: Option<&'a Path>,
    /// Every GitHub that the gate leads to by grants.
    pub(crate) github: &'a [Name],
    /// What `gh` shows there: it asks nothing without a token.
    pub(crate) token: Option<&'a Secret>,
}

impl Gate<'_> {
    /// Every variable and its value, each name once. `inherited` looks up what the client would have without us: options of the JVM and
    /// settings of git stay beside ours, and a `wgetrc` of its own stays in the place of ours. Anything else is replaced, exceptions from
    /// the proxy (`NO_PROXY`) too, for they would lead around the gate.
    pub(crate) fn variables(&self, inherited: &dyn Fn(&str) -> Option<OsString>) -> Vec<(String, OsString)> {
        let mut variables = Vec::new();
        for (value, names) in TABLE {
            if let Some(value) = self.value(*value) {
                variables.extend(names.iter().map(|name| ((*name).to_owned(), value.clone())));
            }
        }
        if let Some(wgetrc) = self.wgetrc.filter(|ours| inherited(WGETRC).is_none_or(|theirs| theirs == ours.as_os_str())) {
            variables.push((WGETRC.into(), wgetrc.into()));
        }
        variables.push((JVM_OPTIONS.into(), self.jvm_options(inherited(JVM_OPTIONS))));
        variables.append(&mut self.git_settings(inherited));
        variables.append(&mut self.github_cli());
        variables
    }

    /// `None` where the client would be told half of what it needs.
    fn value(&self, value: Value) -> Option<OsString> {
        let unasked = !self.proxy.asks();
        match value {
            Value::Proxy => Some(self.proxy.url().into()),
            Value::Type => unasked.then(|| "http".into()),
            Value::Host => unasked.then(|| self.proxy.host().into()),
            Value::Port => unasked.then(|| self.proxy.at.port.to_string().into()),
            Value::Bypass => Some(BYPASS.into()),
            Value::Bundle => Some(self.bundle.into()),
            Value::On => Some("1".into()),
        }
    }

    /// Ours after those that are there already: of two that say the same the JVM takes the last.
    fn jvm_options(&self, inherited: Option<OsString>) -> OsString {
        let (host, port) = (self.proxy.host(), self.proxy.at.port);
        let mut ours = OsString::from(format!(
            "-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} \
             -Dhttp.nonProxyHosts={JVM_BYPASS}"
        ));
        if let Some(path) = self.key_store {
            ours.push(" -Djavax.net.ssl.trustStoreType=pkcs12 -Djavax.net.ssl.trustStore=");
            ours.push(jvm_quoted(path.as_os_str()));
        }
        match inherited {
            Some(theirs) if !theirs.is_empty() && !theirs.as_encoded_bytes().ends_with(ours.as_encoded_bytes()) => {
                [theirs.as_os_str(), OsStr::new(" "), &ours].into_iter().collect()
            }
            Some(theirs) if !theirs.is_empty() => theirs,
            Some(_) | None => ours,
        }
    }

    /// Settings of git from the environment (git-config(1), `GIT_CONFIG_COUNT`): those that are there already, and that repositories of a
    /// GitHub are fetched over HTTPS where somebody wrote SSH, which does not pass.
    fn git_settings(&self, inherited: &dyn Fn(&str) -> Option<OsString>) -> Vec<(String, OsString)> {
        let count = inherited("GIT_CONFIG_COUNT").and_then(|count| count.to_str()?.trim().parse().ok()).unwrap_or(0);
        let theirs = (0..MAX_SETTINGS.min(count)).filter_map(|number| {
            Some((inherited(&format!("GIT_CONFIG_KEY_{number}"))?, inherited(&format!("GIT_CONFIG_VALUE_{number}"))?))
        });
        let mut settings: Vec<(OsString, OsString)> = theirs.collect();
        for host in self.git_hosts() {
            for ssh in [format!("git@{host}:"), format!("ssh://git@{host}/")] {
                let ours = (format!("url.https://{host}/.insteadOf").into(), ssh.into());
                if !settings.contains(&ours) {
                    settings.push(ours);
                }
            }
        }
        let mut variables = vec![("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string().into())];
        for (number, (key, value)) in settings.into_iter().enumerate() {
            variables.extend([(format!("GIT_CONFIG_KEY_{number}"), key), (format!("GIT_CONFIG_VALUE_{number}"), value)]);
        }
        variables
    }

    /// GitHub itself, by a grant or by a policy that lets its public repositories through, and every other.
    fn git_hosts(&self) -> Vec<&str> {
        let others = self.github.iter().map(Name::as_str).filter(|host| *host != GITHUB);
        std::iter::once(GITHUB).chain(others).collect()
    }

    /// For `gh` (its `help environment`), which knows GitHub and takes any other for GitHub Enterprise.
    fn github_cli(&self) -> Vec<(String, OsString)> {
        let (Some(first), Some(token)) = (self.github.first(), self.token) else { return Vec::new() };
        let token = OsString::from(String::from_utf8_lossy(token.expose()).into_owned());
        let mut variables = vec![("GH_TOKEN".to_owned(), token.clone())];
        if self.github.iter().any(|host| host.as_str() != GITHUB) {
            variables.push(("GH_ENTERPRISE_TOKEN".into(), token));
        }
        if first.as_str() != GITHUB {
            variables.push(("GH_HOST".into(), first.as_str().into()));
        }
        variables
    }
}

/// Where clients find a proxy, and what they show there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(in crate::command) at: Destination,
    /// As it stands in a URL, before the "@".
    user_information: Option<Box<str>>,
}

impl Proxy {
    pub(crate) fn new(at: Destination) -> Self {
        Self { at, user_information: None }
    }

    /// A proxy to which a session's token has to be shown.
    #[must_use]
    pub(crate) fn showing(self, token: &Secret) -> Self {
        Self { user_information: Some(format!("{USER}:{}", escaped(token.expose())).into()), ..self }
    }

    /// `http://HOST:PORT`, with whatever user and password; `None` where it is anything else.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The last "@", so that nothing of a password is taken for something else.
        let (user_information, authority) = rest.rsplit_once('@').map_or((None, rest), |(user, authority)| (Some(user), authority));
        let at = Destination::parse(authority.as_bytes(), Some(80)).ok()?;
        Some(Self { at, user_information: user_information.map(Into::into) })
    }

    pub(crate) fn asks(&self) -> bool {
        self.user_information.is_some()
    }

    /// What its clients send as `Proxy-Authorization` (RFC 7617), where it asks.
    pub(in crate::command) fn authorization(&self) -> Option<Secret> {
        let information = unescaped(self.user_information.as_deref()?);
        Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(information.expose()))))
    }

    /// The password in its URL.
    pub(in crate::command) fn token(&self) -> Option<Secret> {
        let (_, password) = self.user_information.as_deref()?.split_once(':')?;
        Some(unescaped(password))
    }

    fn url(&self) -> String {
        let (before, at) = self.user_information.as_deref().map_or(("", ""), |user| (user, "@"));
        format!("http://{before}{at}{}", self.at)
    }

    /// Without brackets.
    fn host(&self) -> String {
        match &self.at.host {
            Host::Name(name) => name.as_str().to_owned(),
            Host::Ip(address) => address.to_string(),
        }
    }
}

/// It may hold a token.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("at", &self.at).field("asks", &self.asks()).finish_non_exhaustive()
    }
}

/// A password as it stands in a URL (RFC 3986, section 3.2.1).
fn escaped(text: &[u8]) -> String {
    let mut escaped = String::new();
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// What [`escaped`] says; a `%` that begins no octet stands for itself.
fn unescaped(text: &str) -> Secret {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let octet = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if octet.is_some() { after.get(2..).unwrap_or_default() } else { after };
        octets.push(octet.unwrap_or(byte));
    }
    Secret::new(octets)
}

/// One word of `JAVA_TOOL_OPTIONS`, in which blanks part words and quotes hold them together.
fn jvm_quoted(word: &OsStr) -> OsString {
    let is_plain = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'');
    if word.as_encoded_bytes().iter().all(is_plain) {
        return word.to_owned();
    }
    // Where a quote ends, what follows is still of the same word.
    let parts: Vec<_> = word.as_encoded_bytes().split(|byte| *byte == b'\'').collect();
    let mut quoted = vec![b'\''];
    quoted.extend(parts.join(&b"'\"'\"'"[..]));
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

/// What a variable says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum Value {
    Proxy,
    Host,
    Port,
    Type,
    /// What is reached without the proxy.
    Bypass,
    Bundle,
    On,
}

/// Who reads what, as `docs/clients.md` explains. There is no `ALL_PROXY`: its readers would take it for SOCKS, or for any protocol.
pub(in crate::command) const TABLE: &[(Value, &[&str])] = &[
    (
        Value::Proxy,
        &[
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "grpc_proxy",
            "npm_config_proxy",
            "npm_config_https_proxy",
            "YARN_HTTP_PROXY",
            "YARN_HTTPS_PROXY",
            "GLOBAL_AGENT_HTTP_PROXY",
            "GLOBAL_AGENT_HTTPS_PROXY",
        ],
    ),
    (Value::Bypass, &["no_proxy", "NO_PROXY", "no_grpc_proxy", "npm_config_noproxy", "GLOBAL_AGENT_NO_PROXY"]),
    (Value::On, &["NODE_USE_ENV_PROXY", "ELECTRON_GET_USE_PROXY"]),
    // The Google Cloud CLI has variables of its own for a password, and reads the others where these are not set.
    (Value::Type, &["CLOUDSDK_PROXY_TYPE"]),
    (Value::Host, &["CLOUDSDK_PROXY_ADDRESS"]),
    (Value::Port, &["CLOUDSDK_PROXY_PORT"]),
    (
        Value::Bundle,
        &[
            "SSL_CERT_FILE",
            "NIX_SSL_CERT_FILE",
            "CURL_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "PIP_CERT",
            "GIT_SSL_CAINFO",
            "CARGO_HTTP_CAINFO",
            "NODE_EXTRA_CA_CERTS",
            // Where some npmrc names another file, the one before is not looked at.
            "npm_config_cafile",
            "DENO_CERT",
            "BUNDLE_SSL_CA_CERT",
            "HEX_CACERTS_PATH",
            "AWS_CA_BUNDLE",
            "HTTPLIB2_CA_CERTS",
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        ],
    ),
];

/// This machine as its clients spell it, for tests that start a server: some know networks, some literals only. No brackets: httpx fails at
/// its first request where there are some.
const BYPASS: &str = "localhost,127.0.0.1,::1,127.0.0.0/8";
pub(in crate::command) const WGETRC: &str = "SYSTEM_WGETRC";
pub(in crate::command) const JVM_OPTIONS: &str = "JAVA_TOOL_OPTIONS";
const JVM_BYPASS: &str = "localhost|127.*|[::1]";
const GITHUB: &str = "github.com";
/// Any user name will do beside a token.
const USER: &str = "x";
/// Most settings of git that are taken over.
const MAX_SETTINGS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Everything that clients are told, where these variables are there already.
    fn told(gate: &Gate<'_>, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let variables = gate.variables(&|name| inherited.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()));
        let names: BTreeSet<_> = variables.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names.len(), variables.len(), "each name once");
        variables.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect()
    }

    fn gate<'a>(proxy: &'a Proxy, github: &'a [Name], token: Option<&'a Secret>) -> Gate<'a> {
        Gate {
            proxy,
            bundle: Path::new("/run/ca/bundle.pem"),
            key_store: Some(Path::new("/run/ca/bundle.p12")),
            wgetrc: None,
            github,
            token,
        }
    }

    fn name(host: &str) -> Name {
        Host::parse(host.as_bytes()).unwrap().name().unwrap().clone()
    }

    #[test]
    fn every_client_is_told_where_the_proxy_is_and_whom_to_trust() {
        let proxy = Proxy::parse("http://127.0.0.1:3128").unwrap();
        let told = told(&gate(&proxy, &[], None), &[]);
        for name in ["http_proxy", "HTTPS_PROXY", "grpc_proxy", "npm_config_https_proxy", "YARN_HTTP_PROXY", "GLOBAL_AGENT_HTTPS_PROXY"] {
            assert_eq!(told[name], "http://127.0.0.1:3128", "{name}");
        }
        for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] {
            assert_eq!(told[name], "/run/ca/bundle.pem", "{name}");
        }
        assert_eq!((&*told["CLOUDSDK_PROXY_ADDRESS"], &*told["CLOUDSDK_PROXY_PORT"]), ("127.0.0.1", "3128"));
        assert_eq!(told["NODE_USE_ENV_PROXY"], "1");
        assert!(!told.keys().any(|name| name.eq_ignore_ascii_case("all_proxy")));
        assert!(!told.contains_key("GH_TOKEN"));
        assert_eq!(
            told["JAVA_TOOL_OPTIONS"],
            "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128 \
             -Dhttp.nonProxyHosts=localhost|127.*|[::1] -Djavax.net.ssl.trustStoreType=pkcs12 -Djavax.net.ssl.trustStore=/run/ca/bundle.p12"
        );
    }

    #[test]
    fn exceptions_from_the_proxy_are_this_machine_and_no_caller_s() {
        let proxy = Proxy::parse("http://127.0.0.1:3128").unwrap();
        let told = told(&gate(&proxy, &[], None), &[("NO_PROXY", "*"), ("no_proxy", ".corp.example")]);
        for name in ["NO_PROXY", "no_proxy", "no_grpc_proxy", "npm_config_noproxy", "GLOBAL_AGENT_NO_PROXY"] {
            for exception in told[name].split(',') {
                let address = exception.trim_end_matches("/8");
                let loops_back = address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                assert!(exception == "localhost" || loops_back || exception == "127.0.0.0/8", "{name}: {exception}");
            }
        }
    }

    #[test]
    fn a_token_that_the_proxy_asks_for_stands_in_its_url_and_nowhere_by_halves() {
        let token = Secret::new("a/b@c:d");
        let proxy = Proxy::new(Destination::parse(b"[::1]:3128", None).unwrap()).showing(&token);
        let told = told(&gate(&proxy, &[], Some(&token)), &[]);
        assert_eq!(told["https_proxy"], "http://x:a%2Fb%40c%3Ad@[::1]:3128");
        assert!(told["JAVA_TOOL_OPTIONS"].starts_with("-Dhttp.proxyHost=::1 "), "{}", told["JAVA_TOOL_OPTIONS"]);
        assert!(!told.keys().any(|name| name.starts_with("CLOUDSDK_PROXY")));
        assert!(!format!("{proxy:?}").contains("a%2F"));
        let parsed = Proxy::parse(&told["https_proxy"]).unwrap();
        assert_eq!(parsed.url(), told["https_proxy"]);
        // x:a/b@c:d
        assert_eq!(parsed.authorization().unwrap().expose(), b"Basic eDphL2JAYzpk");
    }

    #[test]
    fn urls_of_no_proxy() {
        for url in [
            "",
            "127.0.0.1:3128",
            "https://p.example:3128",
            "socks5://p.example:1",
            "http://",
            "http://p.example/x",
            "http://p.example?x",
            "http://p.example:0",
        ] {
            assert!(Proxy::parse(url).is_none(), "{url}");
        }
        assert_eq!(Proxy::parse("http://p.example/").unwrap().url(), "http://p.example:80");
    }

    #[test]
    fn options_of_the_jvm_stay_before_ours_and_ours_come_once() {
        let proxy = Proxy::parse("http://127.0.0.1:3128").unwrap();
        let gate = gate(&proxy, &[], None);
        let ours = &told(&gate, &[])[JVM_OPTIONS];
        let both = told(&gate, &[(JVM_OPTIONS, "-Xmx1g")])[JVM_OPTIONS].clone();
        assert_eq!(both, format!("-Xmx1g {ours}"));
        assert_eq!(told(&gate, &[(JVM_OPTIONS, &both)])[JVM_OPTIONS], both);
        assert_eq!(told(&gate, &[(JVM_OPTIONS, "")])[JVM_OPTIONS], *ours);
        let odd = Gate { key_store: Some(Path::new("/a b/it's")), ..gate };
        assert!(told(&odd, &[])[JVM_OPTIONS].ends_with("-Djavax.net.ssl.trustStore='/a b/it'\"'\"'s'"));
    }

    #[test]
    fn nobody_s_own_wgetrc_is_replaced() {
        let proxy = Proxy::parse("http://127.0.0.1:3128").unwrap();
        let gate = Gate { wgetrc: Some(Path::new("/run/ca/wgetrc")), ..gate(&proxy, &[], None) };
        assert_eq!(told(&gate, &[])[WGETRC], "/run/ca/wgetrc");
        assert!(!told(&gate, &[(WGETRC, "/home/a/wgetrc")]).contains_key(WGETRC));
    }

    #[test]
    fn settings_of_git_follow_the_caller_s_own() {
        let proxy = Proxy::parse("http://127.0.0.1:3128").unwrap();
        let names = [name("ghe.example"), name("github.com")];
        let inherited = [
            ("GIT_CONFIG_COUNT", "3"),
            ("GIT_CONFIG_KEY_0", "user.name"),
            ("GIT_CONFIG_VALUE_0", "a"),
            // Its value was taken out.
            ("GIT_CONFIG_KEY_1", "http.extraHeader"),
            ("GIT_CONFIG_KEY_2", "url.https://github.com/.insteadOf"),
            ("GIT_CONFIG_VALUE_2", "git@github.com:"),
        ];
        let told = told(&gate(&proxy, &names, None), &inherited);
        let setting =
            |number: usize| format!("{}={}", told[&format!("GIT_CONFIG_KEY_{number}")], told[&format!("GIT_CONFIG_VALUE_{number}")]);
        let count: usize = told["GIT_CONFIG_COUNT"].parse().unwrap();
        assert_eq!(
            (0..count).map(setting).collect::<Vec<_>>(),
            [
                "user.name=a",
                "url.https://github.com/.insteadOf=git@github.com:",
                "url.https://github.com/.insteadOf=ssh://git@github.com/",
                "url.https://ghe.example/.insteadOf=git@ghe.example:",
                "url.https://ghe.example/.insteadOf=ssh://git@ghe.example/",
            ]
        );
    }

    #[test]
    fn gh_shows_the_session_s_token_where_a_github_is_granted() {
        let (proxy, token) = (Proxy::parse("http://127.0.0.1:3128").unwrap(), Secret::new("session-token"));
        let gh = |hosts: &[&str]| {
            let names: Vec<_> = hosts.iter().copied().map(name).collect();
            let told = told(&gate(&proxy, &names, Some(&token)), &[("GH_TOKEN", "real")]);
            ["GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GH_HOST"].map(|name| told.get(name).cloned().unwrap_or_default())
        };
        assert_eq!(gh(&[]), ["", "", ""]);
        assert_eq!(gh(&["github.com"]), ["session-token", "", ""]);
        assert_eq!(gh(&["git.localhost"]), ["session-token", "session-token", "git.localhost"]);
        assert_eq!(gh(&["github.com", "ghe.example"]), ["session-token", "session-token", ""]);
    }
}
