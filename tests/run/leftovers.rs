//! Nothing outlives a run, however it ends.

use std::{fs, path::Path, process::Stdio, thread::sleep, time::Duration};

use crate::harness::{Counter, callers, eventually, in_a_network, processes_with};

/// How many mounts this process sees.
fn mounts() -> usize {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().count()
}

/// What is tried over and over, by doors and around them; `$0` marks it.
const LOAD: &str = "
for n in 1 2 3; do (while :; do curl -s -m 1 -o /dev/null http://example.org/; curl -s -m 1 --noproxy '*' -o /dev/null https://1.1.1.1/; done) & done
bash -c 'while :; do echo out >/dev/udp/1.1.1.1/443; echo out >/dev/udp/1.1.1.1/53; echo out >/dev/tcp/1.1.1.1/6379; done' $0 2>/dev/null &
setsid sh -c 'sleep 600' $0 &
wait";

/// A hundred times, at a hundred moments, with connections under way: nothing goes around, and nothing is left.
#[test]
fn threat_131_whoever_kills_tidegate_kills_everything_inside() {
    in_a_network("leftovers::threat_131_whoever_kills_tidegate_kills_everything_inside", || {
        let counter = Counter::start();
        let callers = callers();
        let runs = 100 / callers.len();
        let before = mounts();
        for caller in &callers {
            for run in 0..runs {
                let marker = format!("killed-{}-{run}-", caller.uid());
                let mut tidegate = caller.tidegate(&["--", "sh", "-c", LOAD, &marker]);
                let mut child = tidegate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                // Not a wait for anything: from before there is a namespace to under full load.
                sleep(Duration::from_millis(5 * (run as u64)));
                child.kill().unwrap();
                child.wait().unwrap();
                eventually("everything inside ends", || processes_with(&marker).is_empty());
                counter.assert_silent(&marker);
            }
        }
        eventually("no step of a run is left", || callers.iter().all(|caller| running(&caller.program()) == 0));
        assert_eq!(mounts(), before);
    });
}

/// How many processes run a program.
fn running(program: &Path) -> usize {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path().join("exe")).ok());
    all.filter(|exe| exe == program).count()
}
