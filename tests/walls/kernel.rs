//! Processes, devices, settings, capabilities and system calls.

use crate::harness::{callers, root, user};

#[test]
fn only_processes_inside_are_seen() {
    for caller in callers() {
        let inside = caller.inside("cd /proc && ls -d [0-9]* | wc -l; ls -d [0-9]* | sort -n | tail -1");
        let numbers: Vec<u32> = inside.printed().lines().map(|line| line.parse().unwrap()).collect();
        assert!(matches!(numbers[..], [count, last] if count < 10 && last < 50), "{numbers:?}");
    }
}

/// The init inside holds a socket to the proxy.
#[test]
fn no_process_of_tidegate_can_be_traced_or_read() {
    const PROBE: &str = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ATTACH, SEIZE, DETACH = 16, 0x4206, 17
for request in ATTACH, SEIZE:
    print(libc.ptrace(request, 1, None, None), os.strerror(ctypes.get_errno()))
for name in 'fd/0', 'fd/1', 'environ', 'root', 'cwd', 'exe', 'mem', 'maps':
    path = '/proc/1/' + name
    try:
        open(path, 'rb').read(1) if name in ('environ', 'mem', 'maps') else os.readlink(path)
        print(name, 'open')
    except PermissionError:
        print(name, 'closed')
try:
    os.pidfd_open(1) and print(libc.syscall(438, os.pidfd_open(1), 0, 0), os.strerror(ctypes.get_errno()))
except OSError as error:
    print(error)
";
    for caller in callers() {
        let expected = "-1 Operation not permitted\n-1 Operation not permitted\nfd/0 closed\nfd/1 closed\nenviron closed\nroot closed\n\
                        cwd closed\nexe closed\nmem closed\nmaps closed\n-1 Operation not permitted\n";
        assert_eq!(caller.python(PROBE).printed(), expected);
    }
}

#[test]
fn devices_are_those_that_programs_expect() {
    for caller in callers() {
        let inside = caller.inside(
            "ls -A /dev; echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; touch /dev/x || echo kept",
        );
        assert_eq!(inside.printed(), "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n3\n3\nkept\n");
    }
}

/// `script` gives the command a terminal of its own, on which it runs as on the caller's.
#[test]
fn the_terminal_has_a_name_inside() {
    for caller in callers() {
        let script = "script -qec \"$TIDEGATE run --access none -- tty\" /dev/null";
        let said = caller.outside(caller.home(), &["/bin/sh", "-c", script]).printed();
        assert_eq!(said.trim(), "/dev/console");
    }
}

#[test]
fn root_changes_nothing_of_the_machine() {
    let Some(caller) = root() else { return };
    let inside = caller.inside(
        "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/sys/user/max_user_namespaces \
                  /sys/kernel/mm/transparent_hugepage/enabled /sys/power/state; do
             test ! -e $f || { echo 1 >$f && echo $f written; } 2>/dev/null; done
         for f in /proc/kcore /proc/keys /proc/kmsg /proc/timer_list; do test ! -e $f || head -c 1 $f; done
         ls /sys/firmware; mkdir /sys/fs/cgroup/x 2>/dev/null && echo made a group
         mknod x b 254 0 2>/dev/null && echo made a device
         mount -o remount,rw /proc/sys 2>/dev/null && echo mounted; umount /tmp 2>/dev/null && echo unmounted; echo end",
    );
    assert_eq!(inside.printed(), "end\n");
}

#[test]
fn root_gives_files_away_and_becomes_others() {
    let Some(caller) = root() else { return };
    let inside = caller.inside(
        "touch x && chown 1234:5678 x && stat -c '%u %g' x && chmod u+s x && rm x
         su -s /bin/sh nobody -c 'id -u; id -G'; setpriv --reuid=65534 --regid=65534 --clear-groups id -u
         setpriv --reuid=65534 --clear-groups sleep 100 & sleep 0; kill $! && wait $!; echo $?",
    );
    assert_eq!(inside.printed(), "1234 5678\n65534\n65534\n65534\n143\n");
}

