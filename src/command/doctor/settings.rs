//! What clients in here were told about proxies and roots: by variables, and by files of their own. Texts in, settings out; whether any
//! of it is right is for `judge`.

use std::path::{Path, PathBuf};

use crate::{
    command::env::variables::{JVM_OPTIONS, Proxy, TABLE, Value, WGETRC},
    destination::{Destination, Host},
};

/// One thing that clients were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The variable, or the file and line.
    pub(super) place: String,
    pub(super) says: Says,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// Where a proxy is; `None` where that is no `http://HOST:PORT`.
    Proxy(Option<Proxy>),
    /// Where a proxy for every protocol is: SOCKS; `None` where that is none that can be asked.
    Socks(Option<Destination>),
    /// To ask no proxy at all.
    NoProxy,
    /// What is reached without a proxy, one host or network each.
    Bypass(Vec<String>),
    /// Whom to trust, in PEM; and in a form of the JVM's.
    Bundle(PathBuf),
    KeyStore(PathBuf),
    /// That variables are not to be looked at.
    Off,
    /// To speak SSH to a host, which is written here, where somebody wrote HTTPS.
    Ssh(String),
}

/// All that clients were told, and which variables that would lead them are not set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) settings: Vec<Setting>,
    /// Of those that lead to the proxy, and of those that say whom to trust.
    pub(super) unled: Vec<&'static str>,
    pub(super) untrusting: Vec<&'static str>,
    /// Where git was told to find repositories behind a git door.
    pub(super) git_doors: Vec<Destination>,
}

/// Looks up a variable's value; an empty one counts as none.
pub(super) type Variable<'v> = &'v dyn Fn(&str) -> Option<String>;

impl Told {
    fn say(&mut self, place: impl Into<String>, says: Says) {
        self.settings.push(Setting { place: place.into(), says });
    }

    /// Reads every variable that clients are told by, as `tidegate env` has them, and those that go before them.
    pub(super) fn read_variables(&mut self, variable: Variable<'_>) {
        for (value, names) in TABLE {
            for name in *names {
                match variable(name) {
                    Some(text) => self.read_variable(*value, name, &text),
                    None if *value == Value::Bundle => self.untrusting.push(name),
                    // They come together, or not at all where the proxy asks for a token; others serve in their place.
                    None if matches!(value, Value::Type | Value::Host | Value::Port) => {}
                    None => self.unled.push(name),
                }
            }
        }
        if let Some(host) = variable("CLOUDSDK_PROXY_ADDRESS") {
            let port = variable("CLOUDSDK_PROXY_PORT");
            self.say("CLOUDSDK_PROXY_ADDRESS", Says::Proxy(port.and_then(|port| proxy_at(&host, &port))));
        }
        for name in ["all_proxy", "ALL_PROXY"] {
            if let Some(text) = variable(name) {
                self.say(name, all(&text));
            }
        }
        for name in [JVM_OPTIONS, "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS"] {
            let options = variable(name).unwrap_or_default();
            let leads = self.read_jvm(name, &jvm_properties(&options));
            if name == JVM_OPTIONS && !leads {
                self.unled.push(JVM_OPTIONS);
            }
        }
    }

    fn read_variable(&mut self, value: Value, name: &str, text: &str) {
        match value {
            Value::Proxy => self.say(name, proxy(text)),
            Value::Bypass => self.say(name, bypass(text)),
            Value::Bundle => self.say(name, Says::Bundle(text.into())),
            Value::On if ["1", "true"].contains(&text) => {}
            Value::On => self.say(name, Says::Off),
            Value::Type | Value::Host | Value::Port => {}
        }
    }

    /// Whether it leads the JVM to some proxy.
    fn read_jvm(&mut self, place: &str, properties: &[(String, String)]) -> bool {
        // Of two that say the same the last counts.
        let last = |key: &str| properties.iter().rfind(|(known, _)| known == key).map(|(_, value)| value.as_str());
        for (host, port, usual) in [("http.proxyHost", "http.proxyPort", "80"), ("https.proxyHost", "https.proxyPort", "443")] {
            if let Some(host) = last(host) {
                self.say(place, Says::Proxy(proxy_at(host, last(port).unwrap_or(usual))));
            }
        }
        if let Some(hosts) = last("http.nonProxyHosts") {
            self.say(place, bypass(&hosts.replace('|', ",")));
        }
        if let Some(path) = last("javax.net.ssl.trustStore") {
            self.say(place, Says::KeyStore(path.into()));
        }
        last("https.proxyHost").is_some()
    }

