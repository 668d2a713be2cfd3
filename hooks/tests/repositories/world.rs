//! The fixture of the tests: a bare repository served by git daemon, a clone of it, and the hooks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zonule_harness::{Remote, Sandbox, git, run};

/// The program under test.
pub(crate) const HOOK: &str = env!("CARGO_BIN_EXE_zonule-hook");

/// A repository, its clone and their directory; dropped in this order.
pub(crate) struct World {
    pub(crate) remote: Remote,
    pub(crate) sandbox: Sandbox,
}

/// The exit status and output of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) well: bool,
    pub(crate) text: String,
}

impl World {
    /// A bare repository that holds `files` and has the hooks, and a clone that pushes to it over git://.
    pub(crate) fn bare<N: AsRef<str>, C: AsRef<[u8]>>(files: impl IntoIterator<Item = (N, C)>) -> World {
        let world = World::without_hooks(files);
        run(&mut world.hook(&["install"], &world.bare_path())).unwrap();
        world
    }

    /// The same with the hooks of the work tree, and none in the bare repository.
    pub(crate) fn work_tree<N: AsRef<str>, C: AsRef<[u8]>>(files: impl IntoIterator<Item = (N, C)>) -> World {
        let world = World::without_hooks(files);
        run(&mut world.hook(&["install"], world.remote.clone_path())).unwrap();
        world
    }

    pub(crate) fn without_hooks<N: AsRef<str>, C: AsRef<[u8]>>(files: impl IntoIterator<Item = (N, C)>) -> World {
        let sandbox = Sandbox::new("hooks").unwrap();
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        remote.git(&["remote", "set-url", "origin", &remote.url("127.0.0.1")]).unwrap();
        World { remote, sandbox }
    }

    pub(crate) fn bare_path(&self) -> PathBuf {
        self.sandbox.path().join("zones.git")
    }

    /// The program under test with `arguments`, in `directory`.
    pub(crate) fn hook(&self, arguments: &[&str], directory: &Path) -> Command {
        let mut command = git(directory);
        let environment: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command = Command::new(HOOK);
        command.current_dir(directory).args(arguments);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Writes files of the clone; `None` as content removes a file.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            if let Some((directory, _)) = name.rsplit_once('/') {
                fs::create_dir_all(self.remote.clone_path().join(directory)).unwrap();
            }
            self.remote.write(name, content).unwrap();
        }
    }

    /// Runs git in the clone.
    pub(crate) fn git(&self, arguments: &[&str]) -> Said {
        said(git(self.remote.clone_path()).args(arguments))
    }

    /// Commits all there is in the clone, whatever is there.
    pub(crate) fn commit(&self, message: &str) {
        self.remote.git(&["add", "--all"]).unwrap();
        self.remote.git(&["commit", "--quiet", "--no-verify", "--allow-empty", "--message", message]).unwrap();
    }

    /// Writes files, commits them and pushes.
    pub(crate) fn push(&self, files: &[(&str, &str)]) -> Said {
        self.write(files);
        self.commit("Change");
        self.git(&["push", "origin", "HEAD"])
    }

    /// Sets the clone back to what the remote has.
    pub(crate) fn reset(&self) {
        self.remote.git(&["reset", "--quiet", "--hard", "@{upstream}"]).unwrap();
        self.remote.git(&["clean", "--quiet", "-d", "--force"]).unwrap();
    }

    /// The content of a file of a commit in the bare repository.
    pub(crate) fn served(&self, path: &str) -> String {
        self.remote.git_bare(&["show", &format!("main:{path}")]).unwrap()
    }
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said { well: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
}

impl Said {
    /// It went well.
    #[track_caller]
    pub(crate) fn fine(&self) -> &Self {
        assert!(self.well, "{}", self.text);
        self
    }

    /// It was refused.
    #[track_caller]
    pub(crate) fn refused(&self) -> &Self {
        assert!(!self.well, "{}", self.text);
        self
    }

    /// It said this.
    #[track_caller]
    pub(crate) fn with(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "no `{text}` in:\n{}", self.text);
        self
    }

    /// It did not say this.
    #[track_caller]
    pub(crate) fn without(&self, text: &str) -> &Self {
        assert!(!self.text.contains(text), "`{text}` in:\n{}", self.text);
        self
    }
}

/// The text of a zone, with `more` lines from line 6 on.
pub(crate) fn zone(serial: u32, more: &str) -> String {
    format!(
        "$TTL 300\n@ SOA ns1 hostmaster {serial} 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.80\n{more}"
    )
}
