//! `cargo xtask run`: builds and starts a server, and prints commands to try.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use zonule_harness::{Console, Error as HarnessError, Machine, Port, Remote, Target, workspace};

use crate::cargo::{self, Error, Profile, Result};
use crate::image::Program;
use crate::tools::{self, DIG, GIT, QEMU, SETPRIV};

/// The zone that is queried to check the server.
const ZONE: &str = "example.org";

/// The file with the key that may change it, and that key's name.
const KEYS: &str = "example.org._keys";
const KEY: &str = "laptop._update.example.org";

/// The options of the command line.
struct Options<'a> {
    hosted: bool,
    machine: Machine,
    arguments: &'a [&'a str],
}

/// Serves the example zones until Ctrl-C, which ends this process and its children alike.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words)?;
    tools::ensure(if options.hosted { &[GIT, DIG, SETPRIV] } else { &[QEMU, GIT, DIG, SETPRIV] })?;
    let (target, name) = if options.hosted {
        (Target::hosted(cargo::hosted(Profile::Development)?), "hosted")
    } else {
        (Target::Image { elf: cargo::image(Program::Zonule)?, machine: options.machine }, "image")
    };

    let (directory, _lock) = prepare(name)?;
    let remote = Remote::with_directory(&directory, &workspace().join("zones-example"))?;
    let port = Port::new();
    let mut boot = target.boot().remote(&remote);
    for argument in options.arguments {
        boot = boot.argument(*argument);
    }
    let mut server = boot.start_on(port, Console::Shown)?;
    server.until_serving(ZONE)?;
    print!("{}", invitation(server.address().port(), remote.clone_path(), &remote.read(KEYS)?)?);

    let status = server.wait()?;
    Err(Error::Unexpected(format!("the server ended ({status})")))
}

impl Options<'_> {
    fn parse<'a>(words: &'a [&'a str]) -> Result<Options<'a>> {
        let mut options = Options { hosted: false, machine: Machine::Microvm, arguments: &[] };
        for (index, word) in words.iter().enumerate() {
            match *word {
                "--hosted" => options.hosted = true,
                "--" => {
                    options.arguments = &words[index + 1..];
                    break;
                }
                other => {
                    let name = other.strip_prefix("--machine=");
                    options.machine = Machine::ALL
                        .into_iter()
                        .find(|machine| name == Some(&machine.to_string()))
                        .ok_or_else(|| Error::Usage(format!("`run` knows no `{other}`")))?;
                }
            }
        }
        Ok(options)
    }
}

/// An empty directory below `target/run/` that is this run's alone until the returned file is closed.
///
/// The next run reuses and empties it, so Ctrl-C leaves behind no more
/// than one directory.
fn prepare(name: &str) -> Result<(PathBuf, File)> {
    let parent = workspace().join("target/run");
    make_directory(&parent)?;
    // Another run at the same time gets another number.
    for number in 1.. {
        let directory = parent.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
        // Outside the directory, so that emptying it keeps the lock.
        let path = directory.with_extension("lock");
        let lock = File::create(&path).map_err(HarnessError::io(format!("cannot make {}", path.display())))?;
        match lock.try_lock() {
            Ok(()) => {
                make_directory(&directory)?;
                let what = format!("cannot empty {}", directory.display());
                fs::remove_dir_all(&directory).map_err(HarnessError::io(what))?;
                make_directory(&directory)?;
                return Ok((directory, lock));
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(HarnessError::io(format!("cannot lock {}", path.display()))(error).into());
            }
        }
    }
    unreachable!("numbers do not run out before directories do")
}

fn make_directory(path: &Path) -> Result<()> {
    Ok(fs::create_dir_all(path).map_err(HarnessError::io(format!("cannot make {}", path.display())))?)
}

/// Returns the commands to try; `keys` is the text of [`KEYS`].
fn invitation(port: u16, clone: &Path, keys: &str) -> Result<String> {
    let clone = clone.display();
    let line = keys.lines().find(|line| line.starts_with(KEY));
    let Some(secret) = line.and_then(|line| line.split_whitespace().last()) else {
        return Err(Error::Unexpected(format!("zones-example/{KEYS} has no key {KEY}")));
    };
    Ok(format!(
        "
Zonule answers on 127.0.0.1 port {port}. In another terminal:

  dig @127.0.0.1 -p {port} www.example.org
  dig @127.0.0.1 -p {port} +tcp example.org MX
  dig @127.0.0.1 -p {port} -x 192.0.2.80

Its zones are a git repository. An update becomes a commit there:

  nsupdate -y hmac-sha256:{KEY}:{secret} <<'END'
  server 127.0.0.1 {port}
  zone example.org
  update add host7.example.org 3600 A 192.0.2.7
  send
  END
  dig @127.0.0.1 -p {port} +short host7.example.org
  cd '{clone}' && git pull -q && git show

And a commit is served as soon as it is pushed, its serial raised if you did not:

  printf 'hello A 192.0.2.99\\n' >> sub.example.org
  git commit -qam 'Add hello' && git push -q
  until dig @127.0.0.1 -p {port} +short hello.sub.example.org | grep .; do sleep 1; done
  git pull -q && git log --oneline

Ctrl-C ends it.

"
    ))
}
