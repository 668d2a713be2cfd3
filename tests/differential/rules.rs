//! The differences that are explained: each a rule as narrow as can be, and the reason why both are right.
//!
//! `docs/differences.md` tells the same for people, in the same order.

use std::collections::BTreeMap;

use zonule_harness::Peer::{self, Bind, Knot, Nsd};

use crate::compare::{Case, Difference};
use crate::name::Name;
use crate::reply::{ADDITIONAL, ANSWER, AUTHORITY, Key, Reply, target};
use crate::world::Zone;

/// An explanation.
pub(crate) struct Rule {
    /// What it is called in `docs/differences.md`.
    pub(crate) name: &'static str,
    /// Who differs from us in this.
    pub(crate) peers: &'static [Peer],
    /// Whether it explains a difference.
    pub(crate) explains: fn(&Case<'_>, &Difference) -> bool,
}

const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const DNAME: u16 = 39;
const DS: u16 = 43;
pub(crate) const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
const MX: u16 = 15;
const AFSDB: u16 = 18;
const RT: u16 = 21;
const NAPTR: u16 = 35;
const KX: u16 = 36;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const LP: u16 = 107;
const ANY: u16 = 255;

/// All of them; the first that explains a difference counts.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "CD copied", peers: &[Bind], explains: cd_copied },
    Rule { name: "wildcard DNAME", peers: &[Nsd, Knot, Bind], explains: wildcard_dname },
    Rule { name: "wildcard NS", peers: &[Nsd, Knot], explains: wildcard_ns },
    Rule { name: "alias loop", peers: &[Bind], explains: alias_loop },
    Rule { name: "compression", peers: &[Knot, Bind], explains: compression },
    Rule { name: "ANY", peers: &[Nsd, Knot, Bind], explains: any },
    Rule { name: "ANY stops at an alias", peers: &[Bind], explains: any_stops_at_alias },
    Rule { name: "NSEC and RRSIG at an alias", peers: &[Knot, Bind], explains: alias_beside_signatures },
    Rule { name: "DS between our zones", peers: &[Nsd, Knot, Bind], explains: ds_between_zones },
    Rule { name: "DS after an alias", peers: &[Bind], explains: ds_after_alias },
    Rule { name: "DNAME below itself", peers: &[Knot, Bind], explains: dname_below_itself },
    Rule { name: "name too long", peers: &[Knot], explains: name_too_long },
    Rule { name: "alias into another zone", peers: &[Knot, Bind], explains: alias_into_another_zone },
    Rule { name: "alias into a delegation", peers: &[Bind], explains: alias_into_delegation },
    Rule { name: "one tree for all zones", peers: &[Nsd], explains: one_tree },
    Rule { name: "servers of the zone", peers: &[Nsd, Bind], explains: servers_of_the_zone },
    Rule { name: "truncation for glue", peers: &[Nsd, Bind], explains: truncation_for_glue },
    Rule { name: "code of truncated replies", peers: &[Nsd, Bind], explains: code_of_truncated },
    Rule { name: "truncation for SOA", peers: &[Knot], explains: truncation_for_soa },
    Rule { name: "truncation for other addresses", peers: &[Nsd], explains: truncation_for_others },
    Rule { name: "incomplete glue", peers: &[Nsd, Bind], explains: incomplete_glue },
    Rule { name: "fewer addresses", peers: &[Nsd, Knot, Bind], explains: fewer_addresses },
    Rule { name: "addresses for more types", peers: &[Nsd, Bind], explains: more_types },
    Rule { name: "addresses that fit", peers: &[Knot], explains: addresses_that_fit },
    Rule { name: "addresses from wildcards", peers: &[Nsd, Knot], explains: addresses_from_wildcards },
    Rule { name: "services of services", peers: &[Knot], explains: services_of_services },
    Rule { name: "glue beyond referrals", peers: &[Knot], explains: glue_beyond_referrals },
    Rule { name: "aliases of hosts", peers: &[Bind], explains: aliases_of_hosts },
    Rule { name: "TTL of signatures", peers: &[Nsd, Knot, Bind], explains: ttl_of_signatures },
    Rule { name: "signatures asked for", peers: &[Knot], explains: signatures_asked_for },
    Rule { name: "NSEC at a delegation", peers: &[Bind], explains: nsec_at_delegation },
    Rule { name: "proofs nobody needs", peers: &[Nsd], explains: proofs_nobody_needs },
    Rule { name: "proofs about empty wildcards", peers: &[Knot, Bind], explains: empty_wildcards },
    Rule { name: "addresses that fit signed replies", peers: &[Nsd, Knot], explains: addresses_that_fit_signed },
    Rule { name: "truncation of signed replies", peers: &[Nsd, Knot, Bind], explains: truncation_of_signed },
];

