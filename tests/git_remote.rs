//! Fetching from real git servers, and from servers that misbehave.

mod support_git;

use support_git::{Server, Work, free_port};
use zonule::git::{Error, Fetched, Limits, Protocol, Remote, Repository};

fn repository(url: &str) -> Repository {
    Repository::new(Remote::parse(url).unwrap(), Limits::default())
}

fn paths(repository: &Repository) -> Vec<String> {
    repository.files().unwrap().into_iter().map(|file| file.path).collect()
}

/// Checks that what is held is what git has at `commit`: every file, byte by byte, and nothing else.
fn assert_holds(repository: &Repository, work: &Work, commit: &str) {
    assert_eq!(repository.commit().unwrap().id.to_string(), commit);
    let listed = work.git(&["ls-tree", "-r", "-z", "--full-tree", commit]);
    let mut expected: Vec<(String, String)> = listed
        .split_terminator('\0')
        .map(|line| line.split_once('\t').unwrap())
        .filter(|(meta, _)| meta.starts_with("100"))
        .map(|(meta, path)| (path.to_string(), meta.rsplit(' ').next().unwrap().to_string()))
        .collect();
    expected.sort();
    let files = repository.files().unwrap();
    let found: Vec<(String, String)> = files.iter().map(|file| (file.path.clone(), file.id.to_string())).collect();
    assert_eq!(found, expected);
    for file in files {
        let content = repository.read(file.id).unwrap();
        assert_eq!(content, std::fs::read(work.dir.join(&file.path)).unwrap(), "{}", file.path);
    }
}

/// Returns the size of the pack of a fetch that must have moved to `commit`.
fn moved(fetched: Fetched, to: &str) -> u64 {
    match fetched {
        Fetched::Moved { commit, pack_bytes, .. } if commit.to_string() == to => pack_bytes,
        other => panic!("not moved to {to}: {other:?}"),
    }
}

#[test]
fn clones_the_newest_commit_only() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("example.org", "old\n");
    let old = work.push("first");
    work.write("example.org", "new\n");
    work.write("sub/dir/example.net", "nested\n");
    work.write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("example.org", work.dir.join("link")).unwrap();
    let new = work.push("second\n\nwith a body");

    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        let mut repository = repository(&work.url()).with_protocol(protocol);
        assert!(repository.commit().is_none());
        assert!(matches!(repository.files(), Err(Error::NotFetched)));
        moved(repository.fetch().unwrap(), &new);
        assert_holds(&repository, &work, &new);
        let commit = repository.commit().unwrap();
        assert_eq!((commit.author.as_str(), commit.summary.as_str()), ("Zone Editor", "second"));
        assert_eq!(paths(&repository), ["example.org", "run.sh", "sub/dir/example.net"]);
        // The commit, three directories, three files and the link: neither the first commit nor its file.
        assert_eq!(repository.store().len(), 8, "{protocol:?}");
        assert!(repository.read(old.parse().unwrap()).is_err());
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
    }
}
