//! From the caller's environment to COMMAND's: what leads to a credential, or around the gate, stays outside.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    sync::Arc,
};

use crate::{
    credentials::read_line,
    secret::Secret,
    wire::secrets::{Found, Known, TooMany},
};

/// An environment without what COMMAND is not to have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scrubbed {
    pub(crate) kept: Vec<(OsString, OsString)>,
    /// In the order of the environment.
    pub(crate) lost: Vec<Lost>,
}

/// A variable that was taken out. Displayed as `NAME: why`; its value is nowhere in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    name: OsString,
    why: &'static str,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.display(), self.why)
    }
}

/// Takes out every variable that is named below, every one that holds a token of a known shape, and every one that holds one of the
/// real credentials (`held`), whether a policy names that variable or not. What is left is as it was.
///
/// # Errors
/// [`TooMany`]: then nothing can be said of any value.
pub(crate) fn scrub(inherited: impl IntoIterator<Item = (OsString, OsString)>, held: &[Arc<Secret>]) -> Result<Scrubbed, TooMany> {
    let known = Arc::new(Known::new(held.iter().map(|secret| secret.expose()))?);
    let is_held = |value: &OsStr| read_line(value.as_bytes()).is_some_and(|value| held.iter().any(|held| held.expose() == value.expose()));
    let mut scrubbed = Scrubbed { kept: Vec::new(), lost: Vec::new() };
    for (name, value) in inherited {
        let why = why_by_name(&name)
            .or_else(|| is_held(&value).then_some(HELD))
            .or_else(|| known.find(value.as_bytes()).map(|found| if found == Found::Held { HELD } else { SHAPED }));
        match why {
            Some(why) => scrubbed.lost.push(Lost { name, why }),
            None => scrubbed.kept.push((name, value)),
        }
    }
    Ok(scrubbed)
}

fn why_by_name(name: &OsStr) -> Option<&'static str> {
    // Proxies are named in both cases.
    let upper = name.as_bytes().to_ascii_uppercase();
    let row = TABLE.iter().find(|(_, names)| names.iter().any(|pattern| matches(pattern.as_bytes(), &upper)));
    row.map(|(why, _)| *why)
}

/// Whether a name is this one; a star at the beginning or the end of it stands for anything.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [b'*', end @ ..] => name.ends_with(end),
        [begin @ .., b'*'] => name.starts_with(begin),
        whole => name == whole,
    }
}

/// Why which variables are taken out; in upper case, for names of any.
const TABLE: &[(&str, &[&str])] = &[
    (
        "a credential for GitHub, or the way to one",
        &[
            "GH_TOKEN",
            "GITHUB_TOKEN",
            "GH_ENTERPRISE_TOKEN",
            "GITHUB_ENTERPRISE_TOKEN",
            "GITHUB_PAT",
            "GITHUB_API_TOKEN",
            "HOMEBREW_GITHUB_API_TOKEN",
            "GITHUB_OAUTH_TOKEN",
            "COMPOSER_AUTH",
            "GH_CONFIG_DIR",
            "ACTIONS_RUNTIME_TOKEN",
            "ACTIONS_ID_TOKEN_*",
        ],
    ),
    (
        "the way to a program of the caller's that acts for whoever asks it",
        &[
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "GPG_AGENT_INFO",
            "GNOME_KEYRING_*",
            "DBUS_*",
            "DOCKER_HOST",
            "CONTAINER_HOST",
            "BUILDKIT_HOST",
            "CONTAINERD_ADDRESS",
            "TMUX",
            "TMUX_PANE",
            "DISPLAY",
            "WAYLAND_*",
            "XAUTHORITY",
            "PULSE_SERVER",
            "VSCODE_IPC_*",
            "VSCODE_GIT_*",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "JOURNAL_STREAM",
        ],
    ),
    ("a program that is asked for passwords", &["GIT_ASKPASS", "SSH_ASKPASS", "SUDO_ASKPASS", "SSH_ASKPASS_REQUIRE"]),
    (
        "a credential for a cloud, or the way to one",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_SECURITY_TOKEN",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_CONFIG_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_*",
            "AWS_BEARER_TOKEN_*",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_CREDENTIALS",
            "GOOGLE_OAUTH_ACCESS_TOKEN",
            "CLOUDSDK_AUTH_*",
            "CLOUDSDK_CONFIG",
            "AZURE_CLIENT_SECRET",
            "AZURE_CLIENT_CERTIFICATE_*",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_PASSWORD",
            "AZURE_CONFIG_DIR",
            "ARM_CLIENT_SECRET",
            "ARM_ACCESS_KEY",
            "IDENTITY_HEADER",
            "MSI_SECRET",
            "DIGITALOCEAN_ACCESS_TOKEN",
            "CLOUDFLARE_API_TOKEN",
            "CLOUDFLARE_API_KEY",
            "KUBECONFIG",
            "DOCKER_CONFIG",
            "DOCKER_AUTH_CONFIG",
            "REGISTRY_AUTH_FILE",
            "VAULT_TOKEN",
            "NETRC",
        ],
    ),
    // What exceptions the caller's own proxy has is no reason to go around this one.
    (
        "another proxy than the gate, or exceptions from one",
        &["*_PROXY", "*_NOPROXY", "CLOUDSDK_PROXY_*", "NODE_USE_ENV_PROXY", "ELECTRON_GET_USE_PROXY"],
    ),
    ("of the proxy itself", &["TIDEGATE_*"]),
];

