//! Where a caller's credentials lie. The settings of agents (`~/.claude`, `~/.codex`) are none: COMMAND needs them to run.

use std::{env, ffi::OsString, fs, path::PathBuf};

use rustix::process::getuid;

/// Below `$HOME`.
const HOME: &[&str] = &[
    ".aws",                               // keys and sessions of the AWS CLI
    ".azure",                             // tokens of az
    ".boto",                              // keys of gsutil and older AWS libraries
    ".bundle/config",                     // passwords of gem sources
    ".cache/huggingface/token",           // Hugging Face
    ".cargo/credentials",                 // tokens of registries, as older cargos name the file
    ".cargo/credentials.toml",            // tokens of registries
    ".composer/auth.json",                // tokens of PHP repositories
    ".databrickscfg",                     // Databricks
    ".docker",                            // registry passwords, and the way to a daemon elsewhere
    ".fly",                               // fly.io
    ".gem/credentials",                   // RubyGems
    ".git-credentials",                   // git's credential store
    ".gnupg",                             // secret keys, and the agent's sockets
    ".gradle/gradle.properties",          // passwords of repositories
    ".hgrc",                              // passwords of Mercurial servers
    ".ivy2/.credentials",                 // passwords of repositories
    ".kube",                              // certificates and tokens of clusters
    ".local/share/keyrings",              // GNOME's passwords
    ".local/share/kwalletd",              // KDE's passwords
    ".m2/settings-security.xml",          // Maven's master password
    ".m2/settings.xml",                   // passwords of repositories
    ".mozilla",                           // Firefox: cookies and passwords
    ".my.cnf",                            // MySQL
    ".mylogin.cnf",                       // MySQL
    ".netrc",                             // curl, git, pip and others
    ".npmrc",                             // tokens of registries
    ".nuget/NuGet/NuGet.Config",          // passwords of feeds
    ".oci",                               // Oracle Cloud
    ".password-store",                    // pass
    ".pgpass",                            // PostgreSQL
    ".pki",                               // Chromium's certificates with their keys
    ".pulumi/credentials.json",           // Pulumi
    ".pypirc",                            // twine
    ".s3cfg",                             // s3cmd
    ".ssh",                               // keys, and the names of other machines
    ".subversion/auth",                   // Subversion
    ".terraform.d/credentials.tfrc.json", // Terraform Cloud
    ".terraformrc",                       // the same, by hand
    ".vault-token",                       // Vault
    ".yarnrc.yml",                        // tokens of registries
    ".Xauthority",                        // the screen and keyboard
];

/// Below `$XDG_CONFIG_HOME`, which is `~/.config` by default.
const CONFIG: &[&str] = &[
    "chromium",             // cookies and passwords
    "composer/auth.json",   // tokens of PHP repositories
    "containers/auth.json", // registry passwords of podman
    "doctl",                // DigitalOcean
    "gcloud",               // Google Cloud
    "gh",                   // GitHub's CLI
    "git/credentials",      // git's credential store
    "github-copilot",       // GitHub, for editors
    "glab-cli",             // GitLab's CLI
    "google-chrome",        // cookies and passwords
    "hcloud",               // Hetzner Cloud
    "hub",                  // GitHub's former CLI
    "op",                   // 1Password
    "rclone",               // keys of every storage it knows
    "sops",                 // age keys
];

/// Variables that say where such a place is instead; some may name several.
const VARIABLES: &[&str] = &[
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AZURE_CONFIG_DIR",
    "CLOUDSDK_CONFIG",
    "DOCKER_CONFIG",
    "GH_CONFIG_DIR",
    "GNUPGHOME",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HF_TOKEN_PATH",
    "KUBECONFIG",
    "NETRC",
    "NPM_CONFIG_USERCONFIG",
    "PGPASSFILE",
    "REGISTRY_AUTH_FILE",
    "TF_CLI_CONFIG_FILE",
    "XAUTHORITY",
    "npm_config_userconfig",
];

