//! A push and a clone that are much larger than the memory they take.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
};

use crate::harness::{Plan, Wire, World};

/// Three files of a hundred megabytes that no compression makes smaller.
fn make_noise(directory: &Path) {
    for seed in 1..=3_u64 {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(directory.join(format!("noise-{seed}"))).unwrap());
        // One block of noise, told apart by a counter: no two lines of the pack are the same, and it is made fast.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let block: Vec<u8> = (0..1 << 17)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        for number in 0..100_u64 {
            file.write_all(&number.to_le_bytes()).unwrap();
            file.write_all(&block).unwrap();
        }
        file.flush().unwrap();
    }
}

/// The most memory that a process has held so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn three_hundred_megabytes_there_and_back_in_little_memory() {
    let world = World::of(&Plan { wire: Wire::Http2, log: "info", ..Plan::default() });
    world.sandbox.git_ok(".", &["config", "--global", "core.compression", "0"]);
    world.sandbox.git_ok(".", &["config", "--global", "core.bigFileThreshold", "1m"]);
    world.sandbox.git_ok(".", &["clone", "--quiet", &world.url("octo/spoon"), "clone"]);
    make_noise(&world.sandbox.path("clone"));
    world.sandbox.git_ok("clone", &["add", "."]);
    world.sandbox.git_ok("clone", &["commit", "--quiet", "-m", "noise"]);
    world.push(&["--quiet", "origin", "main:agent/fix-1"]).assert(0, &[]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("main"));
    let sent = world.pushes().pop().unwrap();
    assert!(sent.whole && sent.length > 300_000_000, "{} octets", sent.length);
    let after_push = peak(world.gate().pid());
    fs::remove_dir_all(world.sandbox.path("clone")).unwrap();
    let arguments = ["clone", "--quiet", "--bare", "--single-branch", "--branch", "agent/fix-1", &world.url("octo/spoon"), "copy"];
    world.sandbox.git_ok(".", &arguments);
    let copied = world.sandbox.git_ok("copy", &["rev-parse", "agent/fix-1"]).out;
    assert_eq!(copied.trim(), world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"]);
    let after_clone = peak(world.gate().pid());
    assert!(after_push < MOST && after_clone < MOST, "{after_push} KiB after the push, {after_clone} KiB after the clone");
    world.finish();
}

/// In KiB.
const MOST: u64 = 64 * 1024;
