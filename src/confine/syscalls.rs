//! System calls that no namespace confines: what is refused to COMMAND by seccomp.

use std::{collections::BTreeMap, io};

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};

use super::Obstacle;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// Answered as by a kernel that does not have them, so that programs fall back.
const MISSING: &[c_long] = &[
    // What is put into its queue passes no filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keyrings belong to a user, not to a namespace: the caller's Kerberos tickets and disk keys lie there.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
];

/// Refused, as container runtimes do: each reaches the kernel itself, or past the mounts. Most want a capability that COMMAND does
/// not have, but one that it gets in a user namespace of its own.
const FORBIDDEN: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    KEXEC_FILE_LOAD,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
];

/// `libc` does not have it for every system.
const KEXEC_FILE_LOAD: c_long = if cfg!(target_arch = "x86_64") { 320 } else { 294 };

/// `ioctl` requests that type into the terminal which COMMAND shares with its caller's shell: `TIOCSTI` and `TIOCLINUX`
/// (`asm-generic/ioctls.h`).
const TYPING: &[u64] = &[0x5412, 0x541c];

/// The families of sockets that a network namespace holds. Of others some do not know namespaces at all, `AF_VSOCK` for one,
/// which talks to the host of a virtual machine.
const FAMILIES: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Where x32 numbers start on x86-64: calls by another name, with arguments of another width. The kernel gives no native call
/// a number from here on.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 512;

/// Refuses this thread, and all that it starts, the calls above for good; a program for another architecture is killed. It also
/// sets `no_new_privs`.
pub(crate) fn filter() -> Result<(), Obstacle> {
    let programs = programs().map_err(|error| Obstacle::new("write a filter of system calls", io::Error::other(error)))?;
    for program in programs {
        apply_filter(&program).map_err(|error| Obstacle::new("filter system calls", io::Error::other(error)))?;
    }
    Ok(())
}

fn programs() -> Result<Vec<BpfProgram>, BackendError> {
    let typing = TYPING.iter().map(|request| SeccompRule::new(vec![lower_half(1, SeccompCmpOp::Eq, *request)?]));
    let ioctl = typing.collect::<Result<Vec<_>, _>>()?;
    let other = FAMILIES.iter().map(|family| lower_half(0, SeccompCmpOp::Ne, family.unsigned_abs().into()));
    let socket = vec![SeccompRule::new(other.collect::<Result<Vec<_>, _>>()?)?];
    let forbidden = FORBIDDEN.iter().map(|call| (*call, Vec::new())).chain([(libc::SYS_ioctl, ioctl)]);
    Ok(vec![
        program(forbidden.collect(), libc::EPERM)?,
        program(MISSING.iter().map(|call| (*call, Vec::new())).collect(), libc::ENOSYS)?,
        program([(libc::SYS_socket, socket.clone()), (libc::SYS_socketpair, socket)].into(), libc::EAFNOSUPPORT)?,
        #[cfg(target_arch = "x86_64")]
        without_x32(),
    ])
}

/// Compares 32 bits of an argument, which is all that the kernel reads of it: the upper half is the caller's to fill.
fn lower_half(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)
}

/// Answers the calls with `errno` where one of their rules holds, or where they have none.
fn program(calls: BTreeMap<c_long, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(calls, SeccompAction::Allow, refuse, ARCHITECTURE)?.try_into()
}

/// Answers every x32 call as a kernel without x32 does.
#[cfg(target_arch = "x86_64")]
fn without_x32() -> BpfProgram {
    use seccompiler::sock_filter;
    // Opcodes of linux/bpf_common.h.
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    vec![
        // The first word of `seccomp_data` is the number of the call.
        sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: X32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs() },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ]
}
