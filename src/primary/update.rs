//! Updates against what is served: permission, effect, edited files, and the words of the commit.

use crate::{git, zonefile};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::files::{Base, Files};
use super::former::Former;
use super::{Place, Primary, Source};
use crate::dns::message::Rcode;
use crate::dns::{Name, Serial, Type};
use crate::keys::Operation;
use crate::update::{self, Effect, Refusal, Scope, Update};
use crate::zone::{self, Amendment, Entry, Zone};
use crate::zonefile::edit::{self, EditError};
use crate::zonefile::{FileRole, IncludeError, file_of_zone};

/// Who asks for an update.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The name of the key it is signed with.
    pub key: &'a Name,
    /// The client's address.
    pub client: IpAddr,
}

/// A commit to be made: one update or one raised serial number.
///
/// There is no way to one but by the check of its files.
#[derive(Debug)]
pub struct Commit {
    files: Files,
    message: String,
    apex: Name,
    /// The zone as it is then; `None` if there is none.
    zone: Option<Zone>,
}

impl Commit {
    /// Makes a commit for the zone `apex`, which then is `zone`, if it may change these files.
    fn checked(
        primary: &Primary,
        base: &impl Base,
        apex: &Name,
        files: Files,
        zone: Option<Zone>,
        message: String,
    ) -> Result<Self, Refusal> {
        primary.check_files(apex, &files, base)?;
        if let Some(zone) = &zone {
            primary.judge(zone).map_err(|reason| Refusal::new(Rcode::REFUSED, reason))?;
        }
        Ok(Commit { files, message, apex: apex.clone(), zone })
    }

    /// Returns the files that change, by path, with their new content; `None` for one that goes.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Option<Vec<u8>>> {
        &self.files
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the first line of the message.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

impl Primary {
    /// Returns what the key `key` may change by `update`.
    ///
    /// # Errors
    ///
    /// REFUSED, with what the key may not do.
    pub(crate) fn authorize(&self, update: &Update, key: &Name) -> Result<Scope, Refusal> {
        let refused = |reason: String| Err(Refusal::new(Rcode::REFUSED, reason));
        let Some(grant) = self.keyring.grant(key) else {
            return refused(format!("the key {key} may do nothing: no _update in its name"));
        };
        if let Some(owner) = update.owners().find(|owner| !grant.allows(Operation::Update, owner)) {
            return refused(format!("the key {key} may not update {owner}"));
        }
        Ok(if grant.is_above(update.zone()) { Scope::Zones } else { Scope::Records })
    }

    /// Returns the commit that makes `update`, or `None` if all is as it asks already.
    ///
    /// `base` is the commit this was loaded from.
    ///
    /// # Errors
    ///
    /// What RFC 2136 §3 has for updates that cannot be made, with the reason. REFUSED also where files would change that
    /// are not the zone's alone.
    pub(crate) fn prepare(
        &self,
        update: &Update,
        origin: Origin<'_>,
        base: &impl Base,
    ) -> Result<Option<Commit>, Refusal> {
        let scope = self.authorize(update, origin.key)?;
        let apex = update.zone();
        let before = self.zone_to_edit(apex)?;
        if self.sources.get(apex.as_wire()).is_some_and(|source| source.not_above.is_some()) {
            return Err(failure(
                "the zone was changed without a higher serial, which cannot be raised; raise it first",
            ));
        }
        let effect = update.apply(before.as_deref(), scope)?;
        let (files, zone) = match effect {
            Effect::Unchanged => return Ok(None),
            Effect::Amended(amendments) => {
                let Some(before) = &before else { return Err(failure("there is no zone to amend")) };
                let (files, zone) = self.edit(before, &amendments, base)?;
                (files, Some(zone))
            }
            Effect::Created(amendments) => {
                let zone = Zone::of(apex.clone(), &amendments).ok_or_else(|| failure("there is no SOA record"))?;
                let (path, text, zone) = new_file(&self.above_former(zone)?)?;
                (BTreeMap::from([(path, Some(text))]), Some(zone))
            }
            Effect::Deleted => {
                let source = self.sources.get(apex.as_wire());
                let files = source.map(|source| source.files.iter().map(|(path, _)| (path.clone(), None)).collect());
                (files.unwrap_or_default(), None)
            }
        };
        let message = update::commit_message(origin.key, origin.client, apex, before.as_deref(), zone.as_ref());
        Commit::checked(self, base, apex, files, zone, message).map(Some)
    }

    /// Returns the commit that raises the serial number of a zone above what it was when somebody changed it.
    ///
    /// # Errors
    ///
    /// Why it cannot be raised.
    pub(crate) fn prepare_raise(
        &self,
        apex: &Name,
        changed_by: &git::CommitInfo,
        base: &impl Base,
    ) -> Result<Commit, Refusal> {
        let before = self.zone_to_edit(apex)?.ok_or_else(|| failure("the zone is gone"))?;
        let floor = self.sources.get(apex.as_wire()).and_then(|source| source.not_above).unwrap_or(before.serial());
        let to = update::raised(floor);
        let amendment = with_serial(&before, to).ok_or_else(|| failure("the zone has no SOA record"))?;
        let (files, zone) = self.edit(&before, &[amendment], base)?;
        let message =
            update::serial_message(apex, to, &changed_by.author, &changed_by.id.to_hex_with_len(10).to_string());
        Commit::checked(self, base, apex, files, Some(zone), message)
    }