/// The places where the caller whose environment this is may have credentials, whether there are any or not; below `homes` too, to which
/// `$HOME` need not lead.
pub(crate) fn credentials(variable: impl Fn(&str) -> Option<OsString>, homes: Vec<PathBuf>) -> Vec<PathBuf> {
    let directory = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below = |above: &[PathBuf], names: &[&str]| -> Vec<PathBuf> {
        above.iter().flat_map(|above| names.iter().map(move |name| above.join(name))).collect()
    };
    let homes: Vec<_> = directory("HOME").into_iter().chain(homes).collect();
    let configs: Vec<_> = directory("XDG_CONFIG_HOME").into_iter().chain(homes.iter().map(|home| home.join(".config"))).collect();
    let cargo: Vec<_> = directory("CARGO_HOME").into_iter().collect();
    let named = VARIABLES.iter().filter_map(|name| variable(name));
    let named = named.flat_map(|value| env::split_paths(&value).collect::<Vec<_>>()).filter(|path| path.is_absolute());
    let cargo = below(&cargo, &["credentials", "credentials.toml"]);
    below(&homes, HOME).into_iter().chain(below(&configs, CONFIG)).chain(cargo).chain(named).collect()
}

/// The homes that this user has by the system's list of users, whatever the environment says; for root, who may read them, everybody's.
pub(crate) fn homes() -> Vec<PathBuf> {
    let users = fs::read("/etc/passwd").unwrap_or_default();
    homes_of(getuid().as_raw(), &String::from_utf8_lossy(&users)).into_iter().filter(|home| home.is_dir()).collect()
}

fn homes_of(uid: u32, users: &str) -> Vec<PathBuf> {
    let mut homes: Vec<_> = users
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let user: u32 = fields.next()?.parse().ok()?;
            let home = PathBuf::from(fields.nth(2)?);
            (home.is_absolute() && (uid == 0 || user == uid)).then_some(home)
        })
        .collect();
    homes.sort();
    homes.dedup();
    homes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<PathBuf> {
        credentials(|name| variables.iter().find(|(given, _)| *given == name).map(|(_, value)| value.into()), Vec::new())
    }

    #[test]
    fn credentials_lie_where_the_environment_says() {
        assert_eq!(found(&[]), Vec::<PathBuf>::new());
        let paths = found(&[("HOME", "/home/a")]);
        for path in ["/home/a/.ssh", "/home/a/.config/gh", "/home/a/.netrc", "/home/a/.cargo/credentials.toml"] {
            assert!(paths.contains(&path.into()), "{path}");
        }
        assert!(!paths.iter().any(|path| PathBuf::from("/home/a/.claude").starts_with(path)));
        let elsewhere =
            [("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/c"), ("CARGO_HOME", "/r"), ("KUBECONFIG", "/k/one:/k/two"), ("NETRC", "n")];
        let paths = found(&elsewhere);
        for path in ["/home/a/.ssh", "/c/gh", "/r/credentials.toml", "/k/one", "/k/two"] {
            assert!(paths.contains(&path.into()), "{path}");
        }
        assert!(!paths.contains(&"n".into()));
    }

    #[test]
    fn a_home_is_known_without_the_environment() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nmail:x:8:8::/var/mail:\nann:x:1000:1000:Ann,,,:/home/a:/bin/sh\n+::::::\nbroken\nb:x:1001::\n";
        assert_eq!(homes_of(1000, users), [PathBuf::from("/home/a")]);
        assert_eq!(homes_of(0, users), ["/home/a", "/root", "/var/mail"].map(PathBuf::from));
        assert_eq!(homes_of(4242, users), Vec::<PathBuf>::new());
        let paths = credentials(|_| None, homes_of(1000, users));
        assert!(paths.contains(&"/home/a/.ssh".into()) && paths.contains(&"/home/a/.config/gh".into()));
    }
}