/// RFC 4035 §3.1.6: a server clears CD in answers with authority. BIND copies it.
fn cd_copied(case: &Case<'_>, difference: &Difference) -> bool {
    *difference == Difference::Flag("cd") && case.question.checking_disabled && !case.ours.has("cd")
}

/// RFC 6672 §3.3 and RFC 4592 §4.4 leave open what a DNAME record at a wildcard does to names the wildcard matches.
fn wildcard_dname(case: &Case<'_>, _: &Difference) -> bool {
    passes(case, |zone, name| {
        let encloser = name.ancestors().skip(1).find(|above| zone.exists(above));
        // Below the wildcard itself, too: the asterisk is matched by itself.
        let wildcards = name.ancestors().filter(|above| above.label() == b"*");
        encloser.map(|encloser| encloser.child(b"*")).into_iter().chain(wildcards).any(|at| zone.has(&at, "DNAME"))
    })
}

/// RFC 4592 §4.2 leaves open what an NS record at a wildcard means to names the wildcard matches.
fn wildcard_ns(case: &Case<'_>, _: &Difference) -> bool {
    passes(case, |zone, name| {
        let encloser = name.ancestors().find(|above| zone.exists(above));
        encloser.is_some_and(|encloser| encloser != *name && zone.has(&encloser.child(b"*"), "NS"))
    })
}

/// RFC 1034 §3.6.2: alias loops are an error to be caught. We return what was found, BIND says SERVFAIL with it.
fn alias_loop(case: &Case<'_>, difference: &Difference) -> bool {
    let chain = case.theirs.chain(&case.question.name);
    let again = chain.last().and_then(|last| case.theirs.alias(last));
    *difference == Difference::Rcode && case.theirs.rcode == 2 && again.is_some_and(|again| chain.contains(&again))
}

/// RFC 1035 §4.1.4: how well names are compressed is the server's affair. With very many or very long ones a reply
/// of BIND or Knot may be the one that is truncated.
fn compression(case: &Case<'_>, difference: &Difference) -> bool {
    let names = case.question.name.wire().len() > 150 || case.ours.targets(ANSWER).count() > 20;
    *difference == Difference::Flag("tc") && case.theirs.has("tc") && names
}

/// RFC 8482 §4.1: one RRset is enough. Ours is that of the lowest type; NSD's another one; BIND has all, and ours is
/// one of them.
fn any(case: &Case<'_>, difference: &Difference) -> bool {
    if case.question.qtype != ANY || case.ours.rcode != case.theirs.rcode {
        return false;
    }
    let is_at_name = |key: &&Key| key.owner == case.question.name && key.rtype != RRSIG;
    let at_name = |reply: &Reply| reply.sections[ANSWER].keys().filter(is_at_name).count();
    match difference {
        // Knot gives all signatures and nothing else.
        Difference::Extra(ANSWER, _) | Difference::Missing(ANSWER, _) if case.peer == Knot => at_name(case.theirs) == 0,
        Difference::Missing(ANSWER, _) => at_name(case.ours) == 1 && (case.peer == Bind || at_name(case.theirs) == 1),
        Difference::Extra(ANSWER, _) => case.peer == Nsd && at_name(case.ours) == 1 && at_name(case.theirs) == 1,
        // Other records, other addresses.
        Difference::Missing(ADDITIONAL, key) => case.theirs.targets(ANSWER).any(|host| host == key.owner),
        Difference::Extra(ADDITIONAL, key) => case.ours.targets(ANSWER).any(|host| host == key.owner),
        Difference::Flag("tc") => case.theirs.has("tc") || case.ours.has("tc"),
        _ => false,
    }
}

