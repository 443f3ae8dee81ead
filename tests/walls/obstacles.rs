//! What is said where there are no namespaces to be had.

use crate::harness::{Caller, callers, root};

/// Starts a run in a place that the first command makes, in namespaces of its own.
fn run_where(caller: &Caller, prepared: &str) -> String {
    let script = format!("{prepared} && exec $TIDEGATE run --access none -- true");
    let ended = caller.outside(caller.home(), &["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-ec", &script]);
    assert_eq!(ended.code, Some(125), "{ended:?}");
    ended.err
}

#[test]
fn a_limit_of_no_user_namespaces_is_named() {
    for caller in callers() {
        let said = run_where(&caller, "echo 0 >/proc/sys/user/max_user_namespaces");
        assert!(said.contains("user.max_user_namespaces is 0: let root run sysctl"), "{said}");
    }
}

#[test]
fn a_masked_proc_is_named() {
    let Some(caller) = root() else { return };
    let script = "mount -t tmpfs none /proc/scsi 2>/dev/null || mount -t tmpfs none /proc/fs; exec $TIDEGATE run --access none -- true";
    let ended = caller.outside(caller.home(), &["unshare", "--mount", "/bin/sh", "-c", script]);
    assert_eq!(ended.code, Some(125), "{ended:?}");
    assert!(ended.err.contains("systempaths=unconfined"), "{ended:?}");
}

/// As with the profile of a container runtime: a filter answers `unshare` with EPERM.
#[test]
fn a_seccomp_filter_is_named() {
    const FILTERED: &str = "
import ctypes, os, struct
libc = ctypes.CDLL(None)
number = 272 if os.uname().machine == 'x86_64' else 97
code = b''.join(struct.pack('HBBI', *i) for i in [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)])
program = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(program)))) == 0
os.execv(os.environ['TIDEGATE'], ['tidegate', 'run', '--access', 'none', '--', 'true'])
";
    for caller in callers() {
        let script = caller.write("filtered.py", FILTERED);
        let ended = caller.outside(caller.home(), &["/usr/bin/python3", script.to_str().unwrap()]);
        assert_eq!(ended.code, Some(125), "{ended:?}");
        assert!(ended.err.contains("cannot make namespaces") && ended.err.contains("seccomp=unconfined"), "{ended:?}");
    }
}