    /// Reads a file of a client's own.
    pub(super) fn read_file(&mut self, client: Client, path: &Path, text: &str, variable: Variable<'_>) {
        if client == Client::Gradle {
            let properties =
                assignments(text).filter_map(|(_, key, value)| Some((key.strip_prefix("systemProp.")?.to_owned(), value.to_owned())));
            self.read_jvm(&path.display().to_string(), &properties.collect::<Vec<_>>());
            return;
        }
        for (line, key, value) in assignments(text) {
            let key: String = key.trim_start_matches('-').to_ascii_lowercase().replace(['-', '_'], "");
            // npm and pip let a variable of their own go before their files.
            let Some((says, before)) = client.read(&key, value) else { continue };
            if before.is_none_or(|before| variable(before).is_none()) {
                self.say(format!("{}:{line}", path.display()), says);
            }
        }
    }

    /// Reads what `git config --list --null --show-origin` printed.
    pub(super) fn read_git(&mut self, printed: &str, variable: Variable<'_>) {
        let mut fields = printed.split('\0');
        while let (Some(origin), Some(setting)) = (fields.next(), fields.next()) {
            let (key, value) = setting.split_once('\n').unwrap_or((setting, ""));
            let place = format!("git's {key} ({})", origin.strip_prefix("file:").unwrap_or("a variable"));
            // The name of a section or key has no case, and what stands between them may have dots.
            let Some((section, name)) = key.split_once('.').zip(key.rsplit_once('.').map(|(_, name)| name)).map(|((s, _), n)| (s, n))
            else {
                continue;
            };
            match (section, name) {
                ("http" | "remote", "proxy") => {
                    self.say(without_secrets(&place), if value.is_empty() { Says::NoProxy } else { proxy(value) });
                }
                ("http", "sslcainfo") if variable("GIT_SSL_CAINFO").is_none() => self.say(place, Says::Bundle(value.into())),
                ("url", "insteadof" | "pushinsteadof") => self.read_instead(key, value, origin),
                _ => {}
            }
        }
    }

    /// `url.BASE.insteadOf = VALUE`.
    fn read_instead(&mut self, key: &str, value: &str, origin: &str) {
        let Some(base) = key.strip_prefix("url.").and_then(|rest| rest.rsplit_once('.')).map(|(base, _)| base) else { return };
        let is_ssh = base.starts_with("ssh://") || (!base.contains("://") && base.contains('@'));
        if is_ssh && value.starts_with("https://") {
            let host = value.trim_start_matches("https://").trim_end_matches('/');
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            self.say(format!("git's insteadOf ({})", origin.strip_prefix("file:").unwrap_or("a variable")), Says::Ssh(host.to_owned()));
        }
        if let Some((authority, path)) = base.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
            let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
            let door = path.starts_with("git").then(|| Destination::parse(authority.as_bytes(), Some(80)).ok()).flatten();
            self.git_doors.extend(door);
        }
    }
}

/// Whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Curl,
    Wget,
    Pip,
    Npm,
    Gradle,
}

impl Client {
    /// Where its files are, those first that it looks at first; of curl's the first that is there is the only one.
    pub(super) fn files(self, variable: Variable<'_>) -> Vec<PathBuf> {
        let below = |name: &str, file: &str| variable(name).map(|directory| Path::new(&directory).join(file));
        let or = |named: Option<String>, usual: Option<PathBuf>| named.map(PathBuf::from).or(usual);
        let configured = |file: &str| below("XDG_CONFIG_HOME", file).or_else(|| below("HOME", &format!(".config/{file}")));
        let found = match self {
            Self::Curl => vec![below("CURL_HOME", ".curlrc"), below("XDG_CONFIG_HOME", ".curlrc"), below("HOME", ".curlrc")],
            Self::Wget => {
                vec![or(variable(WGETRC), Some("/etc/wgetrc".into())), or(variable("WGETRC"), below("HOME", ".wgetrc"))]
            }
            Self::Pip => {
                let own = or(variable("PIP_CONFIG_FILE"), None);
                vec![own, configured("pip/pip.conf"), below("HOME", ".pip/pip.conf"), Some("/etc/pip.conf".into())]
            }
            Self::Npm => vec![Some(".npmrc".into()), or(variable("npm_config_userconfig"), below("HOME", ".npmrc"))],
            Self::Gradle => {
                let home = below("GRADLE_USER_HOME", "gradle.properties").or_else(|| below("HOME", ".gradle/gradle.properties"));
                vec![home, Some("gradle.properties".into())]
            }
        };
        found.into_iter().flatten().collect()
    }