/// RFC 1034 §3.6.2, RFC 6672 §3.2: BIND does not follow the alias a DNAME makes when asked for everything.
fn any_stops_at_alias(case: &Case<'_>, _: &Difference) -> bool {
    case.question.qtype == ANY
        && case.theirs.chain(&case.question.name).len() == 2
        && case.theirs.sections[ANSWER].keys().all(|key| [CNAME, DNAME].contains(&key.rtype))
        && case.theirs.sections[ANSWER].keys().any(|key| key.rtype == DNAME)
}

/// RFC 4035 §2.5: these types may stand beside a CNAME, so Knot and BIND deny them there; to us (and NSD) an alias
/// without them is an alias like any other (RFC 1034 §4.3.2).
fn alias_beside_signatures(case: &Case<'_>, _: &Difference) -> bool {
    let answered = |reply: &Reply| reply.sections[ANSWER].keys().filter(|key| key.rtype == CNAME).count();
    [NSEC, RRSIG].contains(&case.question.qtype) && answered(case.ours) > answered(case.theirs) && negative(case.theirs)
}

/// RFC 4035 §3.1.4.1: asked for the DS of a zone of ours whose parent is not ours, or does not delegate it, we deny
/// it from the zone itself. Others answer from whichever zone above they have: a referral, or NXDOMAIN for a zone
/// that is there.
fn ds_between_zones(case: &Case<'_>, _: &Difference) -> bool {
    let last = last(case);
    let Some(zone) = case.world.zone(&last) else { return false };
    let above = last.parent().and_then(|parent| case.world.zone_of(&parent));
    case.question.qtype == DS
        && above.is_some_and(|above| above.cut(&last).is_none_or(|cut| cut != last))
        && negative(case.ours)
        && case.ours.sections[AUTHORITY].contains_key(&Key { owner: zone.apex.clone(), rtype: SOA })
}

/// RFC 4035 §3.1.4.1: the DS of a zone is a matter of the zone above. When an alias leads to the top of a zone, BIND
/// denies it from both.
fn ds_after_alias(case: &Case<'_>, difference: &Difference) -> bool {
    let last = last(case);
    case.question.qtype == DS
        && last != case.question.name
        && matches!(difference, Difference::Missing(AUTHORITY, key) if key.rtype == SOA && key.owner == last)
}

/// RFC 6672 §2.4: a DNAME that leads below itself redirects for ever. We follow it once, others until they tire or the
/// name is too long; BIND then says SERVFAIL.
fn dname_below_itself(case: &Case<'_>, _: &Difference) -> bool {
    case.ours.sections[ANSWER]
        .iter()
        .any(|(key, set)| key.rtype == DNAME && set.keys().any(|data| Name::from_wire(data).is_at_or_below(&key.owner)))
}

/// RFC 6672 §2.2: a name that gets too long ends the answer with YXDOMAIN. Knot goes on to where it would lead.
fn name_too_long(case: &Case<'_>, difference: &Difference) -> bool {
    let more = matches!(
        difference,
        Difference::Missing(AUTHORITY | ADDITIONAL, _) | Difference::Rcode | Difference::Flag("tc")
    );
    case.ours.rcode == 6 && more
}

