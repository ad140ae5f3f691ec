"""What each process of the agent may do, and the one call by which it becomes so.

Each `enter_…` is called once, with one thread, when everything that the process may need is imported
and nothing of a stranger's was read. Order: users and capabilities, no_new_privs, Landlock (it needs
a descriptor), the system-call filter last. Parser and link return the version of Landlock in force, 0
for none: that alone can't be read back from the kernel later.

`landlock` false leaves Landlock out: the filter and the user must hold without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from keycensus_agent.isolation import landlock as lock
from keycensus_agent.isolation import privileges, seccomp
from keycensus_agent.isolation.seccomp import ALLOW, MISSING, REFUSE, Filter, Rule, When
from keycensus_agent.isolation.users import link_user, parser_user, reader_user

# --- what no process of ours ever does ----------------------------------------------------------

_NEVER = (
    # Look into or steer other processes.
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
    # Ways around a filter, and the parts of the kernel with the most holes.
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open"),
    *("userfaultfd", "keyctl", "add_key", "request_key", "modify_ldt", "personality", "uselib"),
    # Another kernel, more kernel, other mounts, other namespaces.
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "unshare", "setns", "open_by_handle_at"),
    # The machine's own business.
    *("swapon", "swapoff", "reboot", "acct", "quotactl", "quotactl_fd", "syslog", "vhangup"),
    *("settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname"),
    *("setdomainname", "iopl", "ioperm", "lookup_dcookie", "nfsservctl", "fanotify_init"),
    # Devices and FIFOs; programs that are on no disk.
    *("mknod", "mknodat", "memfd_create", "memfd_secret"),
)
# linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; CLONE_THREAD.
_CLONE_NAMESPACES = 0x7E020000
_CLONE_THREAD = 0x00010000
# Type into the terminal of whoever started us (TIOCSTI, TIOCLINUX).
_TERMINAL_INPUT = (0x5412, 0x541C)
_PROT_EXEC = 4
# linux/socket.h; by number, so that a parser need not import the module of sockets.
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16

_COMMON: dict[str, Rule] = {
    **dict.fromkeys(_NEVER, REFUSE),
    "ioctl": When(1, values=_TERMINAL_INPUT, then=REFUSE, otherwise=ALLOW),
    "clone": When(0, mask=_CLONE_NAMESPACES, then=REFUSE, otherwise=ALLOW),
    # Its flags are in memory, where no filter can look: the C library then takes clone.
    "clone3": MISSING,
}


def _only_families(*families: int) -> dict[str, Rule]:
    rule = When(0, values=families, then=ALLOW, otherwise=REFUSE)
    return {"socket": rule, "socketpair": rule}


# --- launcher -------------------------------------------------------------------------------------

_LAUNCHER = Filter(_COMMON, ALLOW)
# To start a link as its user, with the identity as its directory, and to end one that hangs.
_LAUNCHER_KEEPS = privileges.mask(
    privileges.CAP_SETUID,
    privileges.CAP_SETGID,
    privileges.CAP_SETPCAP,
    privileges.CAP_KILL,
    privileges.CAP_DAC_READ_SEARCH,
)


def enter_launcher() -> None:
    """Keep what starting links takes. It speaks with the reader only, and opens nothing itself."""
    privileges.become(None, keep=_LAUNCHER_KEEPS if os.geteuid() == 0 else 0)
    privileges.seal()
    seccomp.install(_LAUNCHER, keep_mitigations=False)


# --- reader ---------------------------------------------------------------------------------------

# execve stays: the parser is a program, and a filter can't see which one is meant.
_READER = Filter({**_COMMON, **_only_families(_AF_UNIX)}, ALLOW)


def enter_reader(*, processes: bool = False) -> None:
    """Give up every socket but AF_UNIX, and every privilege but to read.

    With `processes` the right to see what other processes have open is kept, if it was given. It is not
    handed down, and the filter refuses all other uses of it: ptrace, memory and descriptors of others.
    """
    user = None if privileges.stays_root() else reader_user()
    seeing = privileges.mask(privileges.CAP_SYS_PTRACE) if processes else 0
    privileges.become(user, keep=privileges.to_read() | seeing, hand_down=True)
    privileges.seal()
    seccomp.install(_READER, keep_mitigations=False)


# --- link -----------------------------------------------------------------------------------------

_LINK = Filter(
    {
        **_COMMON,
        # AF_NETLINK: the C library asks for the own addresses when it sorts a name's.
        **_only_families(_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK),
        **dict.fromkeys(("execve", "execveat", "fork", "vfork"), REFUSE),
        "clone": When(0, mask=_CLONE_THREAD, then=ALLOW, otherwise=REFUSE),
        # The agent opens no listening port.
        **dict.fromkeys(("listen", "accept", "accept4"), REFUSE),
        **dict.fromkeys(
            ("kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"), REFUSE
        ),
    },
    ALLOW,
)
# What resolving a name, TLS and gRPC read: not all of it exists everywhere.
_LINK_READS = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/localtime", "/etc/ld.so.cache", "/etc/ssl"),
    *("/etc/pki/tls", "/etc/crypto-policies", "/usr/share/zoneinfo", "/usr/share/crypto-policies"),
    *("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/run/systemd/resolve", "/run/nscd"),
    *("/run/resolvconf", "/run/NetworkManager", "/var/lib/sss/pipes", "/var/lib/sss/mc"),
    *("/dev/urandom", "/sys/devices/system/cpu"),
)


def enter_link(directory: str | None, *, landlock: bool = True) -> int:
    """Become the link's user, without a capability; write only `directory`, start no program."""
    privileges.become(None if privileges.stays_root() else link_user())
    privileges.seal()
    version = lock.restrict(_link_grants(directory), network=True) if landlock else 0
    seccomp.install(_LINK, keep_mitigations=False)
    return version


