//! The filter of system calls (seccomp(2)). It refuses with EPERM what a gate that serves never does; all else passes.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};
use tracing::debug;

use super::KeptPlaces;

/// What is refused whatever its arguments are.
const REFUSED: &[libc::c_long] = &[
    // Starting programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_fanotify_init,
    // The kernel.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_personality,
    // Keys, clocks and names.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Becoming somebody else.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
];

/// The bit that numbers of x32 have.
const X32: u32 = 0x4000_0000;

/// The bits of a socket's type that are not flags (socket(2)).
const TYPE: u64 = 0xf;

/// Puts the filter on the calling thread; `false` where the kernel or the machine has none.
pub(super) fn filter(places: &KeptPlaces) -> bool {
    let applied = program(places)
        .map_err(seccompiler::Error::from)
        .and_then(|program| seccompiler::apply_filter(&program));
    applied
        .inspect_err(|error| debug!(%error, "System calls cannot be filtered"))
        .is_ok()
}

fn program(places: &KeptPlaces) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, sockets(places)?);
    rules.insert(libc::SYS_sendto, fast_open(3)?);
    rules.insert(libc::SYS_sendmsg, fast_open(2)?);
    rules.insert(libc::SYS_sendmmsg, fast_open(3)?);
    let program: BpfProgram = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()?;
    Ok(without_x32(program))
}

/// Refuses to connect by sending: `MSG_FASTOPEN` passes by the hook at which Landlock judges connect(2).
fn fast_open(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let open = u64::from(libc::MSG_FASTOPEN.unsigned_abs());
    let asked = argument(flags, SeccompCmpOp::MaskedEq(open), libc::MSG_FASTOPEN)?;
    Ok(vec![SeccompRule::new(vec![asked])?])
}

/// Refuses the numbers of x32 (seccomp(2)): they are called under the architecture of x86-64, and no list has them.
fn without_x32(program: BpfProgram) -> BpfProgram {
    if cfg!(not(target_arch = "x86_64")) {
        return program;
    }
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let leave = libc::BPF_RET | libc::BPF_K;
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    // The number of the call is the first field of `struct seccomp_data`.
    let checks = [(load, 0, 0), (at_least, 1, X32), (leave, 0, refused)];
    let checks = checks.map(|(code, jf, k)| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf,
        k,
    });
    checks.into_iter().chain(program).collect()
}

/// Which new sockets are refused: all but unix ones, and those by which names and interfaces are looked up where that is needed.
fn sockets(places: &KeptPlaces) -> Result<Vec<SeccompRule>, BackendError> {
    let mut families = vec![libc::AF_UNIX];
    if places.resolves {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if places.resolves || places.interfaces {
        families.push(libc::AF_NETLINK);
    }
    let other = families
        .iter()
        .map(|family| argument(0, SeccompCmpOp::Ne, *family))
        .collect::<Result<_, _>>()?;
    let mut rules = vec![SeccompRule::new(other)?];
    if places.resolves {
        // DNS is asked over UDP.
        for family in [libc::AF_INET, libc::AF_INET6] {
            for kind in [libc::SOCK_STREAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET] {
                rules.push(SeccompRule::new(vec![
                    argument(0, SeccompCmpOp::Eq, family)?,
                    argument(1, SeccompCmpOp::MaskedEq(TYPE), kind)?,
                ])?);
            }
        }
    }
    Ok(rules)
}

fn argument(
    index: u8,
    operator: SeccompCmpOp,
    value: i32,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(
        index,
        SeccompCmpArgLen::Dword,
        operator,
        u64::from(value.unsigned_abs()),
    )
}