/// RFC 1034 §4.3.2 step 3a starts over with all zones when an alias leads out of one; Knot stays in the first zone,
/// BIND does not deny what another zone lacks.
fn alias_into_another_zone(case: &Case<'_>, difference: &Difference) -> bool {
    let chain = case.ours.chain(&case.question.name);
    let homes: Vec<Option<Name>> = chain.iter().map(|name| home(case, name)).collect();
    // The first name of another zone than the one before.
    let Some(crossing) = (1..homes.len()).find(|&at| homes[at] != homes[at - 1]) else { return false };
    // Up to there we agree, and there they end.
    let before = |key: &Key| chain[..crossing].contains(&key.owner) || [DNAME, RRSIG].contains(&key.rtype);
    if !case.theirs.sections[ANSWER].keys().all(before) {
        return false;
    }
    match difference {
        Difference::Rcode | Difference::Flag("tc") => true,
        Difference::Extra(ANSWER, key) => !chain[..crossing].contains(&key.owner),
        Difference::Extra(..) => true,
        // The first zone's view of a name that is another's.
        Difference::Missing(AUTHORITY | ADDITIONAL, _) => case.peer == Knot,
        _ => false,
    }
}

/// RFC 1034 §4.3.2 step 3b: an alias that leads below a cut ends in a referral. BIND ends with the alias.
fn alias_into_delegation(case: &Case<'_>, difference: &Difference) -> bool {
    let last = last(case);
    let cut = case.world.zone_of(&last).and_then(|zone| zone.cut(&last));
    last != case.question.name
        && cut.is_some_and(|cut| case.ours.sections[AUTHORITY].contains_key(&Key { owner: cut, rtype: NS }))
        && (matches!(difference, Difference::Extra(AUTHORITY | ADDITIONAL, _)) || *difference == Difference::Flag("tc"))
}

/// RFC 8020 §2: a name exists in a zone if something is at or below it there. NSD keeps all zones in one tree and
/// takes a name that only the zone above has, hidden below the cut, for one of this zone.
fn one_tree(case: &Case<'_>, _: &Difference) -> bool {
    passes(case, |zone, name| {
        // From the first name on that is not there.
        let absent: Vec<Name> = name.ancestors().take_while(|name| !zone.exists(name)).collect();
        let others = case.world.zones.iter().filter(|other| other.apex != zone.apex);
        // The same goes for wildcards.
        let wildcard = absent.last().and_then(Name::parent).map(|encloser| encloser.child(b"*"));
        let mut absent = absent.iter().chain(wildcard.as_ref().filter(|wildcard| !zone.exists(wildcard)));
        absent.any(|name| others.clone().any(|other| other.exists(name)))
    })
}

/// RFC 1034 §6.2.1 shows the zone's servers with every answer, but nothing needs them there.
fn servers_of_the_zone(case: &Case<'_>, difference: &Difference) -> bool {
    let servers = |apex: &Name| Key { owner: apex.clone(), rtype: NS };
    match difference {
        Difference::Missing(AUTHORITY, key) => {
            [NS, RRSIG].contains(&key.rtype)
                && case.theirs.sections[AUTHORITY].contains_key(&Key { rtype: NS, ..key.clone() })
                && case.world.zone(&key.owner).is_some()
                && !case.theirs.sections[ANSWER].is_empty()
        }
        Difference::Missing(ADDITIONAL, key) => case.world.zones.iter().any(|zone| {
            let unlike = case.theirs.sections[AUTHORITY].get(&servers(&zone.apex));
            unlike.is_some_and(|set| set.keys().any(|data| Name::from_wire(data) == key.owner))
        }),
        _ => false,
    }
}

/// RFC 9471 §3.1: a referral without all addresses of the servers within the delegated zone is truncated.
fn truncation_for_glue(case: &Case<'_>, difference: &Difference) -> bool {
    *difference == Difference::Flag("tc")
        && case.ours.has("tc")
        && glue(case).any(|key| !case.theirs.sections[ADDITIONAL].contains_key(&key))
}

/// RFC 2181 §9: a truncated reply is asked again. We stop where there is no more room, others know how it would end.
fn code_of_truncated(case: &Case<'_>, difference: &Difference) -> bool {
    *difference == Difference::Rcode && case.ours.has("tc") && case.theirs.has("tc")
}

/// RFC 2308 §5, RFC 2181 §9: what makes a negative answer one belongs to it. Knot leaves the SOA out when it does not
/// fit, and does not say so.
fn truncation_for_soa(case: &Case<'_>, difference: &Difference) -> bool {
    *difference == Difference::Flag("tc")
        && case.ours.has("tc")
        && !negative(case.theirs)
        && case.theirs.sections[AUTHORITY].is_empty()
}

