//! Child processes that never outlive their handle.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{Error, Result};

/// The destination of a child's standard output and error.
#[derive(Clone, Debug)]
pub enum Console {
    /// The output of this process.
    Shown,
    /// A file.
    File(PathBuf),
}

/// A running child process.
///
/// It is killed when the handle is dropped. If the thread that started it dies without dropping it (a
/// signal, an abort), the kernel kills it: it runs under `setpriv --pdeathsig`, which requests that.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    /// Its command line, for a shell.
    line: String,
    console: Console,
    /// Whether it leads a process group of its own, which is killed with it.
    group: bool,
}

impl Process {
    /// Starts `program` with `arguments`, standard input closed.
    pub fn start<A: AsRef<OsStr>>(program: &Path, arguments: &[A], console: Console) -> Result<Process> {
        Process::begin(program, arguments, console, false)
    }

    /// Starts a program like [`Process::start`]; its own children are killed with it.
    pub fn start_group<A: AsRef<OsStr>>(program: &Path, arguments: &[A], console: Console) -> Result<Process> {
        Process::begin(program, arguments, console, true)
    }

    fn begin<A: AsRef<OsStr>>(program: &Path, arguments: &[A], console: Console, group: bool) -> Result<Process> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let words = [program.as_os_str()].into_iter().chain(arguments.iter().map(AsRef::as_ref));
        let line = words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments).stdin(Stdio::null());
        if let Console::File(path) = &console {
            let describe = || format!("cannot write {}", path.display());
            let file = File::create(path).map_err(Error::io(describe()))?;
            let second = file.try_clone().map_err(Error::io(describe()))?;
            command.stdout(file).stderr(second);
        }
        if group {
            command.process_group(0);
        }
        let child = command.spawn().map_err(|source| Error::Spawn { program: "setpriv".to_owned(), source })?;
        Ok(Process { child, name, line, console, group })
    }

    /// Returns its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().map_err(Error::io(format!("waiting for {}", self.name)))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its command line, as a shell takes it.
    pub fn command_line(&self) -> &str {
        &self.line
    }

    /// Returns its output so far; empty when its console is [`Console::Shown`].
    pub fn printed(&self) -> String {
        match &self.console {
            Console::Shown => String::new(),
            // A guest may print any octets, and the last character may be incomplete.
            Console::File(path) => String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', ""),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.group {
            // The id of the leader is not reused until it has been waited for.
            let group = format!("kill -s KILL -- -{}", self.child.id());
            let _ = Command::new("sh").args(["-c", &group]).stderr(Stdio::null()).status();
        }
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end and returns what it printed on standard output.
///
/// A failure carries both outputs.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|source| Error::Spawn { program, source })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let line = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    Err(Error::Failed { command: line, output: stdout + &String::from_utf8_lossy(&output.stderr) })
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Returns the last lines of a text.
pub(crate) fn last<'l>(lines: impl Iterator<Item = &'l str>, most: usize) -> String {
    let lines: Vec<&str> = lines.collect();
    lines[lines.len().saturating_sub(most)..].join("\n")
}

/// Returns the command prefix that gives a program a false time of day, in the syntax of `faketime`.
///
/// What that leaves behind of a program that is killed has the process's number in its name, and keeps the next process
/// of that number from starting. So it is removed: what bears one's own number is nobody else's.
pub(crate) fn at_another_time(when: &[&str]) -> Vec<String> {
    const SCRIPT: &str = "rm -f /dev/shm/faketime_shm_$$ /dev/shm/sem.faketime_sem_$$; exec faketime \"$@\"";
    ["sh", "-c", SCRIPT, "sh"].iter().chain(when).map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_words_for_a_shell() {
        assert_eq!(quoted("-icount"), "-icount");
        for word in ["", "a b", "it's", "$HOME", "x;y", "*"] {
            let printed = run(Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))])).unwrap();
            assert_eq!(printed, word);
        }
    }
}
