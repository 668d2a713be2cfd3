//! An ssh server for git: OpenSSH's, with its own configuration, keys and port.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Console, Error, Port, Process, Result, eventually, namespace, run};

/// A running sshd, which accepts logins of the user of this program.
#[derive(Debug)]
pub struct Sshd {
    directory: PathBuf,
    user: String,
    port: Port,
    process: Option<Process>,
}

impl Sshd {
    /// Starts one with a host key of type Ed25519 and `more` lines of configuration; its files are in `directory`/sshd.
    pub fn start(directory: &Path, more: &str) -> Result<Sshd> {
        Sshd::with_host_key(directory, "ed25519", more)
    }

    /// Starts one like [`Sshd::start`], with a host key of another type, by the name that `ssh-keygen -t` uses.
    pub fn with_host_key(directory: &Path, kind: &str, more: &str) -> Result<Sshd> {
        let (directory, port) = (directory.join("sshd"), Port::new());
        let describe = || format!("cannot write to {}", directory.display());
        fs::create_dir_all(&directory).map_err(Error::io(describe()))?;
        if namespace::is_root() {
            // It requires an empty directory for privilege separation, which usually its service creates.
            fs::create_dir_all("/run/sshd").map_err(Error::io("cannot make /run/sshd"))?;
        }
        let address: SocketAddr =
            (if namespace::inside() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }, port.number()).into();
        let place = directory.display();
        let path = std::env::var("PATH").unwrap_or_default();
        // The first of two equal settings takes effect.
        let config = format!(
            "{more}\nListenAddress {address}\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nMaxStartups 100\nLogLevel VERBOSE\n\
             SetEnv PATH={path} GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1\n"
        );
        fs::write(directory.join("sshd_config"), config).map_err(Error::io(describe()))?;
        fs::write(directory.join("authorized_keys"), "").map_err(Error::io(describe()))?;
        let user = run(Command::new("id").arg("-un"))?.trim().to_owned();
        let mut sshd = Sshd { directory, user, port, process: None };
        sshd.serve(kind)?;
        Ok(sshd)
    }

    /// Restarts it with another host key, as after a new installation.
    pub fn replace_host_key(&mut self) -> Result<()> {
        self.serve("ed25519")
    }

    /// Generates a host key and starts or restarts the server.
    fn serve(&mut self, kind: &str) -> Result<()> {
        self.process = None;
        let key = self.directory.join("host");
        // The log is removed so that a session of the previous server does not write into the new log.
        for file in [&key, &self.directory.join("host.pub"), &self.directory.join("log")] {
            let _ = fs::remove_file(file);
        }
        run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&key))?;
        let config = self.directory.join("sshd_config");
        let arguments = ["-D", "-e", "-f", &config.to_string_lossy()].map(str::to_owned);
        let console = Console::File(self.directory.join("log"));
        let mut process = Process::start_group(Path::new("/usr/sbin/sshd"), &arguments, console)?;
        eventually("sshd accepts connections", || {
            if process.ended().is_some() {
                return Some(Err(Error::Ended { what: format!("sshd ended: {}", process.printed()) }));
            }
            TcpStream::connect(self.port.address()).is_ok().then_some(Ok(()))
        })??;
        self.process = Some(process);
        Ok(())
    }

    /// Accepts only the keys of these lines of `authorized_keys`.
    pub fn let_in(&self, lines: &[&str]) -> Result<()> {
        let path = self.directory.join("authorized_keys");
        fs::write(&path, lines.join("\n") + "\n").map_err(Error::io(format!("cannot write {}", path.display())))
    }

    /// The user to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of a repository on this machine, for clients that reach it as `host`.
    pub fn url(&self, host: &str, repository: &Path) -> String {
        format!("ssh://{}@{host}:{}{}", self.user, self.port.number(), repository.display())
    }

    /// Returns the host key in the format of `ssh-keygen`.
    pub fn host_key(&self) -> Result<String> {
        let path = self.directory.join("host.pub");
        fs::read_to_string(&path).map_err(Error::io(format!("cannot read {}", path.display())))
    }

    /// Returns the host key's fingerprint in the format of `ssh-keygen`.
    pub fn fingerprint(&self) -> Result<String> {
        let shown = run(Command::new("ssh-keygen").arg("-lf").arg(self.directory.join("host.pub")))?;
        Ok(shown.split(' ').nth(1).unwrap_or_default().to_owned())
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
    }
}