/// RFC 9471 §3.2: a referral may be truncated for addresses of servers elsewhere, but need not.
fn truncation_for_others(case: &Case<'_>, difference: &Difference) -> bool {
    *difference == Difference::Flag("tc")
        && case.theirs.has("tc")
        && case.ours.sections[AUTHORITY].keys().any(|key| key.rtype == NS)
        && case.ours.targets(AUTHORITY).any(|host| glue(case).all(|needed| needed.owner != host))
}

/// RFC 9471 §3.1, as before: BIND leaves some of the addresses out when there are many, NSD after a server elsewhere
/// whose addresses do not fit.
fn incomplete_glue(case: &Case<'_>, difference: &Difference) -> bool {
    matches!(difference, Difference::Extra(ADDITIONAL, key) if glue(case).any(|needed| needed == *key))
        && match case.peer {
            Bind => {
                !case.question.tcp || case.theirs.sections[ADDITIONAL].values().map(BTreeMap::len).sum::<usize>() >= 13
            }
            // After a server elsewhere whose addresses do not fit.
            _ => {
                !case.question.tcp && case.ours.targets(AUTHORITY).any(|host| !glue(case).any(|key| key.owner == host))
            }
        }
}

/// RFC 1034 §4.3.2 step 6: addresses that are no necessary glue are added when it is convenient.
fn fewer_addresses(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Extra(ADDITIONAL, key) = difference else { return false };
    let service = case.ours.sections[ANSWER].keys().any(|key| [NAPTR, SVCB, HTTPS].contains(&key.rtype));
    // RFC 9460 §2.5.2: the root as a service's host means its own name.
    let own = service && case.ours.sections[ANSWER].keys().any(|set| set.owner == key.owner);
    let full = !case.question.tcp && case.theirs.len + 100 > case.question.limit();
    let may = match case.peer {
        // RFC 3403 §4.1, RFC 9460 §4.1: NSD knows nothing of services' hosts, Knot not of all. NSD gives no IPv6 addresses where it
        // left out those of a server that has too many.
        Nsd => service || !case.question.tcp && key.rtype == 28 && !case.ours.sections[AUTHORITY].is_empty(),
        Knot => service || full,
        Bind => true,
    };
    may && (own || case.ours.targets(ANSWER).chain(case.ours.targets(AUTHORITY)).any(|host| host == key.owner))
        && !glue(case).any(|needed| needed == *key)
}

/// RFC 1183 §1 and §3, RFC 3403 §4.1, RFC 6742 §2.4: types that few use, for which we add nothing.
fn more_types(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(ADDITIONAL, key) = difference else { return false };
    if case.peer == Bind && key.owner.label() == b"_25" {
        // RFC 7672 §2.2: how to speak to a mail host.
        return case.question.qtype == MX;
    }
    let own = |set: &Key| [SVCB, HTTPS].contains(&set.rtype) && set.owner == key.owner;
    if case.peer == Bind && case.theirs.sections[ANSWER].keys().any(own) {
        // RFC 9460 §2.5.2: the root as a service's host means its own name.
        return case.theirs.targets(ANSWER).any(|host| host.is_root());
    }
    let sets = case.theirs.sections[ANSWER].iter().filter(|(set, _)| [AFSDB, RT, KX, NAPTR, LP].contains(&set.rtype));
    sets.flat_map(|(set, data)| data.keys().filter_map(|data| target(set.rtype, data))).any(|host| host == key.owner)
}

/// RFC 1034 §4.3.2 step 6, as before: when not all fit, we stop with the first that does not; Knot goes on.
fn addresses_that_fit(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(ADDITIONAL, key) = difference else { return false };
    let mut hosts = case.ours.targets(ANSWER);
    !case.question.tcp && hosts.any(|host| host == key.owner) && case.ours.targets(ANSWER).count() > 10
}