    /// Takes a commit over as if it had been loaded.
    pub(crate) fn accept(&mut self, commit: Commit) {
        let Commit { files, apex, zone, .. } = commit;
        let Some(zone) = zone else {
            if let Some(zone) = self.served(&apex) {
                self.formers.insert(apex.clone(), Former::of(&zone));
            }
            self.zones.remove(&apex);
            self.sources.remove(apex.as_wire());
            return;
        };
        let mut source = match self.sources.get(apex.as_wire()) {
            Some(source) => Source::clone(source),
            None => Source { apex, files: Vec::new(), included: BTreeMap::new(), is_served: true, not_above: None },
        };
        source.not_above = None;
        self.formers.remove(&source.apex);
        for (path, text) in files {
            let Some(text) = text else { continue };
            let id = git::blob_id(&text);
            let places = source.files.iter_mut().map(|(_, place)| place).chain(source.included.values_mut());
            let mut is_there = false;
            for place in places.flatten().filter(|place| place.path == path) {
                (place.id, is_there) = (id, true);
            }
            if !is_there {
                source.files.push((path.clone(), Some(Place { path, id })));
            }
        }
        self.sources.insert(Arc::new(source));
        self.zones.insert(Arc::new(zone));
    }

    /// Returns the zone an update is for, or `None` if there is none; it must be what its file says.
    fn zone_to_edit(&self, apex: &Name) -> Result<Option<Arc<Zone>>, Refusal> {
        const MEND: &str = "the zone's file in the repository has errors or a serial that is not raised; mend it first";
        match (self.zones.get(apex), self.sources.get(apex.as_wire())) {
            (Some(Entry::Zone(zone)), Some(source)) if source.is_served => Ok(Some(Arc::clone(zone))),
            (None, None) => Ok(None),
            _ => Err(failure(MEND)),
        }
    }

    /// Returns a zone that comes anew, with a serial number above that of a zone of this name that secondaries may have.
    fn above_former(&self, zone: Zone) -> Result<Zone, Refusal> {
        match self.formers.get(zone.apex()).filter(|former| !former.leads_to(&zone)) {
            None => Ok(zone),
            Some(former) => with_serial(&zone, update::raised(former.serial))
                .and_then(|amendment| zone.amend(&[amendment]))
                .ok_or_else(|| failure("the zone has no SOA record")),
        }
    }

    /// Edits the files of a zone; returns those that change and the zone they then make.
    fn edit(&self, before: &Zone, amendments: &[Amendment], base: &impl Base) -> Result<(Files, Zone), Refusal> {
        let apex = before.apex();
        let source = self.sources.get(apex.as_wire()).ok_or_else(|| failure("the zone has no file"))?;
        let [(path, Some(own))] = source.files.as_slice() else {
            return Err(failure("the zone has several files"));
        };
        let text = base.read(&own.id).map_err(|error| failure(format!("{path}: {error}")))?;
        let open = |path: &str| match source.included.get(path) {
            None | Some(None) => Err(IncludeError::Missing),
            Some(Some(place)) => base.read(&place.id).map_err(|error| IncludeError::Unreadable(error.to_string())),
        };
        let edited = edit::edit(apex, path, &text, open, before, amendments).map_err(|error| match error {
            EditError::Fixed(_) => Refusal::new(Rcode::REFUSED, error.to_string()),
            EditError::Unreadable(_) | EditError::Differs(_) => failure(error.to_string()),
        })?;
        // What changes is the file itself, whatever links lead to it.
        let place = |name: &String| if name == path { Some(own) } else { source.included.get(name)?.as_ref() };
        let mut files = Files::new();
        for (name, text) in edited.files {
            let file = place(&name).map_or(&name, |place| &place.path);
            let others = source.included.iter().filter(|(other, place)| {
                **other != name && *other != file && place.as_ref().is_some_and(|place| place.path == *file)
            });
            let is_own_too = name != *path && own.path == *file;
            if let Some((other, _)) = others.map(|(other, _)| (other, ())).next().or(is_own_too.then_some((path, ()))) {
                let reason = format!(
                    "the file {file} would change, but the zone includes it as {name} and as {other}; change it in git"
                );
                return Err(Refusal::new(Rcode::REFUSED, reason));
            }
            files.insert(file.clone(), Some(text));
        }
        Ok((files, edited.zone))
    }
}

/// Returns the path and the text of a new zone's file, and the zone as it is read from that.
fn new_file(zone: &Zone) -> Result<(String, Vec<u8>, Zone), Refusal> {
    let apex = zone.apex();
    let refused = |reason: Cow<'static, str>| Refusal::new(Rcode::REFUSED, reason);
    let path = file_of_zone(apex);
    // Some names mean something else: `x.zone` with a dot more, `readme` and the like.
    if FileRole::of(&path) != FileRole::Zone(apex.to_canonical()) {
        return Err(refused(format!("a zone of this name cannot have a file: {path}").into()));
    }
    let text = edit::new_file(zone).into_bytes();
    let reading = zonefile::read(apex, &path, &text);
    match reading.zone {
        Some(read) if zone::difference(&read, zone).is_empty() => Ok((path, text, read)),
        Some(_) => Err(failure("the new zone's file reads otherwise than meant")),
        None => {
            Err(refused(reading.diagnostics.first().map_or("the zone has errors".into(), |d| d.reason.clone().into())))
        }
    }
}

/// Returns what gives a zone another serial number.
fn with_serial(zone: &Zone, serial: Serial) -> Option<Amendment> {
    let node = zone.node(zone.apex())?;
    let soa = node.rrset(Type::SOA)?;
    let mut data: Box<[u8]> = soa.rdata().next()?.into();
    // Behind the two names: serial, refresh, retry, expire, minimum.
    data.last_chunk_mut::<20>()?[..4].copy_from_slice(&serial.0.to_be_bytes());
    Some(Amendment { owner: zone.apex().clone(), rtype: Type::SOA, covers: None, ttl: soa.ttl(), data: vec![data] })
}

fn failure(reason: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Rcode::SERVER_FAILURE, reason)
}
