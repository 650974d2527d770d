//! Each program is judged here as the kernel judges it.

use super::*;

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

#[cfg(target_arch = "x86_64")]
const MACHINE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const MACHINE: u32 = 0xc000_00b7;

/// What the kernel does by a program, for a call of this machine: the few instructions that filters have (seccomp(2)).
fn judged(program: &BpfProgram, machine: u32, number: u32, arguments: &[u64]) -> u32 {
    let mut data = [0; 64];
    data[..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&machine.to_le_bytes());
    for (place, argument) in data[16..].chunks_exact_mut(8).zip(arguments) {
        place.copy_from_slice(&argument.to_le_bytes());
    }
    let (mut accumulator, mut at) = (0_u32, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let jump = |is_so: bool| usize::from(if is_so { jt } else { jf });
        match u32::from(code) {
            0x20 => {
                let word = &data[k as usize..][..4];
                accumulator = u32::from_le_bytes(word.try_into().expect("a word"));
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x06 => return k,
            other => panic!("an instruction that filters here do not have: {other:#x}"),
        }
    }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).expect("a number")
}

#[track_caller]
fn is(places: &KeptPlaces, call: libc::c_long, arguments: &[u64], wanted: u32) {
    let program = program(places).expect("a program");
    let got = judged(&program, MACHINE, number(call), arguments);
    assert_eq!(got, wanted, "{call} {arguments:x?}");
}

fn caged(call: libc::c_long, arguments: &[u64], wanted: u32) {
    is(&KeptPlaces::default(), call, arguments, wanted);
}

#[test]
fn no_number_of_x32_and_none_that_a_later_kernel_adds_is_a_call() {
    let program = program(&KeptPlaces::default()).expect("a program");
    for call in 0..1024 {
        let x32 = judged(&program, MACHINE, 0x4000_0000 | call, &[]);
        assert_eq!(x32, ENOSYS, "x32 {call}");
        let plain = judged(&program, MACHINE, call, &[]);
        assert!(call < UNREAD || plain == ENOSYS, "{call}: {plain:#x}");
    }
    // What a tracer makes of a call that it skips.
    assert_eq!(judged(&program, MACHINE, u32::MAX, &[]), ENOSYS);
}

#[test]
fn a_call_of_another_machine_ends_the_process() {
    let program = program(&KeptPlaces::default()).expect("a program");
    // Of i386, under which 11 is execve, and of ARM.
    for machine in [0x4000_0003, 0x4000_0028] {
        for call in [11, 0, 400] {
            let got = judged(&program, machine, call, &[]);
            assert_eq!(got, libc::SECCOMP_RET_KILL_PROCESS, "{machine:x} {call}");
        }
    }
}

#[test]
fn what_a_gate_does_while_it_serves_passes_and_what_is_refused_is_so_whatever_its_arguments_are() {
    for call in [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_openat,
        libc::SYS_connect,
        libc::SYS_accept4,
        libc::SYS_epoll_pwait,
        libc::SYS_futex,
        libc::SYS_madvise,
        libc::SYS_renameat2,
        libc::SYS_unlinkat,
        libc::SYS_fsync,
        libc::SYS_getrandom,
        libc::SYS_exit_group,
    ] {
        caged(call, &[], ALLOWED);
    }
    for call in REFUSED.iter().chain(OLDER) {
        caged(*call, &[], EPERM);
        caged(*call, &[u64::MAX; 6], EPERM);
    }
}