/// RFC 1034 §4.3.2 step 6, as before: hosts whose addresses only a wildcard gives.
fn addresses_from_wildcards(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(ADDITIONAL, key) = difference else { return false };
    let Some(zone) = case.world.zone_of(&key.owner) else { return false };
    let mut hosts = case.theirs.targets(ANSWER).filter(|host| !zone.exists(host));
    // Knot and NSD also under the wildcard's own name.
    let wildcard = key.owner.label() == b"*";
    hosts.any(|host| host == key.owner || wildcard && key.owner.parent().is_some_and(|above| host.is_below(&above)))
}

/// RFC 9460 §4.1: the records of the same type that a service's host has may be added.
fn services_of_services(case: &Case<'_>, difference: &Difference) -> bool {
    matches!(difference, Difference::Missing(ADDITIONAL, key) if [SVCB, HTTPS].contains(&key.rtype)
        && key.rtype == case.question.qtype
        && case.theirs.targets(ANSWER).any(|host| host == key.owner))
}

/// RFC 2181 §5.4.1: glue is for referrals. Knot adds addresses below a cut to MX, SRV and the like, too.
fn glue_beyond_referrals(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(ADDITIONAL, key) = difference else { return false };
    case.theirs.targets(ANSWER).any(|host| host == key.owner)
        && case.world.zone_of(&last(case)).is_some_and(|zone| zone.cut(&key.owner).is_some())
}

/// RFC 2181 §10.3: the host a record names must not be an alias. BIND adds the alias, what it leads to, and what that
/// names in turn.
fn aliases_of_hosts(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(ADDITIONAL, key) = difference else { return false };
    let mut hosts: Vec<Name> = case.theirs.targets(ANSWER).collect();
    for _ in 0..8 {
        let found = case.theirs.sections[ADDITIONAL].iter().filter(|(key, _)| hosts.contains(&key.owner));
        let next: Vec<Name> =
            found.flat_map(|(key, set)| set.keys().filter_map(|data| target(key.rtype, data))).collect();
        hosts.extend(next);
    }
    hosts.contains(&key.owner)
        && case.theirs.sections[ADDITIONAL].keys().any(|key| [CNAME, SVCB, HTTPS].contains(&key.rtype))
}

/// RFC 4034 §3: the TTL of a signature is that of the set it covers. `dnssec-signzone` caps it at 30 days; we and Knot
/// correct it where the set is there too, Knot also in replies about signatures alone.
fn ttl_of_signatures(case: &Case<'_>, difference: &Difference) -> bool {
    matches!(difference, Difference::Ttl(_, key) if key.rtype == RRSIG)
        && (case.peer != Knot || case.question.qtype == RRSIG)
}

/// RFC 8482 §4.1, by analogy: Knot gives one signature to who asks for them, we give all.
fn signatures_asked_for(case: &Case<'_>, difference: &Difference) -> bool {
    case.question.qtype == RRSIG
        && matches!(difference, Difference::Content(ANSWER, key) if key.rtype == RRSIG)
        && case.theirs.sections[ANSWER].iter().all(|(key, set)| {
            case.ours.sections[ANSWER].get(key).is_some_and(|ours| set.keys().all(|data| ours.contains_key(data)))
        })
}

/// RFC 4035 §3.1.4.1: of the types at a delegation only DS is answered from above. BIND does so with NSEC too.
fn nsec_at_delegation(case: &Case<'_>, _: &Difference) -> bool {
    let last = last(case);
    case.question.qtype == NSEC
        && case.world.signing.is_some()
        && case.world.zone_of(&last).is_some_and(|zone| zone.cut(&last) == Some(last))
}

/// RFC 4035 §3.1.3, RFC 5155 §7.2: NSD proves more than it has to, and for some wildcards something else.
fn proofs_nobody_needs(case: &Case<'_>, difference: &Difference) -> bool {
    matches!(difference, Difference::Missing(AUTHORITY, key) | Difference::Extra(AUTHORITY, key) if [NSEC, NSEC3].contains(&key.rtype))
        && case.theirs.sections[AUTHORITY].keys().any(|key| [NSEC, NSEC3].contains(&key.rtype))
        && case.ours.sections[AUTHORITY].keys().any(|key| [NSEC, NSEC3].contains(&key.rtype))
}

