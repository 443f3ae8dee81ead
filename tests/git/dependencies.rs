//! Dependencies by git (G-78): package managers fetch what is granted, by the variables of `tidegate env` and nothing else, and name what is not.

use crate::harness::{Plan, World};

/// `octo/parts` may be read.
const GRANTS: &str = "[[session.repository]]\nname = \"octo/parts\"\naccess = \"read\"\n";

/// One repository that is a package of every manager.
const PARTS: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"parts\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
    ("src/lib.rs", "//! Parts.\n"),
    ("package.json", "{\"name\": \"parts\", \"version\": \"1.0.0\", \"main\": \"index.js\"}\n"),
    ("index.js", "module.exports = 'parts';\n"),
    ("pyproject.toml", "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n"),
    ("backend.py", BACKEND),
    ("parts.py", "NAME = 'parts'\n"),
    ("go.mod", "module github.com/octo/parts\n\ngo 1.18\n"),
    ("parts.go", "package parts\n"),
];

/// A build of a wheel (PEP 517) that needs no other package.
const BACKEND: &str = r#"
import zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "parts-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.write("parts.py")
        info = "parts-1.0.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: parts\nVersion: 1.0.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"#;

#[track_caller]
fn world() -> World {
    let github = "codeload_url = \"{HUB}/codeload\"\nraw_url = \"{HUB}/raw\"\n";
    let world = World::of(&Plan { grants: GRANTS, host: "github.com", github, ..Plan::default() });
    world.hub.add("octo/parts", PARTS, &[]);
    world
}

/// Runs a script that fetches `$1/parts`, which has to show `shows`, and the same for `octo/secret`, which has to say by its name that
/// it is not granted.
#[track_caller]
fn fetched(world: &World, script: &str, shows: &str, url: &str) {
    let ask = |repository: &str| world.told(&["sh", "-euc", script, "sh", &url.replace("REPOSITORY", repository)]);
    let done = ask("octo/parts");
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert!(done.out.contains(shows), "{}{}", done.out, done.err);
    let record = world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["verdict"] == "allow");
    assert_eq!([&record["repository"], &record["door"]], ["octo/parts", "proxy"], "{record:#}");
    let refused = ask("octo/secret");
    assert!(refused.code.is_some_and(|code| code != 0), "{}{}", refused.out, refused.err);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(said.contains("octo/secret"), "{said}");
    let record = world.gate().wait_for_record(|record| record["reason"] == "repository_not_granted");
    assert_eq!([&record["repository"], &record["verdict"]], ["octo/secret", "deny"], "{record:#}");
    assert!(world.hub.seen().iter().all(|seen| !seen.target.contains("secret")), "nothing of it was asked for");
}

/// `$CARGO` is the one that built this test: a rustup in its place would look into another home for a toolchain.
const CARGO: &str = concat!(
    "rm -rf use && mkdir -p use/src && cd use && echo 'fn main() {}' > src/main.rs
    printf '[package]\\nname = \"use\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\n%s = { git = \"%s\" }\\n' \"${1##*/}\" \"$1\" > Cargo.toml
    export CARGO_HOME=\"$HOME/cargo\"
    ",
    env!("CARGO"),
    " fetch && grep '^source = ' Cargo.lock"
);

#[test]
fn cargo_by_its_own_git() {
    let world = world();
    fetched(&world, CARGO, "git+https://github.com/octo/parts#", "https://github.com/REPOSITORY");
    let asked = world.hub.seen().into_iter().find(|seen| seen.target.ends_with("/git-upload-pack")).unwrap();
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("git/")), "{asked:#?}");
    world.finish();
}

#[test]
fn cargo_by_the_git_of_the_machine() {
    for url in ["https://github.com/REPOSITORY", "ssh://git@github.com/REPOSITORY"] {
        let world = world();
        let script = format!("export CARGO_NET_GIT_FETCH_WITH_CLI=true\n{CARGO}");
        let source = format!("git+{}#", url.replace("REPOSITORY", "octo/parts"));
        fetched(&world, &script, &source, url);
        world.finish();
    }
}

const PIP: &str =
    "rm -rf wheels && python3 -m pip --disable-pip-version-check wheel --no-deps --no-cache-dir --wheel-dir wheels \"$1\" && ls wheels";

#[test]
fn pip_by_git_over_https_and_ssh() {
    for url in ["git+https://github.com/REPOSITORY", "git+https://github.com/REPOSITORY.git@main", "git+ssh://git@github.com/REPOSITORY"] {
        let world = world();
        fetched(&world, PIP, "parts-1.0.0-py3-none-any.whl", url);
        world.finish();
    }
}

const NPM: &str = "rm -rf use && mkdir use && cd use && echo '{}' > package.json
    npm install --no-audit --no-fund --no-update-notifier --cache \"$HOME/npm\" \"$1\" && node -p 'require(\"parts\")'";

#[test]
fn npm_by_git_over_https_and_ssh() {
    for url in ["git+https://github.com/REPOSITORY.git", "git+ssh://git@github.com/REPOSITORY.git"] {
        let world = world();
        fetched(&world, NPM, "parts", url);
        world.finish();
    }
}

/// npm asks git which commit that is, by a URL of SSH, and takes the archive of it.
#[test]
fn npm_by_its_own_word_for_github() {
    for url in ["github:REPOSITORY", "REPOSITORY#main"] {
        let world = world();
        fetched(&world, NPM, "parts", url);
        assert!(world.hub.seen().iter().any(|seen| seen.target.starts_with("/codeload/octo/parts/")), "{:#?}", world.hub.seen());
        world.finish();
    }
}

/// An archive by the page that leads to it.
#[test]
fn pip_by_an_archive() {
    let world = world();
    fetched(&world, PIP, "parts-1.0.0-py3-none-any.whl", "https://github.com/REPOSITORY/archive/refs/heads/main.zip");
    world.finish();
}

const GO: &str = "rm -rf use && mkdir use && cd use && export GOPATH=\"$HOME/go\" GOCACHE=\"$HOME/cache\" GOPRIVATE=github.com GOPROXY=direct GOTOOLCHAIN=local
    export GOFLAGS=-modcacherw
    go mod init example.com/use && go mod download -json \"$1@main\"";

#[test]
#[ignore = "make matrix"]
fn go_by_the_git_of_the_machine() {
    let world = world();
    fetched(&world, GO, "\"Path\": \"github.com/octo/parts\"", "github.com/REPOSITORY");
    world.finish();
}
