//! A git server and a working copy for tests, both real.
// Each test program uses its part of this.
#![allow(dead_code)]

pub(crate) mod fake;

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A directory with bare repositories, and `git daemon` serving them until the value is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    root: PathBuf,
    daemon: Child,
}

/// A working copy; what is committed is pushed to the server.
pub(crate) struct Work {
    pub(crate) dir: PathBuf,
    name: String,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("git-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        // The daemon itself, not the `git` that would start it, so that the process we end is the one that listens.
        let exec_path = git(&root, &["--exec-path"]);
        let port = free_port();
        let mut command = Command::new(Path::new(exec_path.trim()).join("git-daemon"));
        isolate(&mut command);
        let daemon = command
            .args(["--listen=127.0.0.1", "--export-all", "--reuseaddr"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", root.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { port, root, daemon };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("git daemon does not listen");
    }

    /// Makes an empty bare repository and a working copy for it, on branch `main`.
    pub(crate) fn repository(&self, name: &str) -> Work {
        let bare = self.root.join(name);
        git(&self.root, &["init", "-q", "--bare", "-b", "main", name]);
        let dir = self.root.join(format!("{name}.work"));
        git(&self.root, &["init", "-q", "-b", "main", dir.to_str().unwrap()]);
        git(&dir, &["remote", "add", "origin", bare.to_str().unwrap()]);
        Work { dir, name: name.into(), port: self.port }
    }

    /// Runs git in the bare repository.
    pub(crate) fn git(&self, name: &str, args: &[&str]) -> String {
        git(&self.root.join(name), args)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = std::fs::remove_dir_all(&self.root);
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
    let mut command = Command::new("git");
    isolate(&mut command);
    let output = command.current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns a port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn isolate(command: &mut Command) {
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Zone Editor"),
        ("GIT_AUTHOR_EMAIL", "editor@example.org"),
        ("GIT_COMMITTER_NAME", "Zone Editor"),
        ("GIT_COMMITTER_EMAIL", "editor@example.org"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C"),
    ] {
        command.env(name, value);
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PROTOCOL", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(name);
    }
}
