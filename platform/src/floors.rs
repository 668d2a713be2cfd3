//! Checks of the source itself: no floor calls a higher one, and only the lowest names the processor.
//!
//! Unit tests may use whatever they like, so what comes after `mod tests {` is not looked at, nor are comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// The floors from the lowest to the highest: each may use itself and those before it.
const FLOORS: [&str; 8] = ["arch", "base", "memory", "kernel", "drivers", "net", "abi", "start"];

/// What only the lowest floor may name: instructions, and the crates that stand for them.
const PROCESSOR: [&str; 7] =
    ["asm!", "core::arch::", "x86_64::", "raw_cpuid", "_rdtsc", "target_feature", "target_arch"];

/// The files above the lowest floor that may use ports: those of devices whose ports the firmware or PCI assigns.
const PORTS: [&str; 2] = ["drivers/button.rs", "drivers/virtio/ports.rs"];

/// The macros by which messages are printed, of the floor `base`.
const MESSAGES: [&str; 2] = ["kprintln", "fatal"];

/// The files of `net` that may import each other: each adds methods to `Stack` for one kind of socket, and `Stack` calls
/// them.
const STACK: [&str; 6] =
    ["net/datagram.rs", "net/icmp.rs", "net/listener.rs", "net/socket.rs", "net/stack.rs", "net/stream.rs"];

/// A source file, without its comments and tests.
struct Source {
    /// Its path below `src`.
    file: String,
    /// The names of the modules it is: `["kernel", "thread", "list"]`.
    module: Vec<String>,
    code: String,
}

impl Source {
    fn floor(&self) -> usize {
        floor(&self.module[0]).unwrap_or_else(|| panic!("{} is on no floor", self.file))
    }

    /// Returns the room of the floor that the file is in: a file of its own or a folder.
    fn room(&self) -> Vec<String> {
        room(&self.module)
    }

    /// Returns the paths the file names, as modules from the root; those into other crates are left out.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for (at, _) in ["crate::", "super::", "self::"].into_iter().flat_map(|word| self.code.match_indices(word)) {
            let before = self.code[..at].chars().next_back();
            // `$crate` stands in macros, which are looked at where they are used; the rest of `super::super` is part of it.
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                continue;
            }
            for path in expand(&self.code[at..]) {
                let mut words = path.split("::").map(str::trim).map(String::from).peekable();
                let mut base = if path.starts_with("crate") { Vec::new() } else { self.module.clone() };
                while let Some(word) = words.next_if(|word| ["super", "crate", "self"].contains(&word.as_str())) {
                    if word == "super" {
                        base.pop();
                    }
                }
                base.extend(words);
                paths.push(base);
            }
        }
        paths
    }
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|&floor| floor == name)
}

fn room(path: &[String]) -> Vec<String> {
    // The processor's floor has its rooms one deeper.
    let depth = if path.get(1).is_some_and(|name| name.starts_with("x86")) { 3 } else { 2 };
    path.iter().take(depth).cloned().collect()
}

/// Returns the paths that `text` begins with: one, or as many as its braces name.
fn expand(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(text.len());
    let prefix = &text[..end];
    let Some(group) = text[end..].strip_prefix('{').filter(|_| prefix.ends_with("::")) else {
        return Vec::from([prefix.trim_end_matches(':').to_string()]);
    };
    let mut paths = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..at].trim();
                if !item.is_empty() {
                    paths.extend(expand(item).into_iter().map(|path| [prefix, &path].concat()));
                }
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    paths
}

/// Returns every source file of the platform but the crate's root and what is compiled for tests only.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let sources = files.into_iter().filter_map(|path| {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
        if matches!(file.as_str(), "lib.rs" | "floors.rs")
            || path.iter().chain(path.file_stem()).any(|name| name == "tests")
        {
            return None;
        }
        let module = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').map(String::from).collect();
        let code: String = fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(without_comment)
            .fold(String::new(), |all, line| all + line + "\n");
        let code = match code.split_once("mod tests {") {
            Some((code, _)) => code.to_string(),
            None => code,
        };
        Some(Source { file, module, code })
    });
    sources.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[test]
