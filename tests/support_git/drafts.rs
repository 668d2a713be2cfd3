//! Drafts of commits for tests, and what must be true after a push.

use std::{collections::BTreeMap, time::Duration};

use zonule::git::{Deadline, Draft, Error, Limits, ObjectId, Protocol, PushError, Remote, Repository, Signature};

use super::{
    Server, Work,
    fake::{BLOB, id},
    proxy::Proxy,
};

pub(crate) const AMPLE: Duration = Duration::from_secs(60);

pub(crate) fn fetched(url: &str) -> Repository {
    fetched_by(url, Protocol::V2)
}

pub(crate) fn fetched_by(url: &str, protocol: Protocol) -> Repository {
    let mut repository = Repository::new(Remote::parse(url).unwrap(), Limits::default()).with_protocol(protocol);
    repository.fetch().unwrap();
    repository
}

pub(crate) fn author() -> Signature {
    Signature::new("certbot._update.example.org", "hostmaster@example.org", 1_700_000_000)
}

pub(crate) fn committer() -> Signature {
    Signature::new("Zonule <zonule>", "zonule@localhost", 1_700_000_001)
}

/// Adds a commit that writes and removes files.
pub(crate) fn commit(
    draft: &mut Draft,
    repository: &Repository,
    message: &str,
    changes: &[(&str, Option<&str>)],
) -> ObjectId {
    try_commit(draft, repository, message, changes).unwrap()
}

pub(crate) fn try_commit(
    draft: &mut Draft,
    repository: &Repository,
    message: &str,
    changes: &[(&str, Option<&str>)],
) -> Result<ObjectId, Error> {
    let changes: BTreeMap<String, Option<Vec<u8>>> =
        changes.iter().map(|(path, new)| (path.to_string(), new.map(|new| new.as_bytes().to_vec()))).collect();
    draft.commit(repository, &changes, &author(), &committer(), message)
}

/// Returns a draft with one commit that sets the file `a`.
pub(crate) fn one_change(repository: &Repository, content: &str) -> Draft {
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, repository, "set a", &[("a", Some(content))]);
    draft
}

pub(crate) fn push(repository: &mut Repository, draft: &Draft) -> Result<(), PushError> {
    repository.push(draft, Deadline::from_now(AMPLE), AMPLE)
}

pub(crate) fn paths(repository: &Repository) -> Vec<String> {
    repository.files().unwrap().into_iter().map(|file| file.path).collect()
}

/// Checks that the branch at the server is what is held, and that git has nothing to complain of.
pub(crate) fn assert_sound(server: &Server, repository: &Repository) {
    let tip = server.git("zones.git", &["rev-parse", "main"]);
    assert_eq!(tip.trim(), repository.commit().unwrap().id.to_string());
    assert_eq!(server.git("zones.git", &["fsck", "--strict", "--full", "--no-dangling"]), "");
    let files = repository.files().unwrap();
    let mut held: Vec<String> = files.iter().map(|file| format!("{}\t{}", file.id, file.path)).collect();
    let listed = server.git("zones.git", &["ls-tree", "-r", "-z", "main"]);
    let held_too = |line: &&str| line.starts_with("100") || line.starts_with("120");
    let mut listed: Vec<&str> =
        listed.split_terminator('\0').filter(held_too).map(|line| &line["100644 blob ".len()..]).collect();
    held.sort();
    listed.sort();
    assert_eq!(held, listed);
    for file in files {
        assert_eq!(id(BLOB, &repository.read(file.id).unwrap()), file.id, "{}", file.path);
    }
}

/// A server, and a repository with the files `a`, `run.sh` (executable) and `sub/dir/zone`.
pub(crate) fn begin() -> (Server, Work) {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "first\n");
    work.write("run.sh", "#!/bin/sh\n");
    work.write("sub/dir/zone", "nested\n");
    std::os::unix::fs::symlink("a", work.dir.join("link")).unwrap();
    std::fs::set_permissions(work.dir.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    work.push("begin");
    (server, work)
}

pub(crate) fn proxied(proxy: &Proxy) -> String {
    format!("git://127.0.0.1:{}/zones.git", proxy.port)
}

/// Returns bytes that do not compress, different for each `seed`.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = seed;
    let mut byte = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 56) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// The text of a zone with `hosts` hosts.
pub(crate) fn zone_text(serial: usize, hosts: usize) -> String {
    let mut text = format!("$TTL 3600\n@ IN SOA ns1 hostmaster {serial} 7200 900 1209600 300\n@ IN NS ns1\n");
    for host in 0..hosts {
        let number = host * 2654435761 % (1 << 24);
        text += &format!("host{host} IN A 10.{}.{}.{}\n", number >> 16, number >> 8 & 255, number & 255);
    }
    text
}
