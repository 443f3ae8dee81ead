//! Real clients behind walls, as root and as an ordinary user: with the variables that lead to the proxy, and without any.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    harness::{
        callers::{Caller, callers},
        program::{Ran, run},
    },
    npm_registry, opened,
};

/// What stands before a client in the two ways that it comes to Tidegate.
const WAYS: &[&str] = &["", "for name in $(env | cut -d= -f1 | grep -i proxy); do unset $name; done;"];

/// Runs a client at the level `trusted`, each way by each caller; `check` says what is wrong.
#[track_caller]
fn each(client: &str, check: impl Fn(&Ran) -> bool) {
    each_under("access = \"trusted\"", &npm_registry(), client, check);
}

/// The same under a policy, by which this host may be a mirror.
#[track_caller]
pub(crate) fn each_under(policy: &str, host: &str, client: &str, check: impl Fn(&Ran) -> bool) {
    for caller in callers() {
        caller.write("policy.toml", &opened(policy, host));
        for way in WAYS {
            let ran = inside(&caller, &format!("{way} rm -rf out; mkdir out && cd out && {client}"));
            assert!(ran.success && check(&ran), "as user {}: {way}: {}", caller.uid(), ran.said);
            assert!(!ran.said.contains("tidegate: refused"), "{}", ran.said);
        }
    }
}

fn inside(caller: &Caller, script: &str) -> Ran {
    run(&mut caller.tidegate(&["--policy", "policy.toml", "--", "sh", "-c", script]), "what the client comes with")
}

#[test]
fn pip_downloads_inside() {
    each("python3 -m pip --no-cache-dir --disable-pip-version-check --retries 1 download --no-deps six && ls", |ran| {
        ran.stdout.lines().any(|line| line.starts_with("six-"))
    });
}

#[test]
fn npm_views_inside() {
    each("npm view react version --fetch-retries 0 --cache cache", |ran| ran.stdout.trim().split('.').count() == 3);
}

/// The toolchain may lie where only root comes to.
#[test]
fn cargo_resolves_inside() {
    let cargo = fs::read(env!("CARGO")).unwrap();
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let program = place.path().join("cargo");
    fs::write(&program, cargo).unwrap();
    for path in [place.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let client = format!(
        "mkdir src && touch src/lib.rs && printf '[package]\\nname = \"user\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\n\
         itoa = \"1\"\\n' > Cargo.toml && CARGO_HOME=$PWD/home {} generate-lockfile && cat Cargo.lock",
        program.display()
    );
    each(&client, |ran| ran.stdout.contains("name = \"itoa\""));
}

#[test]
fn curl_is_refused_inside() {
    for caller in callers() {
        for way in WAYS {
            let ran = run(&mut caller.tidegate(&["--", "sh", "-c", &format!("{way} curl -sS -m 20 https://example.org")]), "curl");
            assert!(!ran.success, "{}", ran.said);
            // Without the variables it is the name that is refused, and not the connection.
            let told = ran.said.lines().find(|line| line.starts_with("tidegate: refused")).unwrap_or_default();
            assert!(told.contains(": example.org") && told.ends_with(TOLD), "{}", ran.said);
        }
    }
}

const TOLD: &str = "(host_not_allowed); to allow it: --allow 'example.org'";