    /// What one of its keys says, and which variable goes before it.
    fn read(self, key: &str, value: &str) -> Option<(Says, Option<&'static str>)> {
        let said = match (self, key) {
            (Self::Curl, "proxy" | "x") if value.is_empty() => (Says::NoProxy, None),
            (Self::Wget, "useproxy") if ["off", "0", "no"].contains(&value.to_ascii_lowercase().as_str()) => (Says::NoProxy, None),
            (Self::Curl, "proxy" | "x") | (Self::Wget, "httpproxy" | "httpsproxy") => (proxy(value), None),
            (Self::Pip, "proxy") => (proxy(value), Some("PIP_PROXY")),
            (Self::Npm, "proxy") => (proxy(value), Some("npm_config_proxy")),
            (Self::Npm, "httpsproxy") => (proxy(value), Some("npm_config_https_proxy")),
            (Self::Curl | Self::Wget, "noproxy") => (bypass(value), None),
            (Self::Npm, "noproxy") => (bypass(value), Some("npm_config_noproxy")),
            (Self::Curl, "cacert") | (Self::Wget, "cacertificate") => (Says::Bundle(value.into()), None),
            (Self::Pip, "cert") => (Says::Bundle(value.into()), Some("PIP_CERT")),
            (Self::Npm, "cafile") => (Says::Bundle(value.into()), Some("npm_config_cafile")),
            (Self::Curl | Self::Wget | Self::Pip | Self::Npm | Self::Gradle, _) => return None,
        };
        Some(said)
    }
}

impl Client {
    pub(super) const ALL: [Self; 5] = [Self::Curl, Self::Wget, Self::Pip, Self::Npm, Self::Gradle];
}

/// The lines of a text that give something a value: their numbers, keys and values. One way of reading for every client's file.
fn assignments(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.starts_with(['#', ';', '!', '[']));
    lines.filter_map(|(line, number)| {
        let (key, rest) = line.split_at_checked(line.find(|c: char| c == '=' || c == ':' || c.is_whitespace())?)?;
        let value = rest.trim_start_matches(|c: char| c.is_whitespace()).trim_start_matches(['=', ':']).trim();
        let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Some((number, key, unquoted.unwrap_or(value)))
    })
}

/// The `-Dkey=value` of options of the JVM, in which blanks part words and quotes hold them together.
fn jvm_properties(options: &str) -> Vec<(String, String)> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in options.chars() {
        match (quote, words.last_mut()) {
            (Some(open), _) if c == open => quote = None,
            (None, _) if c == '"' || c == '\'' => quote = Some(c),
            (None, _) if c.is_whitespace() => words.push(String::new()),
            (_, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    let properties = words.iter().filter_map(|word| word.strip_prefix("-D")?.split_once('='));
    properties.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn proxy(text: &str) -> Says {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Says::Proxy(Proxy::parse(&url))
}

fn proxy_at(host: &str, port: &str) -> Option<Proxy> {
    Host::parse(host.as_bytes()).or_else(|_| Host::parse(format!("[{host}]").as_bytes())).ok().and_then(|host| {
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Proxy::new(Destination { host, port }))
    })
}

/// `ALL_PROXY`, which most take for SOCKS and some for any.
fn all(text: &str) -> Says {
    let Some(rest) =
        ["socks5h://", "socks5://", "socks4a://", "socks4://", "socks://"].iter().find_map(|scheme| text.strip_prefix(*scheme))
    else {
        return proxy(text);
    };
    let authority = rest.rsplit_once('@').map_or(rest, |(_, authority)| authority).trim_end_matches('/');
    Says::Socks(Destination::parse(authority.as_bytes(), Some(1080)).ok())
}

fn bypass(text: &str) -> Says {
    let exceptions = text.split([',', ' ']).map(str::trim).filter(|exception| !exception.is_empty());
    Says::Bypass(exceptions.map(str::to_owned).collect())
}

/// A key of git's with a URL in it, whose user and password are left out.
fn without_secrets(place: &str) -> String {
    match (place.find("://"), place.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}{}", &place[..scheme + 3], &place[at + 1..]),
        _ => place.to_owned(),
    }
}
