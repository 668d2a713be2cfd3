//! Differential tests: the same zones and questions to Zonule, NSD, Knot DNS and BIND.
//!
//! Zones and questions are random but come from seeds, so that every run asks the same; `ZONULE_SEEDS=100` runs that
//! many more, `ZONULE_SEED=7` just the one. All replies are read by hickory-proto. Each difference must be explained by
//! one of the rules in [`rules`], and each rule must be needed, else the test fails; `docs/differences.md` lists them
//! for people.
#![forbid(unsafe_code)]

mod compare;
mod name;
mod question;
mod rdata;
mod readers;
mod reply;
mod rules;
mod servers;
mod sign;
mod signing;
mod validation;
mod world;

use std::env;

use zonule_harness::{Machine, Peer, Sandbox, Target};

use crate::compare::{Case, Findings};
use crate::question::questions;
use crate::reply::Reply;
use crate::servers::{Asker, Ours};
use crate::sign::Signing;
use crate::world::World;

/// The seeds of every run.
const SEEDS: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 204, 206, 207, 208];

/// Asks everything about a world.
fn run(target: &Target, world: &World, effort: usize, findings: &mut Findings) {
    ask_all(target, &Sandbox::new("differential").unwrap(), world, effort, findings);
}

/// Asks everything about a world that is signed.
fn run_signed(target: &Target, seed: u64, signing: Signing, effort: usize, findings: &mut Findings) {
    let sandbox = Sandbox::new("differential").unwrap();
    let mut world = World::random(seed);
    sign::sign(&mut world, signing, sandbox.path());
    ask_all(target, &sandbox, &world, effort, findings);
}

fn ask_all(target: &Target, sandbox: &Sandbox, world: &World, effort: usize, findings: &mut Findings) {
    let ours = Ours::start(target, sandbox, world).unwrap();
    let peers = servers::start_peers(sandbox, world).unwrap();
    let mut us = Asker::new(ours.address());
    let mut askers: Vec<(Peer, Asker)> = peers.iter().map(|peer| (peer.peer(), Asker::new(peer.address()))).collect();
    for zone in &world.zones {
        for question in questions(world, zone, effort) {
            let Some(ours) = ask(&mut us, &question, "Zonule", findings) else { continue };
            findings.asked(&question, &ours);
            for (peer, asker) in askers.iter_mut().filter(|(peer, _)| zone.peers.contains(peer)) {
                let Some(theirs) = ask(asker, &question, &peer.to_string(), findings) else { continue };
                let case = Case { world, question: &question, peer: *peer, ours: &ours, theirs: &theirs };
                findings.compare(&case);
            }
        }
    }
}

/// Asks one server; a reply that cannot be read is a finding, none at all the end.
fn ask(asker: &mut Asker, question: &question::Question, who: &str, findings: &mut Findings) -> Option<Reply> {
    let octets = asker.ask(question).unwrap_or_else(|error| panic!("{question}: {who} does not answer: {error}"));
    let reply = Reply::read(&octets, question.octets().len());
    reply.map_err(|error| findings.fault(format!("{question}: {who}: {error}"))).ok()
}

fn finish(findings: &Findings, all_rules: bool) {
    findings.print();
    if let Some(wrong) = findings.wrong() {
        panic!("{wrong}");
    }
    if all_rules {
        assert_eq!(findings.unused(), Vec::<String>::new(), "rules that explain nothing");
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn hosted_answers_as_others_do() {
    let target = Target::hosted(env!("CARGO_BIN_EXE_zonule"));
    let mut findings = Findings::default();
    if let Some(seed) = number("ZONULE_SEED") {
        for world in [World::random(seed), World::with_root(seed), World::disputed(seed)] {
            run(&target, &world, 4, &mut findings);
        }
        for signing in Signing::ALL {
            run_signed(&target, seed, signing, 4, &mut findings);
        }
        return finish(&findings, false);
    }
    for seed in SEEDS.into_iter().chain(200..200 + number("ZONULE_SEEDS").unwrap_or(0)) {
        run(&target, &World::random(seed), 2, &mut findings);
    }
    run(&target, &World::with_root(1), 2, &mut findings);
    run(&target, &World::disputed(1), 3, &mut findings);
    for (seed, signing) in (1..).zip(Signing::ALL.into_iter().cycle().take(6)) {
        run_signed(&target, seed, signing, 2, &mut findings);
    }
    finish(&findings, true);
}

#[test]
fn image_answers_as_others_do() {
    let mut findings = Findings::default();
    let target = Target::image(Machine::Q35).unwrap();
    run(&target, &World::random(1), 1, &mut findings);
    run_signed(&target, 1, Signing::Nsec3, 1, &mut findings);
    finish(&findings, false);
}