def _link_grants(directory: str | None) -> Iterable[lock.Grant]:
    if directory is not None:
        yield lock.Grant(directory, lock.READ | lock.WRITE)
    yield lock.Grant(os.devnull, lock.READ_FILE | lock.WRITE_FILE)
    own = {sys.prefix, sys.base_prefix, *(path for path in sys.path if path)}
    for path in (*_LINK_READS, *sorted(own)):
        yield lock.Grant(path, lock.READ)


def enter_enrolment() -> None:
    """Keep what a command takes that speaks with a collector once and goes through root's hands."""
    privileges.seal()
    seccomp.install(_LINK, keep_mitigations=False)


# --- parser ---------------------------------------------------------------------------------------


def _parser_filter(pid: int) -> Filter:
    """Return the only calls that are left: compute, take memory, read and write what is open, end."""
    allowed = (
        *("read", "readv", "pread64", "recvmsg", "write", "writev", "close", "lseek"),
        *("poll", "ppoll"),
        *("munmap", "mremap", "brk", "madvise", "futex", "set_robust_list", "rseq", "membarrier"),
        *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
        *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time"),
        *("times", "getrusage", "getrlimit", "setrlimit", "getrandom", "sysinfo", "uname"),
        *("getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid"),
        *("sched_yield", "sched_getaffinity", "exit", "exit_group"),
    )
    no_code = When(2, mask=_PROT_EXEC, then=REFUSE, otherwise=ALLOW)
    return Filter(
        {
            **dict.fromkeys(allowed, ALLOW),
            "mmap": no_code,
            "mprotect": no_code,
            # Its own limits, and abort(): nobody else's.
            "prlimit64": When(0, values=(0, pid), then=ALLOW, otherwise=REFUSE),
            "tgkill": When(0, values=(pid,), then=ALLOW, otherwise=REFUSE),
        },
        REFUSE,
    )


def enter_parser(*, landlock: bool = True) -> int:
    """Keep computing, and the descriptors that are open; everything else is refused."""
    privileges.become(parser_user())
    privileges.seal()
    version = lock.restrict(network=False) if landlock else 0
    seccomp.install(_parser_filter(os.getpid()), keep_mitigations=True)
    return version
