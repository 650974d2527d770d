//! The filter of system calls (seccomp(2)). It refuses with EPERM what a gate that serves never does; all else passes.
//!
//! Landlock judges the opening of files and sockets. What needs no opening is refused here: modes and owners of files, what is
//! shared between processes, sockets of other families, new processes, new code in memory, and keys for a terminal.

mod list;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};
use tracing::debug;

use self::list::{FIREWALLS, NAMESPACES, OLDER, PROTECTIONS, REFUSED, REQUESTS, UNREAD};
use super::KeptPlaces;

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
    let own = std::process::id().cast_signed();
    let mut refused = REFUSED.to_vec();
    refused.extend(OLDER);
    if !places.keeps {
        refused.push(libc::SYS_fchmod);
    }
    if cfg!(target_env = "gnu") {
        // musl raises signals by it.
        refused.push(libc::SYS_tkill);
    }
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        refused.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, sockets(places)?);
    rules.insert(libc::SYS_socketpair, vec![other_than(0, &[libc::AF_UNIX])?]);
    rules.insert(libc::SYS_sendto, fast_open(3)?);
    rules.insert(libc::SYS_sendmsg, fast_open(2)?);
    rules.insert(libc::SYS_sendmmsg, fast_open(3)?);
    rules.insert(libc::SYS_clone, processes()?);
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        rules.insert(call, vec![with_flag(2, libc::PROT_EXEC)?]);
    }
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(call, vec![other_than(0, &[own])?]);
    }
    rules.insert(libc::SYS_prlimit64, vec![other_than(0, &[0, own])?]);
    rules.insert(libc::SYS_ioctl, vec![other_than(1, &REQUESTS)?]);
    rules.insert(libc::SYS_prctl, one_of(0, &PROTECTIONS)?);
    rules.insert(libc::SYS_setsockopt, one_of(1, &FIREWALLS)?);
    let program: BpfProgram = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()?;
    Ok(after_what_is_not_there(program))
}

/// Puts the check of what this kernel shall seem not to have before the others. The flags of clone3(2) lie in memory, which a filter
/// does not see; without it the C library makes threads by clone(2).
fn after_what_is_not_there(program: BpfProgram) -> BpfProgram {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let leave = libc::BPF_RET | libc::BPF_K;
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or_default();
    // The number of the call is the first field of `struct seccomp_data`.
    let checks = [
        (load, 0, 0, 0),
        (at_least, 1, 0, UNREAD),
        (equal, 0, 1, clone3),
        (leave, 0, 0, absent),
    ];
    let checks = checks.map(|(code, jt, jf, k)| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    });
    checks.into_iter().chain(program).collect()
}

/// Which new sockets are refused: all but unix ones, and the kernel's one that tells of interfaces where that is needed.
fn sockets(places: &KeptPlaces) -> Result<Vec<SeccompRule>, BackendError> {
    if !places.interfaces {
        return Ok(vec![other_than(0, &[libc::AF_UNIX])?]);
    }
    let others = [
        argument(0, SeccompCmpOp::Eq, libc::AF_NETLINK)?,
        argument(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE)?,
    ];
    Ok(vec![
        other_than(0, &[libc::AF_UNIX, libc::AF_NETLINK])?,
        SeccompRule::new(others.to_vec())?,
    ])
}

/// Threads are made, with the namespaces of the gate; processes are not.
fn processes() -> Result<Vec<SeccompRule>, BackendError> {
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let process = argument(0, SeccompCmpOp::MaskedEq(thread), 0)?;
    let mut rules = vec![SeccompRule::new(vec![process])?];
    for namespace in NAMESPACES {
        rules.push(with_flag(0, namespace)?);
    }
    Ok(rules)
}

/// Refuses to connect by sending: `MSG_FASTOPEN` passes by the hook at which Landlock judges connect(2).
fn fast_open(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    Ok(vec![with_flag(flags, libc::MSG_FASTOPEN)?])
}

fn with_flag(index: u8, flag: i32) -> Result<SeccompRule, BackendError> {
    let bits = SeccompCmpOp::MaskedEq(u64::from(flag.unsigned_abs()));
    SeccompRule::new(vec![argument(index, bits, flag)?])
}

fn one_of(index: u8, values: &[i32]) -> Result<Vec<SeccompRule>, BackendError> {
    let values = values.iter();
    values
        .map(|value| SeccompRule::new(vec![argument(index, SeccompCmpOp::Eq, *value)?]))
        .collect()
}

fn other_than(index: u8, values: &[i32]) -> Result<SeccompRule, BackendError> {
    let values = values.iter();
    let conditions = values.map(|value| argument(index, SeccompCmpOp::Ne, *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
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
