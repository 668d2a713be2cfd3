//! A git server and a working copy for tests, both real.
// Each test program uses its part of this.
#![allow(dead_code)]

pub(crate) mod drafts;
pub(crate) mod fake;
pub(crate) mod proxy;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use zonule_harness::{Console, Port, Process, Sandbox, eventually, git_daemon, run};

/// A directory with bare repositories, and `git daemon` serving them until the value is dropped.
pub(crate) struct Server {
    pub(crate) port: Port,
    sandbox: Sandbox,
    _daemon: Process,
}

/// A working copy; what is committed is pushed to the server.
pub(crate) struct Work {
    pub(crate) dir: PathBuf,
    name: String,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let (sandbox, port) = (Sandbox::new("git").unwrap(), Port::new());
        let daemon = git_daemon(sandbox.path(), port.address()).unwrap();
        Server { port, sandbox, _daemon: daemon }
    }

    /// As [`Server::start`], where the daemon and all it starts run after the shell commands `first`.
    pub(crate) fn start_after(first: &str) -> Self {
        let (sandbox, port) = (Sandbox::new("git").unwrap(), Port::new());
        let script = format!(
            "{first}; exec \"$(git --exec-path)/git-daemon\" --reuseaddr --export-all --enable=receive-pack \
             --listen=127.0.0.1 --port={} --base-path=. .",
            port.number()
        );
        let script = format!("cd {} && {script}", sandbox.path().display());
        let console = Console::File(sandbox.path().join("git-daemon.log"));
        let daemon = Process::start(Path::new("/bin/sh"), &["-c", &script], console).unwrap();
        eventually("git daemon accepts connections", || std::net::TcpStream::connect(port.address()).ok()).unwrap();
        Server { port, sandbox, _daemon: daemon }
    }

    /// Makes an empty bare repository and a working copy for it, on branch `main`.
    pub(crate) fn repository(&self, name: &str) -> Work {
        let root = self.sandbox.path();
        let bare = root.join(name);
        git(root, &["init", "-q", "--bare", "-b", "main", name]);
        // A test's repository need not survive a power cut.
        git(&bare, &["config", "core.fsync", "none"]);
        let dir = root.join(format!("{name}.work"));
        git(root, &["init", "-q", "-b", "main", dir.to_str().unwrap()]);
        git(&dir, &["remote", "add", "origin", bare.to_str().unwrap()]);
        git(&dir, &["config", "user.name", "Zone Editor"]);
        git(&dir, &["config", "user.email", "editor@example.org"]);
        Work { dir, name: name.into(), port: self.port.number() }
    }

    /// Returns where the bare repository is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path().join(name)
    }

    /// Installs a shell script as a hook of the bare repository.
    pub(crate) fn hook(&self, name: &str, hook: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name).join("hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Runs git in the bare repository.
    pub(crate) fn git(&self, name: &str, args: &[&str]) -> String {
        git(&self.path(name), args)
    }
}

impl Work {
    pub(crate) fn url(&self) -> String {
        format!("git://127.0.0.1:{}/{}", self.port, self.name)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.dir, args)
    }

    /// Commits everything and returns the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().into()
    }

    /// Commits everything, pushes the current branch whatever the server has, and returns the commit's id.
    pub(crate) fn push(&self, message: &str) -> String {
        let id = self.commit(message);
        self.git(&["push", "-q", "-f", "origin", "HEAD"]);
        id
    }
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    run(zonule_harness::git(dir).args(args)).unwrap()
}

/// Returns a port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
