//! Nothing outlives a run, however it ends.

use std::{fs, path::Path, process::Stdio, thread::sleep, time::Duration};

use crate::harness::{callers, eventually, processes_with};

/// How many mounts this process sees.
fn mounts() -> usize {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().count()
}

/// A hundred times, at a hundred moments, with connections under way.
#[test]
fn threat_131_whoever_kills_tidegate_kills_everything_inside() {
    let callers = callers();
    let runs = 100 / callers.len();
    let before = mounts();
    for caller in &callers {
        for run in 0..runs {
            let marker = format!("killed-{}-{run}-", caller.uid());
            let load = "for n in 1 2 3; do (while :; do curl -s -m 1 -o /dev/null http://example.org/; done) & done; setsid sh -c 'sleep 600' $0 & wait";
            let mut child = caller
                .tidegate(&["--", "sh", "-c", load, &marker])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Not a wait for anything: from before there is a namespace to under full load.
            sleep(Duration::from_millis(5 * (run as u64)));
            child.kill().unwrap();
            child.wait().unwrap();
            eventually("everything inside ends", || processes_with(&marker).is_empty());
        }
    }
    eventually("no step of a run is left", || callers.iter().all(|caller| running(&caller.program()) == 0));
    assert_eq!(mounts(), before);
}

/// How many processes run a program.
fn running(program: &Path) -> usize {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path().join("exe")).ok());
    all.filter(|exe| exe == program).count()
}
