//! A git repository of zones, served by a real `git daemon`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Console, Error, Port, Process, Result, eventually, namespace, run};

/// A bare repository, a clone to change it from, and the daemon that serves it for fetch and push.
///
/// The user's git settings have no effect: global and system configuration are disabled, and the clone has
/// its own author.
#[derive(Debug)]
pub struct Remote {
    bare: PathBuf,
    clone: PathBuf,
    address: IpAddr,
    port: Port,
    daemon: Option<Process>,
}

impl Remote {
    /// Creates the repositories below `directory` (`zones.git` and the clone `zones`), with one commit that holds a
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

    /// Creates them like [`Remote::with_directory`], with `files` (name and content) instead of a copy.
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

    /// Creates the two repositories, without any commit and not yet served.
    fn prepare(directory: &Path) -> Result<Remote> {
        let (bare, clone) = (directory.join("zones.git"), directory.join("zones"));
        run(git(directory).args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&bare))?;
        run(git(directory).args(["init", "--quiet", "--initial-branch=main"]).arg(&clone))?;
        // In a namespace the image does not use the loopback device, and no other host can connect.
        let address = if namespace::inside() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }.into();
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

    /// The URL under which `host` (this machine, as the server sees it; an IPv6 address in brackets) serves the
    /// repository.
    pub fn url(&self, host: &str) -> String {
        format!("git://{host}:{}/zones.git", self.port.number())
    }

    /// Writes a file of the clone, and creates its directories.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.clone.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, content)).map_err(Error::io(format!("cannot write {}", path.display())))
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
    /// It writes into the bare repository directly and so also works while the daemon is stopped.
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

    /// Starts or restarts serving the repository; returns when the daemon accepts connections.
    pub fn serve(&mut self) -> Result<()> {
        let base = self.bare.parent().unwrap_or(&self.bare);
        self.daemon = Some(git_daemon(base, (self.address, self.port.number()).into())?);
        Ok(())
    }

    /// Serves the repository at another of this host's addresses than 127.0.0.1, or with `::` at all of them.
    pub fn serve_on(&mut self, address: impl Into<IpAddr>) -> Result<()> {
        self.go_away();
        self.address = address.into();
        self.serve()
    }

    /// Stops serving at once: the daemon and its children are killed, and connections are
    /// refused until [`Remote::serve`].
    pub fn go_away(&mut self) {
        self.daemon = None;
    }

    /// The address and the port of the daemon on this machine.
    pub fn address(&self) -> SocketAddr {
        let ip = if self.address.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { self.address };
        (ip, self.port.number()).into()
    }

    /// Runs git in the bare repository.
    pub fn git_bare(&self, arguments: &[&str]) -> Result<String> {
        run(git(&self.bare).args(arguments))
    }

    /// Makes another clone below `directory`, for another user: `name` is its directory's and the author's.
    pub fn clone_for(&self, directory: &Path, name: &str) -> Result<PathBuf> {
        let path = directory.join(name);
        let line = ["clone", "--quiet", "--config", "user.email=people@example.org", "--config", "gc.auto=0"];
        run(git(directory).args(line).args(["--config", &format!("user.name={name}")]).arg(&self.bare).arg(&path))?;
        Ok(path)
    }

    /// Updates the clone, with its own commits rebased on top.
    pub fn pull(&self) -> Result<()> {
        self.git(&["pull", "--quiet", "--rebase", "origin", "main"]).map(drop)
    }

    /// Installs `script` (of `sh`) as the hook `name` of the bare repository, see githooks(5), for all pushes.
    pub fn hook(&self, name: &str, script: &str) -> Result<()> {
        // Written to another file and renamed: a hook that is open for writing cannot be run.
        let (path, new) = (self.bare.join("hooks").join(name), self.bare.join("new-hook"));
        let text = format!("#!/bin/sh\n{script}\n");
        let written = fs::write(&new, text)
            .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(0o755)))
            .and_then(|()| fs::create_dir_all(self.bare.join("hooks")))
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(Error::io(format!("cannot write {}", path.display())))
    }

    /// Removes the hook `name`.
    pub fn unhook(&self, name: &str) -> Result<()> {
        let path = self.bare.join("hooks").join(name);
        fs::remove_file(&path).map_err(Error::io(format!("cannot remove {}", path.display())))
    }

    /// Installs a hook that waits until its gate is opened, if `condition` (of `sh`) holds.
    pub fn gate(&self, name: &str, condition: &str) -> Result<Gate> {
        let gate = Gate { entered: self.bare.join("gate-entered"), open: self.bare.join("gate-open") };
        for file in [&gate.entered, &gate.open] {
            let _ = fs::remove_file(file);
        }
        let (entered, open) = (gate.entered.display(), gate.open.display());
        // It times out after two minutes, in case the test has ended.
        let wait =
            format!("count=0; while [ ! -e {open} ] && [ $count -lt 2400 ]; do sleep 0.05; count=$((count + 1)); done");
        self.hook(name, &format!("cat >/dev/null\nif {condition}; then echo >>{entered}; {wait}; fi\nexit 0"))?;
        Ok(gate)
    }

    /// Forbids pushing through the daemon, or allows it again; fetching goes on.
    pub fn set_read_only(&self, read_only: bool) -> Result<()> {
        self.git_bare(&["config", "daemon.receivepack", if read_only { "false" } else { "true" }]).map(drop)
    }

    /// Simulates a full disk of the daemon, or ends that: its new children cannot write to files.
    pub fn set_disk_full(&self, full: bool) -> Result<()> {
        let daemon = self.daemon.as_ref().ok_or_else(|| Error::Ended { what: "there is no git daemon".to_owned() })?;
        // The soft limit, so that an ordinary user can raise it again.
        let limit = if full { "--fsize=0:" } else { "--fsize=unlimited:" };
        run(Command::new("prlimit").args([format!("--pid={}", daemon.id()), limit.to_owned()])).map(drop)
    }
}

