//! Calls for files, processes and users: each fails as on Linux.
//!
//! Libraries link these in without calling them. The arguments are of no interest, so none are declared.

use super::errno::fail;
use core::ffi::c_char;
use core::ptr;

macro_rules! failing {
    ($($code:ident: $($name:ident)*;)*) => {$($(
        extern "C" fn $name() -> isize {
            fail(libc::$code)
        }
        export!($name);
    )*)*};
}

failing! {
    ENOENT:
        access chdir chmod chown lchown linkat lstat64 mkdir mkfifo openat64 readlink rename rmdir
        stat64 symlink truncate64 unlink utimensat;
    ENOTDIR: dirfd fchdir fstatat64 readlinkat unlinkat;
    ESPIPE: lseek64 pread64 preadv pwrite64 pwritev;
    EINVAL: fdatasync fsync ftruncate64 futimens;
    ENOSYS:
        chroot dup2 execvp fchmod fchown flock fork getpwuid_r kill pipe2 sendfile64 setenv setgid setgroups
        setpgid setsid setuid sigaddset sigemptyset socketpair splice symlinkat unsetenv;
    ECHILD: waitid waitpid;
    EBADF: closedir;
}

macro_rules! failing_weak {
    ($($name:ident)*) => {$(
        extern "C" fn $name() -> isize {
            fail(libc::ENOSYS)
        }
        export!(weak $name);
    )*};
}

failing_weak! { copy_file_range statx }

/// These return the error rather than set it.
macro_rules! returning {
    ($($name:ident)*) => {$(
        extern "C" fn $name() -> isize {
            libc::ENOSYS as isize
        }
        export!($name);
    )*};
}

returning! {
    posix_spawn_file_actions_adddup2 posix_spawn_file_actions_destroy posix_spawn_file_actions_init
    posix_spawnattr_destroy posix_spawnattr_init posix_spawnattr_setflags posix_spawnattr_setpgroup
    posix_spawnattr_setsigdefault posix_spawnp
}

/// These return a pointer.
macro_rules! pointing_nowhere {
    ($($name:ident)*) => {$(
        extern "C" fn $name() -> *mut c_char {
            super::errno::set(libc::ENOENT);
            ptr::null_mut()
        }
        export!($name);
    )*};
}

pointing_nowhere! { fdopendir getcwd opendir readdir64 realpath }

/// The one user there is.
macro_rules! root {
    ($($name:ident)*) => {$(
        extern "C" fn $name() -> isize {
            0
        }
        export!($name);
    )*};
}

root! { getegid geteuid getgid getppid getuid }
