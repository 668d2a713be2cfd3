//! Minimal edits of zone files: only what an update changes is written anew.
/// stub
pub struct Edited {
    /// f
    pub files: std::collections::BTreeMap<String, Vec<u8>>,
    /// z
    pub zone: super::Zone,
}
/// stub
#[derive(Debug)]
pub enum EditError {
    /// a
    Unreadable(super::Diagnostic),
    /// b
    Fixed(super::Diagnostic),
    /// c
    Differs(String),
}
impl std::fmt::Display for EditError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
/// stub
pub fn edit(
    _: &super::Name,
    _: &str,
    _: &[u8],
    _: impl FnMut(&str) -> Result<Vec<u8>, super::IncludeError>,
    _: &super::Zone,
    _: &[super::Amendment],
) -> Result<Edited, EditError> {
    todo!()
}
/// stub
pub fn new_file(_: &super::Zone) -> String {
    todo!()
}