/// RFC 4035 §3.1.3.4: that the wildcard has no such type needs a proof, also if it only exists because of names below
/// it. Knot and BIND leave that one out.
fn empty_wildcards(case: &Case<'_>, difference: &Difference) -> bool {
    matches!(difference, Difference::Extra(AUTHORITY, key) if [NSEC, NSEC3].contains(&key.rtype))
        && passes(case, |zone, name| {
            let encloser = name.ancestors().find(|above| zone.exists(above));
            encloser
                .map(|encloser| encloser.child(b"*"))
                .is_some_and(|at| zone.exists(&at) && zone.at(&at).count() == 0)
        })
}

/// RFC 4035 §3.1.1: with signatures around, less fits; which addresses are left out is up to the server.
fn addresses_that_fit_signed(case: &Case<'_>, difference: &Difference) -> bool {
    matches!(difference.place(), Some((ADDITIONAL, _)))
        && case.world.signing.is_some()
        && !case.question.tcp
        && case.question.edns.is_some_and(|edns| edns.dnssec_ok)
        && case.ours.len.max(case.theirs.len) + 150 > case.question.limit()
}

/// RFC 4035 §3.1.1, RFC 2181 §9: signatures that do not fit truncate the reply. How much else there is, how well names
/// are compressed, and what is left out first differs.
fn truncation_of_signed(case: &Case<'_>, difference: &Difference) -> bool {
    *difference == Difference::Flag("tc")
        && case.world.signing.is_some()
        && !case.question.tcp
        && (case.question.qtype == RRSIG || case.question.edns.is_some_and(|edns| edns.dnssec_ok))
}

/// The last name our answer came to.
fn last(case: &Case<'_>) -> Name {
    case.ours.chain(&case.question.name).pop().unwrap_or_else(Name::root)
}

/// Whether a reply says that there is nothing.
fn negative(reply: &Reply) -> bool {
    reply.sections[AUTHORITY].keys().any(|key| key.rtype == SOA)
}

/// The apex of the zone that answers for a name: for the DS of a cut the one above (RFC 4035 §3.1.4.1).
fn home(case: &Case<'_>, name: &Name) -> Option<Name> {
    let zone = case.world.zone_of(name)?;
    let above = name.parent().filter(|_| case.question.qtype == DS && zone.apex == *name);
    let above = above.and_then(|parent| case.world.zone_of(&parent)).filter(|above| above.has(name, "NS"));
    Some(above.unwrap_or(zone).apex.clone())
}

/// Whether one of the names the answer passes is, in its zone, as `sought`.
fn passes(case: &Case<'_>, sought: impl Fn(&Zone, &Name) -> bool) -> bool {
    let chain = case.ours.chain(&case.question.name);
    chain.iter().any(|name| case.world.zone_of(name).is_some_and(|zone| sought(zone, name)))
}

/// The addresses a referral must have: those of the servers within the delegated zone.
fn glue(case: &Case<'_>) -> impl Iterator<Item = Key> {
    let last = last(case);
    let found = case.world.zone_of(&last).and_then(|zone| Some((zone, zone.cut(&last)?)));
    found.into_iter().flat_map(|(zone, cut)| {
        let hosts: Vec<Name> =
            zone.at(&cut).filter(|record| record.rtype == "NS").map(|record| record.target()).collect();
        let hosts: Vec<Name> = hosts.into_iter().filter(|host| host.is_at_or_below(&cut)).collect();
        let records = zone.records.iter().filter(move |record| hosts.contains(&record.owner));
        records.filter_map(|record| {
            let rtype = match record.rtype {
                "A" => 1,
                "AAAA" => 28,
                _ => return None,
            };
            Some(Key { owner: record.owner.clone(), rtype })
        })
    })
}

#[test]
fn each_rule_is_told_to_people() {
    let text = include_str!("../../docs/differences.md");
    for rule in RULES {
        assert!(text.contains(&format!("\n| {} |", rule.name)), "{} is missing in docs/differences.md", rule.name);
    }
}
