//! A git repository of zones, served by a real `git daemon`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Console, Error, Port, Process, Result, eventually, namespace, run};

/// A bare repository, a clone to change it from, and the daemon that serves it for fetch and push.
///
/// The person's own git settings have no say: global and system configuration are off, and the clone carries
/// its own author.
#[derive(Debug)]
pub struct Remote {
    bare: PathBuf,
    clone: PathBuf,
    address: Ipv4Addr,
    port: Port,
    daemon: Option<Process>,
}

impl Remote {
    /// Makes the repositories below `directory` (`zones.git` and the clone `zones`), with one commit that holds a
    /// copy of the files of `zones`, and serves them.
    pub fn with_directory(directory: &Path, zones: &Path) -> Result<Remote> {
        let entries = fs::read_dir(zones).map_err(Error::io(format!("cannot read {}", zones.display())))?;
        let mut files = BTreeMap::new();
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).map_err(Error::io(format!("cannot read {}", path.display())))?);
        }
        Remote::with_files(directory, files)
    }

    /// As [`Remote::with_directory`], with `files` (name and content) instead of a copy.
    pub fn with_files<N: AsRef<str>, C: AsRef<[u8]>>(
        directory: &Path,
        files: impl IntoIterator<Item = (N, C)>,
    ) -> Result<Remote> {
        let mut remote = Remote::prepare(directory)?;
        for (name, content) in files {
            remote.write(name.as_ref(), content)?;
        }
        remote.push("Begin")?;
        remote.serve()?;
        Ok(remote)
    }

    /// Makes the two repositories, without any commit and not yet served.
    fn prepare(directory: &Path) -> Result<Remote> {
        let (bare, clone) = (directory.join("zones.git"), directory.join("zones"));
        run(git(directory).args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&bare))?;
        run(git(directory).args(["init", "--quiet", "--initial-branch=main"]).arg(&clone))?;
        // In a namespace the image comes by another way than the loopback, and nobody else can come.
        let address = if namespace::inside() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let remote = Remote { bare, clone, address, port: Port::new(), daemon: None };
        let origin = remote.bare.to_string_lossy().into_owned();
        remote.git(&["remote", "add", "origin", &origin])?;
        for (key, value) in [
            ("user.name", "Zonule Operator"),
            ("user.email", "hostmaster@example.org"),
            ("commit.gpgsign", "false"),
            ("push.default", "current"),
            ("gc.auto", "0"),
        ] {
            remote.git(&["config", key, value])?;
        }
        Ok(remote)
    }

    /// The clone: a work tree a person or a test changes and pushes from.
    pub fn clone_path(&self) -> &Path {
        &self.clone
    }

    /// The URL under which `host` (this machine, as the server sees it) serves the repository.
    pub fn url(&self, host: &str) -> String {
        format!("git://{host}:{}/zones.git", self.port.number())
    }

    /// Writes a file of the clone.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.clone.join(name);
        fs::write(&path, content).map_err(Error::io(format!("cannot write {}", path.display())))
    }

    /// The text of a file of the clone.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.clone.join(name);
        fs::read_to_string(&path).map_err(Error::io(format!("cannot read {}", path.display())))
    }

    /// Removes a file of the clone.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.clone.join(name);
        fs::remove_file(&path).map_err(Error::io(format!("cannot remove {}", path.display())))
    }

    /// Commits everything in the clone and pushes the current branch.
    ///
    /// It writes into the bare repository directly and so works while the daemon is away, too.
    pub fn push(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        self.git(&["push", "--quiet", "--set-upstream", "origin", "HEAD"])?;
        Ok(())
    }

    /// Runs git in the clone.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        run(git(&self.clone).args(arguments))
    }

    /// Serves the repository, from now on or again; returns when the daemon accepts connections.
    pub fn serve(&mut self) -> Result<()> {
        let base = self.bare.parent().unwrap_or(&self.bare);
        self.daemon = Some(git_daemon(base, (self.address, self.port.number()).into())?);
        Ok(())
    }

    /// Serves the repository at another of this host's addresses than 127.0.0.1.
    pub fn serve_on(&mut self, address: Ipv4Addr) -> Result<()> {
        self.go_away();
        self.address = address;
        self.serve()
    }

    /// Stops serving: connections are refused until [`Remote::serve`].
    pub fn go_away(&mut self) {
        self.daemon = None;
    }
}

/// Starts `git daemon` for the repositories in `base`, for fetch and push, and waits until it accepts connections.
pub fn git_daemon(base: &Path, address: SocketAddr) -> Result<Process> {
    let exec_path = run(git(base).arg("--exec-path"))?;
    // Not `git daemon`: that is a parent of the daemon, and killing it would leave the daemon behind.
    let program = Path::new(exec_path.trim()).join("git-daemon");
    let arguments = [
        "--reuseaddr".to_owned(),
        "--export-all".to_owned(),
        "--enable=receive-pack".to_owned(),
        format!("--listen={}", address.ip()),
        format!("--port={}", address.port()),
        format!("--base-path={}", base.display()),
        base.display().to_string(),
    ];
    let console = Console::File(base.join("git-daemon.log"));
    let mut daemon = Process::start(&program, &arguments, console)?;
    eventually("git daemon accepts connections", || {
        if daemon.ended().is_some() {
            return Some(Err(Error::Ended { what: format!("git daemon ended: {}", daemon.printed()) }));
        }
        TcpStream::connect(address).is_ok().then_some(Ok(()))
    })??;
    Ok(daemon)
}

/// A git command in `directory` that no setting outside of the repository influences.
pub fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    // Set while git runs a hook, and then aimed at the wrong repository.
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_TEMPLATE_DIR",
        "GIT_PROTOCOL",
        "GIT_OBJECT_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    command
}
