//! Packs built by hand and a server that says what it is told, to be what no real git is.

use gix_zlib::{Compression, stream::deflate};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};
use zonule::git::ObjectId;

pub(crate) const COMMIT: u8 = 1;
pub(crate) const TREE: u8 = 2;
pub(crate) const BLOB: u8 = 3;
pub(crate) const OFS_DELTA: u8 = 6;
pub(crate) const REF_DELTA: u8 = 7;

/// A pack under construction.
#[derive(Default)]
pub(crate) struct Pack {
    body: Vec<u8>,
    count: u32,
}

impl Pack {
    /// Adds an object and returns its id.
    pub(crate) fn object(&mut self, kind: u8, content: &[u8]) -> ObjectId {
        self.entry(kind, content.len() as u64, &[], &deflate(content));
        id(kind, content)
    }

    /// Adds a file, a directory that holds it, and a commit of that; returns the commit's id.
    pub(crate) fn commit_of(&mut self, entries: &[(&str, &str, ObjectId)]) -> ObjectId {
        let tree = self.tree(entries);
        self.commit(tree)
    }

    pub(crate) fn tree(&mut self, entries: &[(&str, &str, ObjectId)]) -> ObjectId {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            content.extend_from_slice(id.as_slice());
        }
        self.object(TREE, &content)
    }

    pub(crate) fn commit(&mut self, tree: ObjectId) -> ObjectId {
        let who = "A <a@example.org> 1700000000 +0000";
        self.object(COMMIT, format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nmessage\n").as_bytes())
    }

    /// Adds an entry with whatever header and stream are given; returns where it starts.
    pub(crate) fn entry(&mut self, kind: u8, size: u64, base: &[u8], stream: &[u8]) -> u64 {
        let start = 12 + self.body.len() as u64;
        let mut byte = kind << 4 | (size & 15) as u8;
        let mut rest = size >> 4;
        while rest > 0 {
            self.body.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        self.body.push(byte);
        self.body.extend_from_slice(base);
        self.body.extend_from_slice(stream);
        self.count += 1;
        start
    }

    /// Adds `length` files, all but the first as deltas against the one before: each delta right behind its base, or each
    /// base behind its delta. [`link`] is what they hold.
    pub(crate) fn chain(&mut self, length: usize, reversed: bool) {
        if !reversed {
            self.object(BLOB, link(0).as_bytes());
        }
        for step in 1..length {
            let n = if reversed { length - step } else { step };
            self.ref_delta(id(BLOB, link(n - 1).as_bytes()), &replacing_delta(15, link(n).as_bytes()));
        }
        if reversed {
            self.object(BLOB, link(0).as_bytes());
        }
    }

    /// Adds a delta against the object `base`.
    pub(crate) fn ref_delta(&mut self, base: ObjectId, delta: &[u8]) {
        self.entry(REF_DELTA, delta.len() as u64, base.as_slice(), &deflate(delta));
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        self.finish_with_count(self.count)
    }

    pub(crate) fn finish_with_count(&self, count: u32) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend_from_slice(&count.to_be_bytes());
        pack.extend_from_slice(&self.body);
        seal(&mut pack);
        pack
    }
}

/// Returns what a link of a [chain](Pack::chain) holds.
pub(crate) fn link(n: usize) -> String {
    format!("revision {n:06}")
}

/// Appends the checksum.
pub(crate) fn seal(pack: &mut Vec<u8>) {
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(pack);
    pack.extend_from_slice(hasher.try_finalize().unwrap().as_slice());
}

pub(crate) fn id(kind: u8, content: &[u8]) -> ObjectId {
    let kind = match kind {
        COMMIT => gix_object::Kind::Commit,
        TREE => gix_object::Kind::Tree,
        _ => gix_object::Kind::Blob,
    };
    gix_object::compute_hash(gix_hash::Kind::Sha1, kind, content).unwrap()
}

pub(crate) fn deflate(content: &[u8]) -> Vec<u8> {
    let mut out = deflate::Write::new(Vec::new(), Compression::DEFAULT);
    out.write_all(content).unwrap();
    out.flush().unwrap();
    out.into_inner()
}

/// A delta that replaces a base of `base` bytes by `text`.
pub(crate) fn replacing_delta(base: u8, text: &[u8]) -> Vec<u8> {
    let mut delta = vec![base, text.len() as u8, text.len() as u8];
    delta.extend_from_slice(text);
    delta
}

pub(crate) fn line(text: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", text.len() + 4).into_bytes();
    line.extend_from_slice(text);
    line
}

/// What a server of protocol version 2 says whose HEAD is `tip`, up to the pack.
pub(crate) fn greeting(tip: ObjectId) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["version 2\n", "agent=fake\n", "ls-refs\n", "fetch=shallow\n"] {
        out.extend(line(text.as_bytes()));
    }
    out.extend_from_slice(b"0000");
    out.extend(line(format!("{tip} HEAD symref-target:refs/heads/main\n").as_bytes()));
    out.extend_from_slice(b"0000");
    out
}

/// All a server says to hand out `pack`.
pub(crate) fn conversation(tip: ObjectId, pack: &[u8]) -> Vec<u8> {
    let mut out = greeting(tip);
    out.extend(line(b"packfile\n"));
    for chunk in pack.chunks(1000) {
        out.extend(line(&[b"\x01", chunk].concat()));
    }
    out.extend_from_slice(b"0000");
    out
}

/// Serves one connection per entry of `says` and returns the URL. Each hears all of its bytes, then silence if `hold`.
pub(crate) fn serve(says: Vec<Vec<u8>>, hold: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/zones.git", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for bytes in says {
            let Ok((mut stream, _)) = listener.accept() else { return };
            if stream.write_all(&bytes).is_err() {
                continue;
            }
            if !hold {
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
            wait_for_end(stream);
        }
    });
    url
}

/// Reads until the other side is gone, so that closing does not take back what was sent.
fn wait_for_end(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink), Ok(n) if n > 0) {}
}
