//! What `deploy/` ships, by its own tools: the pod's admission policy over pods that would undo its wall, and its gate started as the pod
//! would start it. `make deploy` runs the rest, whose tools are large: schemas of Kubernetes, a linter of Dockerfiles, systemd's verdict.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../proxy/harness/program.rs"]
#[allow(dead_code, reason = "the proxy tests use the rest of what is shared")]
mod program;

use std::{fs, path::Path, process::Command};

use program::{program, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// Runs one of the programs beside this file, and asserts that it found nothing and says so.
#[track_caller]
fn assert_passes(command: &mut Command, script: &str, components: &str, arguments: &[&str], said: &str) {
    let components = Path::new(ROOT).join("target/components").join(components);
    assert!(components.exists(), "{} is needed: make setup, or make deploy", components.display());
    let command = command.arg(format!("{ROOT}/tests/deploy/{script}")).args(arguments).env("PYTHONPATH", components);
    let ran = run(command.env("PYTHONDONTWRITEBYTECODE", "1"), "python3");
    assert!(ran.success && ran.stdout.contains(said), "{script}:\n{}", ran.said);
}

fn deploy(file: &str) -> String {
    format!("{ROOT}/deploy/{file}")
}

#[test]
fn the_admission_policy_refuses_whatever_would_undo_the_wall() {
    assert_passes(&mut program("python3"), "admission.py", "python", &[&deploy("")], "refused");
}

#[test]
fn the_gate_of_the_pod_starts_and_its_probes_answer() {
    let mut anew = program("unshare");
    anew.args(["--user", "--map-root-user", "--net", "sh", "-c", "ip link set lo up && exec python3 \"$@\"", "sh"]);
    assert_passes(&mut anew, "gate.py", "python", &[TIDEGATE, &deploy("")], "started, probed and ended");
}

#[test]
#[ignore = "make deploy"]
fn every_document_fits_the_schemas_of_kubernetes() {
    assert_passes(&mut program("python3"), "schemas.py", "deploy", &[&deploy("")], "8 documents");
}

#[test]
#[ignore = "make deploy"]
fn the_dockerfile_has_nothing_that_its_linter_knows_better() {
    let linter = format!("{ROOT}/target/components/deploy/bin/hadolint");
    let ran = run(program(&linter).arg(deploy("Dockerfile")), "make deploy");
    assert!(ran.success, "{}", ran.said);
}

/// The image is made of nothing but what the file copies, and nothing there needs more to be built.
#[test]
#[ignore = "make deploy"]
fn what_the_dockerfile_copies_is_enough_for_cargo() {
    let context = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(deploy("Dockerfile")).unwrap();
    let build = text.split("FROM scratch").next().unwrap();
    let copied: Vec<_> = build.lines().filter_map(|line| line.strip_prefix("COPY ")?.rsplit_once(' ')).map(|(from, _)| from).collect();
    let ignored = fs::read_to_string(deploy("Dockerfile.dockerignore")).unwrap();
    for name in copied.iter().flat_map(|from| from.split(' ')) {
        assert!(ignored.lines().any(|line| line.strip_prefix('!') == Some(name)), "{name} does not get past the .dockerignore");
        let ran = run(program("cp").arg("-r").arg(format!("{ROOT}/{name}")).arg(context.path()), "coreutils");
        assert!(ran.success, "{}", ran.said);
    }
    let cargo = program(env!("CARGO"))
        .args(["check", "--locked", "--offline", "--bin", "tidegate", "--target-dir"])
        .arg(format!("{ROOT}/target/deploy"))
        .current_dir(context.path())
        .output();
    let cargo = cargo.unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
}

#[test]
#[ignore = "make deploy"]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let unit = tempfile::tempdir().unwrap();
    let path = unit.path().join("tidegate.service");
    let text = fs::read_to_string(deploy("systemd/tidegate.service")).unwrap();
    fs::write(&path, text.replace("/usr/bin/tidegate", TIDEGATE)).unwrap();
    let verified = run(program("systemd-analyze").args(["verify", "--man=no"]).arg(&path), "systemd");
    assert!(verified.success && !verified.said.contains("tidegate.service:"), "{}", verified.said);
    // Tenths: what a service is exposed to that names no option is 96.
    let judged = run(program("systemd-analyze").args(["security", "--offline=true", "--threshold=15", "--no-pager"]).arg(&path), "systemd");
    assert!(judged.success, "{}", judged.said);
    let users = run(program("systemd-sysusers").args(["--dry-run"]).arg(deploy("systemd/tidegate.sysusers")), "systemd");
    assert!(users.success, "{}", users.said);
}