#[test]
fn capabilities_are_gone_for_good() {
    const STATUS: &str = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -s '\\t' ' '";
    let status =
        |left: &str| format!("CapInh: {:016x}\nCapPrm: {left}\nCapEff: {left}\nCapBnd: {left}\nCapAmb: {:016x}\nNoNewPrivs: 1\n", 0, 0);
    assert_eq!(user().inside(STATUS).printed(), status("0000000000000000"));
    if let Some(root) = root() {
        // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID
        assert_eq!(root.inside(STATUS).printed(), status("00000000000000fb"));
    }
}

#[test]
fn ids_inside_are_those_outside() {
    for caller in callers() {
        let inside = caller.inside("id -u; id -g; stat -c %u ~").printed();
        assert_eq!(inside, format!("{0}\n{0}\n{0}\n", caller.uid()));
    }
}

/// Opens a terminal, makes it its own, and types into it.
const TYPE: &str = "
import ctypes, errno, fcntl, os, pty, sys, termios
if os.fork():
    sys.exit(os.wait()[1])
os.setsid()
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_char_p]
IOCTL = 16 if os.uname().machine == 'x86_64' else 29
for request in termios.TIOCSTI, 0x5412 | 1 << 40, 0x541c:
    done = libc.syscall(IOCTL, slave, request, b'x')
    print(errno.errorcode[ctypes.get_errno()] if done else 'typed')
print(fcntl.fcntl(slave, fcntl.F_GETFL) > 0 and os.isatty(slave))
";

#[test]
fn nothing_types_into_a_terminal() {
    for caller in callers() {
        let script = caller.write("type.py", TYPE);
        let outside = caller.outside(caller.home(), &["/usr/bin/python3", script.to_str().unwrap()]);
        let inside = caller.python(TYPE);
        assert_ne!(outside.out.lines().next(), Some("EPERM"), "{outside:?}");
        assert_eq!(inside.printed(), "EPERM\nEPERM\nEPERM\nTrue\n");
    }
}

#[test]
fn threat_36_sockets_that_no_network_namespace_holds_are_refused() {
    const PROBE: &str = "
import errno, socket
for family in 1, 2, 10, 16, 17, 38, 40, 31, 99:
    try:
        socket.socket(family, socket.SOCK_RAW if family == 16 else socket.SOCK_STREAM)
        print(family, 'made')
    except OSError as error:
        print(family, errno.errorcode[error.errno])
";
    for caller in callers() {
        let refused = ["17", "38", "40", "31", "99"].map(|family| format!("{family} EAFNOSUPPORT\n")).concat();
        assert_eq!(caller.python(PROBE).printed(), format!("1 made\n2 made\n10 made\n16 made\n{refused}"));
    }
}

#[test]
fn calls_past_the_walls_are_refused() {
    const PROBE: &str = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
intel = os.uname().machine == 'x86_64'
calls = dict(io_uring_setup=425, io_uring_enter=426, keyctl=250 if intel else 219, add_key=248 if intel else 217, bpf=321 if intel else 280,
             perf_event_open=298 if intel else 241, userfaultfd=323 if intel else 282, open_by_handle_at=304 if intel else 265)
if intel:
    calls.update(x32_getpid=0x40000000 | 39, x32_ioctl=0x40000000 | 514)
for name, number in calls.items():
    done = libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0)
    print(name, done if done >= 0 else errno.errorcode[ctypes.get_errno()])
";
    for caller in callers() {
        let printed = caller.python(PROBE).printed();
        let expected = "io_uring_setup ENOSYS\nio_uring_enter ENOSYS\nkeyctl ENOSYS\nadd_key ENOSYS\nbpf EPERM\nperf_event_open EPERM\nuserfaultfd EPERM\n\
                        open_by_handle_at EPERM\n";
        let x32 = if cfg!(target_arch = "x86_64") { "x32_getpid ENOSYS\nx32_ioctl ENOSYS\n" } else { "" };
        assert_eq!(printed, format!("{expected}{x32}"));
    }
}

/// 32-bit calls have other numbers, so that the filter would let them through.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_call_of_another_architecture_kills() {
    const PROBE: &str = "
import ctypes, mmap
code = b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3' # mov eax, 20 (getpid); int 0x80; ret
memory = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(code)
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
print('returned')
";
    for caller in callers() {
        let script = caller.write("probe.py", PROBE);
        let inside = caller.inside(&format!("/usr/bin/python3 {} ; echo $?", script.display()));
        // 128 and SIGSYS.
        assert_eq!(inside.printed(), "159\n");
    }
}
