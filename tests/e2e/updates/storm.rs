//! While many clients update and many people push at random, nobody's work is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use zonule_harness::{Key, PATIENCE, git, run};

use crate::scene::zone;
use crate::updates::scene::{KEYS, Updating, ZONE};

/// How many of each there shall be, updates and pushes.
const WANTED: usize = 150;

/// After how long a slow machine may stop nevertheless.
const LENGTH: Duration = Duration::from_secs(40);

/// How many there must be of each even then.
const LEAST: usize = 25;

/// How many people work by hand, each in a section of the zone's file, and how many clients update.
const PEOPLE: u32 = 3;
const CLIENTS: u32 = 12;

/// How long a person rests between two edits.
const PAUSE: Duration = Duration::from_millis(300);

/// How long gusts and lulls last.
const GUST: Duration = Duration::from_millis(700);

scenario!(nobodys_work_is_lost_in_a_storm, |target| {
    let sections: Vec<String> =
        (0..PEOPLE).map(|person| format!("; Of person {person}.\n{}\n", end_of(person))).collect();
    let key = Key::new("laptop._update.example.org").unwrap();
    let files = vec![
        (ZONE.to_owned(), zone(1, &format!("\n{}; Of the machines.\n", sections.concat()))),
        (KEYS.to_owned(), key.line()),
        ("notes.txt".to_owned(), "No zone.\n".to_owned()),
    ];
    let mut scene = Updating::with_files(target, files, key, &[]);
    let (updates, edits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let enough = || {
        let least = updates.load(Ordering::Relaxed).min(edits.load(Ordering::Relaxed));
        least >= WANTED || start.elapsed() > LENGTH && least >= LEAST || start.elapsed() > PATIENCE
    };
    let lines: Vec<String> = thread::scope(|scope| {
        let (updating, enough, updates, edits) = (&scene, &enough, &updates, &edits);
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut numbers = client * 1_000_000..;
                while !enough() {
                    if is_lull(start.elapsed()) {
                        thread::sleep(GUST / 10);
                        continue;
                    }
                    let number = numbers.next().unwrap();
                    let outcome = updating.add(number);
                    assert!(["NOERROR", "SERVFAIL"].contains(&outcome.status.as_str()), "{}", outcome.text);
                    if outcome.status == "NOERROR" {
                        updates.fetch_add(1, Ordering::Relaxed);
                        if number % 3 == 0 {
                            updating.delete(number);
                        }
                    }
                }
            });
        }
        let people: Vec<_> = (0..PEOPLE)
            .map(|person| {
                scope.spawn(move || {
                    let mut lines = Vec::new();
                    while !enough() {
                        lines.push(edit(updating, person, lines.len()));
                        edits.fetch_add(1, Ordering::Relaxed);
                        // On a fast machine three people without a pause push more often than the emulated one can.
                        thread::sleep(PAUSE);
                    }
                    lines
                })
            })
            .collect();
        people.into_iter().flat_map(|person| person.join().unwrap()).collect()
    });
    let log = scene.check();
    let text = scene.remote.show(ZONE).unwrap();
    let missing: Vec<_> = lines.iter().filter(|line| !text.lines().any(|have| have == *line)).collect();
    assert!(missing.is_empty(), "lost: {missing:?}");
    let (updates, edits) = (updates.into_inner(), lines.len());
    println!("{updates} updates, {edits} edits, {} commits, {:?}", log.len(), start.elapsed());
    assert!(updates.min(edits) >= LEAST, "no storm: {updates} updates, {edits} edits");
    // Sections are where they were, and so is what is no zone.
    for section in &sections {
        let (begin, end) = section.trim_end().split_once('\n').unwrap();
        assert!(text.find(begin).unwrap() < text.find(end).unwrap(), "{text}");
    }
    assert_eq!(scene.remote.show("notes.txt").unwrap(), "No zone.\n");
});

/// Whether the clients rest at this time, which is so every now and then: beside a server that pushes without end, people
/// with their slower tools would hardly ever find the branch where they have seen it.
fn is_lull(time: Duration) -> bool {
    let gust = time.div_duration_f64(GUST) as u32;
    // Multiplication mixes the upper bits well (Knuth, TAOCP 6.4).
    gust.wrapping_mul(2_654_435_769) >> 31 == 0
}

/// The last line of a person's section.
fn end_of(person: u32) -> String {
    format!("; End of {person}.\n")
}

/// A person's work: a new line in a section of one's own, pushed however often that takes. Returns the line.
fn edit(updating: &Updating, person: u32, number: usize) -> String {
    let name = format!("person{person}");
    let clone = updating.sandbox.path().join(&name);
    if !clone.is_dir() {
        updating.remote.clone_for(updating.sandbox.path(), &name).unwrap();
    }
    let line = format!("p{person}-{number} A 10.{person}.{}.{} ; by hand", number / 256, number % 256);
    let git = |arguments: &[&str]| run(git(&clone).args(arguments));
    let change = || {
        git(&["fetch", "--quiet", "origin"]).unwrap();
        git(&["reset", "--quiet", "--hard", "origin/main"]).unwrap();
        let path = clone.join(ZONE);
        let text = fs::read_to_string(&path).unwrap();
        let end = end_of(person);
        fs::write(&path, text.replace(&end, &format!("{line}\n{end}"))).unwrap();
        git(&["commit", "--quiet", "--all", "--message", &format!("Add p{person}-{number}")]).unwrap();
    };
    change();
    zonule_harness::eventually("a person's push is accepted", || {
        if git(&["push", "--quiet", "origin", "HEAD:main"]).is_ok() {
            return Some(());
        }
        // What `git pull --rebase` does, with less ceremony.
        git(&["fetch", "--quiet", "origin"]).unwrap();
        if git(&["rebase", "--quiet", "origin/main"]).is_err() {
            let _ = git(&["rebase", "--abort"]);
            change();
        }
        None
    })
    .unwrap();
    line
}