const HELD: &str = "it holds a real credential";
const SHAPED: &str = "it holds a token or key of a known shape";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn held(secrets: &[&str]) -> Vec<Arc<Secret>> {
        secrets.iter().map(|secret| Arc::new(Secret::new(secret.as_bytes()))).collect()
    }

    #[test]
    fn what_leads_to_a_credential_or_around_the_gate_is_lost_by_its_name() {
        for name in [
            "GH_TOKEN",
            "GITHUB_TOKEN",
            "GITHUB_ENTERPRISE_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "SSH_AUTH_SOCK",
            "DBUS_SESSION_BUS_ADDRESS",
            "DBUS_SYSTEM_BUS_ADDRESS",
            "DOCKER_HOST",
            "GIT_ASKPASS",
            "AWS_SECRET_ACCESS_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "https_proxy",
            "HTTPS_PROXY",
            "No_Proxy",
            "all_proxy",
            "npm_config_noproxy",
            "GLOBAL_AGENT_HTTP_PROXY",
            "CLOUDSDK_PROXY_PASSWORD",
            "TIDEGATE_SESSION_TOKEN",
            "TIDEGATE_LOG",
        ] {
            let scrubbed = scrub(environment(&[(name, "x")]), &[]).unwrap();
            assert_eq!((scrubbed.kept.as_slice(), scrubbed.lost.len()), (&[][..], 1), "{name}");
        }
    }

    #[test]
    fn what_work_needs_stays_as_it_is() {
        let ordinary = environment(&[
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/home/a"),
            ("LANG", "C.UTF-8"),
            ("TERM", "xterm-256color"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("GOPROXY", "https://proxy.example"),
            ("GITHUB_ACTIONS", "true"),
            ("AWS_REGION", "eu-central-1"),
            ("JAVA_TOOL_OPTIONS", "-Xmx1g"),
            ("SSL_CERT_FILE", "/etc/roots.pem"),
            ("DISPLAYED", "1"),
            ("EMPTY", ""),
            ("", "nameless"),
        ]);
        let expected = Scrubbed { kept: ordinary.clone(), lost: Vec::new() };
        assert_eq!(scrub(ordinary, &held(&["", "no-such-credential"])).unwrap(), expected);
    }

    #[test]
    fn what_holds_a_secret_is_lost_whatever_its_name() {
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("x-access-token:{TOKEN}"));
        let inherited = environment(&[
            ("HARMLESS", TOKEN),
            ("GIT_CONFIG_VALUE_0", &format!("Authorization: basic {basic}")),
            ("REGISTRY", "https://user:real-credential-1@registry.example/"),
            ("SHORT", "pin-42"),
            ("NAMED_BY_A_POLICY", "pin-42\n"),
            ("LONGER", "pin-421"),
            ("KEPT", "real-credential"),
        ]);
        let scrubbed = scrub(inherited, &held(&["real-credential-1", "pin-42"])).unwrap();
        assert_eq!(scrubbed.kept, environment(&[("LONGER", "pin-421"), ("KEPT", "real-credential")]));
        let lost: Vec<_> = scrubbed.lost.iter().map(ToString::to_string).collect();
        assert_eq!(
            lost,
            [
                "HARMLESS: it holds a token or key of a known shape",
                "GIT_CONFIG_VALUE_0: it holds a token or key of a known shape",
                "REGISTRY: it holds a real credential",
                "SHORT: it holds a real credential",
                "NAMED_BY_A_POLICY: it holds a real credential",
            ]
        );
        assert!(!format!("{:?}", scrubbed.lost).contains("real-credential"));
    }

    proptest! {
        #[test]
        fn nothing_that_holds_a_credential_is_kept(before in "[ -~]{0,9}", after in "[ -~]{0,9}", other in "[ -~]{0,20}") {
            let inherited = environment(&[("A", &format!("{before}real-credential-1{after}")), ("B", &other)]);
            let scrubbed = scrub(inherited, &held(&["real-credential-1"])).unwrap();
            prop_assert!(scrubbed.kept.iter().all(|(name, _)| name == "B"), "{:?}", scrubbed.kept);
            prop_assert_eq!(scrubbed.kept.len() + scrubbed.lost.len(), 2);
        }
    }

    #[test]
    fn every_name_is_in_the_case_that_is_compared() {
        let names = TABLE.iter().flat_map(|(_, names)| names.iter());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'*')), "{name}");
        }
    }
}
