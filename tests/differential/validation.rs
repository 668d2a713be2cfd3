//! Signed worlds as validating resolvers see them: no answer of ours is bogus.

use std::path::Path;

use zonule_harness::{Anchored, Judgement, Machine, Sandbox, Target, Validator, delv};

use crate::question::{Question, questions, type_name};
use crate::reply::{ANSWER, AUTHORITY, Reply};
use crate::servers::{Asker, Ours};
use crate::sign::{self, Signing};
use crate::world::World;

/// One question in so many is asked by `delv` too, which is a process each time.
const SAMPLE: usize = 40;

/// Types that validators handle in their own way.
const UNUSUAL: [&str; 3] = ["ANY", "RRSIG", "NSEC"];

/// Returns whether validators can judge our reply: it needs no server that does not exist, and nothing that unbound handles
/// in its own way.
fn can_be_judged(world: &World, question: &Question, reply: &Reply) -> bool {
    let chain = reply.chain(&question.name);
    let again = chain.last().and_then(|last| reply.alias(last));
    if reply.has("tc")
        || again.is_some()
        || ![0, 3].contains(&reply.rcode)
        || UNUSUAL.contains(&&*type_name(question.qtype))
    {
        return false;
    }
    // A DNAME record that leads below itself redirects until the name is too long.
    let grows = reply.sections[ANSWER].iter().any(|(key, set)| {
        key.rtype == 39 && set.keys().any(|data| crate::name::Name::from_wire(data).is_at_or_below(&key.owner))
    });
    // unbound does not expect a DNAME record above the name when it asks for the type itself, or for DS below CNAME.
    let confuses = [5, 39].contains(&question.qtype) && reply.sections[ANSWER].keys().any(|key| key.rtype == 39);
    // unbound does not know proofs about wildcards that exist only because of names below them (RFC 4592 §2.2.2).
    let is_wild = |name: &crate::name::Name| {
        world.zone_of(name).is_some_and(|zone| {
            let encloser = name.ancestors().find(|above| zone.exists(above));
            let wildcard = encloser.filter(|encloser| encloser != name).map(|encloser| encloser.child(b"*"));
            wildcard.is_some_and(|at| zone.exists(&at) && zone.at(&at).count() == 0)
        })
    };
    let confuses = confuses || chain.iter().any(is_wild);
    let is_here = |name| {
        world.zone_of(name).is_some_and(|zone| match zone.cut(name) {
            None => zone.apex != *name || question.qtype != 43,
            Some(cut) => question.qtype == 43 && cut == *name,
        })
    };
    !grows && !confuses && chain.iter().all(is_here)
}

/// Asks validators everything about a signed world, and returns how many answers were secure.
fn validate(target: &Target, seed: u64, signing: Signing) -> usize {
    let sandbox = Sandbox::new("validation").unwrap();
    let mut world = World::random(seed);
    sign::sign(&mut world, signing, sandbox.path());
    let ours = Ours::start(target, &sandbox, &world).unwrap();
    let anchors: Vec<Anchored> = world
        .zones
        .iter()
        .map(|zone| Anchored { zone: zone.apex.to_string(), server: ours.address(), anchor: zone.anchor.clone() })
        .collect();
    let validator = Validator::start(sandbox.path(), &anchors).unwrap();
    let mut asker = Asker::new(ours.address());
    let (mut secure, mut wrong) = (0, Vec::new());
    for (zone, anchor) in world.zones.iter().zip(&anchors) {
        for (number, question) in questions(&world, zone, 1).iter().enumerate() {
            let question = question.over_tcp();
            let reply = Reply::read(&asker.ask(&question).unwrap(), question.octets().len()).unwrap();
            if !can_be_judged(&world, &question, &reply) {
                continue;
            }
            let (name, rtype) = (question.name.to_string(), type_name(question.qtype));
            let (judgement, theirs) = validator.judge(&name, &rtype).unwrap();
            let wanted = if reply.rcode == 3 { "NXDOMAIN" } else { "NOERROR" };
            secure += usize::from(judgement == Judgement::Secure);
            // A name in an opt-out span may exist all the same (RFC 5155 §9.2).
            let may_be_insecure = signing == Signing::OptOut && !reply.sections[AUTHORITY].is_empty();
            if judgement == Judgement::Bogus
                || judgement == Judgement::Insecure && !may_be_insecure
                || theirs.status != wanted
            {
                wrong.push(format!("{question}: {judgement}, {} {:?}\n{reply}", theirs.status, theirs.extended_error));
            }
            if number % SAMPLE == 0 && world.zone_of(&question.name).is_some_and(|home| home.apex == zone.apex) {
                wrong.extend(by_delv(sandbox.path(), anchor, &question, signing));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "seed {seed}, {signing:?}: {} wrong of {secure} secure\n{}\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n"),
        validator
            .log()
            .lines()
            .filter(|line| line.contains("validation failure"))
            .take(5)
            .collect::<Vec<_>>()
            .join("\n")
    );
    secure
}

/// Returns the error that `delv` reports, if it does.
fn by_delv(directory: &Path, zone: &Anchored, question: &Question, signing: Signing) -> Option<String> {
    let (name, rtype) = (question.name.to_string(), type_name(question.qtype));
    let (judgement, text) = delv(directory, zone, &name, &rtype).unwrap();
    let right = judgement == Judgement::Secure || judgement == Judgement::Insecure && signing == Signing::OptOut;
    (!right).then(|| format!("delv: {question}: {judgement}\n{text}"))
}

#[test]
fn hosted_answers_are_secure() {
    let target = Target::hosted(env!("CARGO_BIN_EXE_zonule"));
    for (seed, signing) in (11..).zip(Signing::ALL) {
        let secure = validate(&target, seed, signing);
        assert!(secure > 200, "{signing:?}: only {secure}");
    }
}

#[test]
fn image_answers_are_secure() {
    let secure = validate(&Target::image(Machine::Q35).unwrap(), 14, Signing::Nsec);
    assert!(secure > 200, "only {secure}");
}