fn no_floor_uses_a_higher_one() {
    let mut faults = Vec::new();
    for source in sources() {
        for path in source.paths() {
            match floor(&path[0]) {
                Some(above) if above > source.floor() => {
                    faults.push(format!("{} uses {}", source.file, path.join("::")))
                }
                Some(_) => {}
                None if MESSAGES.contains(&path[0].as_str()) && source.floor() >= floor("base").unwrap() => {}
                None => faults.push(format!("{} uses {}, which is on no floor", source.file, path.join("::"))),
            }
        }
        let messages = MESSAGES.iter().any(|name| source.code.contains(&[name, "!"].concat()));
        if messages && source.floor() < floor("base").unwrap() {
            faults.push(format!("{} prints messages by a higher floor", source.file));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_rooms_of_a_floor_do_not_use_each_other_in_circles() {
    let mut uses: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    let sources = sources();
    let rooms: BTreeSet<_> = sources.iter().map(Source::room).collect();
    for source in &sources {
        // The stack's parts belong together; what leads to a room is its floor's own file.
        if source.module[0] == "net" || source.module.len() < source.room().len() {
            continue;
        }
        let used = source.paths().into_iter().map(|path| room(&path));
        let used = used.filter(|used| *used != source.room() && rooms.contains(used) && used[0] == source.module[0]);
        uses.entry(source.room()).or_default().extend(used);
    }
    keep_circles(&mut uses);
    assert!(uses.is_empty(), "these use each other, or something that does: {uses:#?}");
}

/// Removes everything that is not part of a circle and uses none.
fn keep_circles<T: Clone + Ord>(uses: &mut BTreeMap<T, BTreeSet<T>>) {
    // What uses none of those left cannot be in a circle.
    while let Some(free) = uses.iter().find(|(_, used)| !used.iter().any(|used| uses.contains_key(used))) {
        let free = free.0.clone();
        uses.remove(&free);
    }
}

#[test]
fn the_files_of_net_import_each_other_in_one_direction() {
    let sources: Vec<_> = sources().into_iter().filter(|source| source.module[0] == "net").collect();
    // The files of `STACK` count as one.
    let node = |file: &str| if STACK.contains(&file) { "net/stack.rs".to_string() } else { file.to_string() };
    let file_of = |path: &[String]| {
        let candidates = sources.iter().filter(|source| path.starts_with(&source.module));
        candidates.max_by_key(|source| source.module.len()).map(|source| node(&source.file))
    };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        let this = node(&source.file);
        let used = source.paths().into_iter().filter_map(|path| file_of(&path));
        let used: Vec<_> = used.filter(|used| *used != this).collect();
        uses.entry(this).or_default().extend(used);
    }
    keep_circles(&mut uses);
    assert!(uses.is_empty(), "these import each other, or something that does: {uses:#?}");
}

#[test]
fn only_the_lowest_floor_names_the_processor() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.module[0] != "arch") {
        let named = PROCESSOR.into_iter().filter(|name| source.code.contains(name));
        faults.extend(named.map(|name| format!("{} names {name}", source.file)));
        let ports = source.paths().iter().any(|path| path.starts_with(&["arch".to_string(), "port".to_string()]));
        if ports && !PORTS.contains(&source.file.as_str()) {
            faults.push(format!("{} uses ports", source.file));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn paths_are_found_in_groups() {
    let source = Source {
        file: "kernel/thread/list.rs".into(),
        module: ["kernel", "thread", "list"].map(String::from).to_vec(),
        code: "use crate::arch::{self, time::{cycles, timer}};\nlet x = super::super::fd::get(super::block::A);".into(),
    };
    let paths: Vec<_> = source.paths().iter().map(|path| path.join("::")).collect();
    assert_eq!(
        paths,
        ["arch::self", "arch::time::cycles", "arch::time::timer", "kernel::fd::get", "kernel::thread::block::A"]
    );
}
