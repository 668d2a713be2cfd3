//! `$INCLUDE`: inclusion of files (RFC 1035 §5.1).

use super::{MAX_REPEATED, MAX_TEXT, Reader, Step};
use crate::dns::diagnostic::Fault;
use crate::dns::lexer::{Lexer, Token};
use crate::dns::name;
use crate::dns::rdata::push_unescaped;
use crate::dns::source::File;
use crate::dns::words::{push_name, surplus};
use crate::zonefile::files::{self, IncludeError};
use crate::zonefile::role;

/// The maximum nesting depth of included files.
const MAX_DEPTH: usize = 16;

/// The maximum number of `$INCLUDE` entries processed for a zone.
const MAX_INCLUDES: usize = 10_000;

/// A file suspended until the end of the one it includes.
pub(super) struct Suspended<'f, 't> {
    file: &'f File<'t>,
    lexer: Lexer<'f>,
    origin: Vec<u8>,
    owner: Vec<u8>,
}

impl Reader<'_, '_, '_> {
    /// Continues with another file (RFC 1035 §5.1).
    pub(super) fn include(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        let text = self.file.text();
        let (path, origin) = match tokens {
            [_, path] => (path, None),
            [_, path, origin] => (path, Some(origin)),
            [_, _, _, extra, ..] => return Err(surplus(extra)),
            _ => return Err(Fault::at(tokens[0].at(), "$INCLUDE needs the path of a file")),
        };
        let at = |reason: String| Fault::at(path.at(), reason);
        let hint = "a path begins at the root of the repository";
        let mut written = Vec::new();
        push_unescaped(path.of(text), &mut written).ok_or_else(|| at(name::NameError::BadEscape.to_string()))?;
        let resolved = files::resolve(&written).map_err(|reason| at(reason.to_string()).hint(hint))?;
        if let Err(what) = role::may_be_part(&resolved) {
            let hint = "remove this line; the server finds key files by their names";
            return Err(at(format!("{resolved} {what}")).hint(hint));
        }
        let mut inner = Vec::new();
        match origin {
            Some(origin) => push_name(text, origin, &self.state.origin, &mut inner)?,
            None => inner.extend_from_slice(&self.state.origin),
        }
        let origin_changed = origin.is_some();

        let chain = || {
            let open = self.stack.iter().map(|outer| outer.file).chain([self.file]).map(File::path);
            open.chain([resolved.as_str()]).collect::<Vec<_>>().join(" → ")
        };
        if self.stack.iter().map(|outer| outer.file).chain([self.file]).any(|file| file.path() == resolved) {
            return Err(at(format!("{resolved} includes itself: {}", chain())));
        }
        if self.stack.len() + 1 >= MAX_DEPTH {
            return Err(at(format!("more than {MAX_DEPTH} files include each other: {}", chain())));
        }
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            return Err(at(format!("this is more than the {MAX_INCLUDES}th $INCLUDE; so many are not followed")));
        }
        let known = self.included.get(&resolved).copied();
        let file = match known {
            Some(Some(file)) => {
                self.repeated = self.repeated.saturating_add(file.text().len());
                if self.repeated > MAX_REPEATED {
                    let what = "the zone's $GENERATE entries and repeated files make more than 64 MiB of text";
                    return Err(at(what.to_string()));
                }
                file
            }
            // An earlier attempt to open it failed.
            Some(None) => return Err(at(format!("the file {resolved} cannot be read, see above"))),
            None => {
                let contents = (self.open)(&resolved);
                match contents {
                    Ok(contents) if contents.len() <= MAX_TEXT.saturating_sub(self.octets) => {
                        self.octets += contents.len();
                        let file = self.files.add(resolved.clone(), contents);
                        self.included.insert(resolved, Some(file));
                        file
                    }
                    other => {
                        let fault = match &other {
                            Ok(_) => at("the files of this zone are larger than 1 GiB together".to_string()),
                            Err(IncludeError::Missing) => {
                                at(format!("there is no file {resolved} in the repository")).hint(hint)
                            }
                            Err(IncludeError::Unreadable(reason)) => {
                                at(format!("the file {resolved} cannot be read: {reason}"))
                            }
                        };
                        self.included.insert(resolved, None);
                        return Err(fault);
                    }
                }
            }
        };
        self.stack.push(Suspended {
            file: std::mem::replace(&mut self.file, file),
            lexer: std::mem::replace(&mut self.lexer, Lexer::new(file.text())),
            origin: std::mem::replace(&mut self.state.origin, inner),
            owner: self.state.owner.clone(),
        });
        self.state.origin_changed |= origin_changed;
        Ok(())
    }

    /// Continues after the `$INCLUDE` of the file that has ended; `None` at the end of the zone's own file.
    pub(super) fn resume_outer(&mut self) -> Option<Step> {
        let outer = self.stack.pop()?;
        (self.file, self.lexer) = (outer.file, outer.lexer);
        (self.state.origin, self.state.owner) = (outer.origin, outer.owner);
        self.state.origin_changed = false;
        Some(Step::Returned)
    }
}