/// The calls that Docker's default profile keeps from containers: those of Linux that it lets pass neither by themselves nor by their
/// arguments, without any capability. `clone`, `clone3`, `socket` and `personality` pass there by their arguments, and have tests
/// of their own. Those that never did anything are left out, and so are `get_mempolicy` and `mseal`, which change nothing of others.
const KEPT_FROM_CONTAINERS: &[(&str, libc::c_long)] = &[
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("chroot", libc::SYS_chroot),
    ("clock_settime", libc::SYS_clock_settime),
    ("delete_module", libc::SYS_delete_module),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("finit_module", libc::SYS_finit_module),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("init_module", libc::SYS_init_module),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("lookup_dcookie", libc::SYS_lookup_dcookie),
    ("mbind", libc::SYS_mbind),
    ("migrate_pages", libc::SYS_migrate_pages),
    ("mount", libc::SYS_mount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("move_pages", libc::SYS_move_pages),
    ("nfsservctl", libc::SYS_nfsservctl),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", libc::SYS_open_tree),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("pivot_root", libc::SYS_pivot_root),
    ("process_madvise", libc::SYS_process_madvise),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("ptrace", libc::SYS_ptrace),
    ("quotactl", libc::SYS_quotactl),
    ("quotactl_fd", libc::SYS_quotactl_fd),
    ("reboot", libc::SYS_reboot),
    ("request_key", libc::SYS_request_key),
    ("set_mempolicy", libc::SYS_set_mempolicy),
    ("set_mempolicy_home_node", 450),
    ("setdomainname", libc::SYS_setdomainname),
    ("sethostname", libc::SYS_sethostname),
    ("setns", libc::SYS_setns),
    ("settimeofday", libc::SYS_settimeofday),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("vhangup", libc::SYS_vhangup),
    // It allows these three to those that ask, and the kernel has had holes in them.
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
];

/// The numbers that differ by machine.
#[cfg(target_arch = "x86_64")]
const KEPT_BY_MACHINE: &[(&str, libc::c_long)] = &[
    ("_sysctl", 156),
    ("ioperm", libc::SYS_ioperm),
    ("iopl", libc::SYS_iopl),
    ("kexec_file_load", 320),
    ("sysfs", libc::SYS_sysfs),
    ("uselib", libc::SYS_uselib),
    ("ustat", libc::SYS_ustat),
];
#[cfg(target_arch = "aarch64")]
const KEPT_BY_MACHINE: &[(&str, libc::c_long)] = &[("kexec_file_load", 294)];

#[test]
fn whatever_docker_keeps_from_containers_is_kept_from_the_gate() {
    let program = program(&KeptPlaces::default()).expect("a program");
    for (name, call) in KEPT_FROM_CONTAINERS.iter().chain(KEPT_BY_MACHINE) {
        for arguments in [[0; 6], [u64::MAX; 6]] {
            let got = judged(&program, MACHINE, number(*call), &arguments);
            assert_eq!(got, EPERM, "{name}");
        }
    }
}

#[test]
fn sockets_are_unix_ones_and_one_tells_of_interfaces_where_certificates_name_them() {
    let stream = libc::SOCK_STREAM as u64;
    let (plain, mut auto) = (KeptPlaces::default(), KeptPlaces::default());
    (auto.interfaces, auto.keeps) = (true, true);
    for places in [&plain, &auto] {
        for family in 0..64 {
            let is_unix = family == libc::AF_UNIX as u64;
            let is_netlink = family == libc::AF_NETLINK as u64;
            let wanted = match is_unix || is_netlink && places.interfaces {
                true => ALLOWED,
                false => EPERM,
            };
            is(places, libc::SYS_socket, &[family, stream, 0], wanted);
            let pair = if is_unix { ALLOWED } else { EPERM };
            is(places, libc::SYS_socketpair, &[family, stream, 0], pair);
        }
    }
    // The kernel's other netlinks: audit, firewall, events.
    for protocol in 1..23 {
        let arguments = [libc::AF_NETLINK as u64, libc::SOCK_RAW as u64, protocol];
        is(&auto, libc::SYS_socket, &arguments, EPERM);
    }
    is(&plain, libc::SYS_fchmod, &[3, 0o644], EPERM);
    is(&auto, libc::SYS_fchmod, &[3, 0o644], ALLOWED);
}

#[test]
fn threads_are_made_and_neither_processes_nor_namespaces() {
    // As the C library makes a thread.
    let thread = 0x003d_0f00;
    caged(libc::SYS_clone, &[thread], ALLOWED);
    caged(libc::SYS_clone3, &[0, 88], ENOSYS);
    caged(libc::SYS_clone, &[libc::SIGCHLD as u64], EPERM);
    let vfork = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    caged(libc::SYS_clone, &[vfork as u64], EPERM);
    for namespace in NAMESPACES {
        caged(libc::SYS_clone, &[thread | namespace as u64], EPERM);
    }
}

#[test]
fn signals_and_limits_are_the_gates_own() {
    let own = u64::from(std::process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        caged(call, &[own], ALLOWED);
        // Another process, the own group, and all there are.
        for other in [1, own + 1, 0, u64::MAX] {
            caged(call, &[other], EPERM);
        }
    }
    for (process, wanted) in [(0, ALLOWED), (own, ALLOWED), (1, EPERM)] {
        caged(libc::SYS_prlimit64, &[process], wanted);
    }
}

#[test]
fn others_do_not_look_into_the_process_and_no_firewall_is_loaded() {
    for option in PROTECTIONS {
        caged(libc::SYS_prctl, &[option as u64, 1], EPERM);
    }
    caged(libc::SYS_prctl, &[libc::PR_SET_NAME as u64], ALLOWED);
    for (level, wanted) in [
        (libc::SOL_IP, EPERM),
        (libc::SOL_IPV6, EPERM),
        (libc::SOL_SOCKET, ALLOWED),
        (libc::SOL_TCP, ALLOWED),
    ] {
        caged(libc::SYS_setsockopt, &[5, level as u64], wanted);
    }
}

#[test]
fn memory_holds_no_new_code_a_terminal_gets_no_keys_and_nothing_connects_by_sending() {
    for (call, index, flag, kept) in [
        (
            libc::SYS_mmap,
            2,
            libc::PROT_EXEC,
            libc::PROT_READ | libc::PROT_WRITE,
        ),
        (libc::SYS_mprotect, 2, libc::PROT_EXEC, libc::PROT_READ),
        (libc::SYS_pkey_mprotect, 2, libc::PROT_EXEC, libc::PROT_READ),
        (libc::SYS_sendto, 3, libc::MSG_FASTOPEN, libc::MSG_NOSIGNAL),
        (libc::SYS_sendmsg, 2, libc::MSG_FASTOPEN, libc::MSG_NOSIGNAL),
        (
            libc::SYS_sendmmsg,
            3,
            libc::MSG_FASTOPEN,
            libc::MSG_NOSIGNAL,
        ),
    ] {
        for (value, wanted) in [(kept, ALLOWED), (flag, EPERM), (flag | kept, EPERM)] {
            let mut arguments = [0; 6];
            arguments[index] = value as u64;
            caged(call, &arguments, wanted);
            // The upper half is not looked at by the kernel either.
            arguments[index] |= 1 << 40;
            caged(call, &arguments, wanted);
        }
    }
    // TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, SIOCSIFFLAGS; and whether it is a terminal.
    for request in [0x5412, 0x541c, 0x4008_6602, 0x8914] {
        caged(libc::SYS_ioctl, &[0, request], EPERM);
    }
    for request in REQUESTS {
        caged(libc::SYS_ioctl, &[0, request as u64], ALLOWED);
    }
}