/// A hook that waits; see [`Remote::gate`].
#[derive(Debug)]
pub struct Gate {
    entered: PathBuf,
    open: PathBuf,
}

impl Gate {
    /// Returns how many pushes have reached the gate.
    pub fn entered(&self) -> usize {
        fs::read(&self.entered).map_or(0, |lines| lines.len())
    }

    /// Waits until a push is at the gate.
    pub fn until_entered(&self) -> Result<()> {
        eventually("a push comes to the hook", || (self.entered() > 0).then_some(()))
    }

    /// Lets all pass, now and later.
    pub fn open(&self) -> Result<()> {
        fs::write(&self.open, "").map_err(Error::io("cannot open the gate"))
    }
}

/// Starts `git daemon` for the repositories in `base`, for fetch and push, and waits until it accepts connections.
pub fn git_daemon(base: &Path, address: SocketAddr) -> Result<Process> {
    let exec_path = run(git(base).arg("--exec-path"))?;
    // Not `git daemon`: that is a parent of the daemon, and killing it would leave the daemon behind.
    let program = Path::new(exec_path.trim()).join("git-daemon");
    let arguments = [
        // A file that grows beyond the limit is an error to its writer, as on a full disk, and no signal.
        "--ignore-signal=XFSZ".to_owned(),
        program.display().to_string(),
        "--reuseaddr".to_owned(),
        "--export-all".to_owned(),
        "--enable=receive-pack".to_owned(),
        format!("--listen={}", address.ip()),
        format!("--port={}", address.port()),
        format!("--base-path={}", base.display()),
        base.display().to_string(),
    ];
    let console = Console::File(base.join("git-daemon.log"));
    let mut daemon = Process::start_group(Path::new("env"), &arguments, console)?;
    eventually("git daemon accepts connections", || {
        if daemon.ended().is_some() {
            return Some(Err(Error::Ended { what: format!("git daemon ended: {}", daemon.printed()) }));
        }
        TcpStream::connect(address).is_ok().then_some(Ok(()))
    })??;
    Ok(daemon)
}

/// Returns a git command in `directory` that no settings outside of the repository affect.
pub fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    // Set while git runs a hook, and would name the wrong repository.
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
