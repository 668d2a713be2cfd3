//! Inflating into buffers of known size, deflating into buffers of exact size.

use super::Error;
use gix_zlib::{Compression, Decompress, FlushDecompress, Status, stream::deflate};
use std::io::{self, BufRead};

/// Reusable state of both directions; each takes tens to hundreds of kilobytes.
pub(super) struct Zlib {
    inflate: Decompress,
    /// Created on first use: reading alone never needs it.
    deflate: Option<deflate::Compress>,
}

impl Zlib {
    pub(super) fn new() -> Self {
        Zlib { inflate: Decompress::new(), deflate: None }
    }

    /// Inflates one stream from `input` into `out`, which it must fill exactly, and leaves what follows unread.
    ///
    /// A stream of another length is an error of kind `InvalidData`; no memory is allocated on the stream's claim.
    pub(super) fn inflate(&mut self, input: &mut dyn BufRead, out: &mut [u8]) -> io::Result<()> {
        let z = &mut self.inflate;
        z.reset();
        let mut filled = 0;
        // The checksum may follow the last byte of data, so a full buffer is not the end of the stream.
        let mut beyond = [0u8; 1];
        loop {
            let chunk = input.fill_buf()?;
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let full = filled == out.len();
            let target = if full { &mut beyond[..] } else { &mut out[filled..] };
            let (before_in, before_out) = (z.total_in(), z.total_out());
            let status =
                z.decompress(chunk, target, FlushDecompress::None).map_err(|_| damaged("broken zlib stream"))?;
            let consumed = (z.total_in() - before_in) as usize;
            let written = (z.total_out() - before_out) as usize;
            input.consume(consumed);
            if full && written > 0 {
                return Err(damaged("more data than declared"));
            }
            filled += written;
            match status {
                Status::StreamEnd if filled == out.len() => return Ok(()),
                Status::StreamEnd => return Err(damaged("less data than declared")),
                Status::Ok | Status::BufError if consumed == 0 && written == 0 => {
                    return Err(damaged("zlib stream that does not advance"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Deflates `data` at the speed level: most of the gain, and cloning on a small machine depends on it.
    pub(super) fn deflate(&mut self, data: &[u8]) -> Result<Box<[u8]>, Error> {
        let z = self.deflate.get_or_insert_with(|| deflate::Compress::new(Compression::BEST_SPEED));
        z.reset();
        let mut out = Vec::new();
        let mut chunk = [0u8; 8192];
        let mut rest = data;
        loop {
            let (before_in, before_out) = (z.total_in(), z.total_out());
            let status = z
                .compress(rest, &mut chunk, deflate::FlushCompress::Finish)
                .map_err(|_| Error::Memory { bytes: data.len() as u64 })?;
            rest = &rest[(z.total_in() - before_in) as usize..];
            let written = &chunk[..(z.total_out() - before_out) as usize];
            out.try_reserve(written.len()).map_err(|_| Error::Memory { bytes: written.len() as u64 })?;
            out.extend_from_slice(written);
            if status == Status::StreamEnd {
                return Ok(out.into_boxed_slice());
            }
        }
    }
}

/// Returns a buffer of `size` zeros, or an error if there is no memory for it.
pub(super) fn buffer(size: u64) -> Result<Vec<u8>, Error> {
    let short = |_| Error::Memory { bytes: size };
    let size = usize::try_from(size).map_err(|_| Error::Memory { bytes: size })?;
    let mut out = Vec::new();
    out.try_reserve_exact(size).map_err(short)?;
    out.resize(size, 0);
    Ok(out)
}

/// Returns a copy, or an error if there is no memory for it.
pub(super) fn copy(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes.len()).map_err(|_| Error::Memory { bytes: bytes.len() as u64 })?;
    out.extend_from_slice(bytes);
    Ok(out)
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
