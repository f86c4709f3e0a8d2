//! zstd frames (RFC 8878): one piece of a member each, read only in the one shape that we write.

use std::{cmp::Ordering, io};

use zstd::{
    stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation as _, OutBuffer},
    zstd_safe::compress_bound,
};

use crate::base::{
    failure::{Failure, Reason, Result},
    limits,
};

/// Level for content that may shrink: the best ratio before speed falls off.
pub const LEVEL_PACKED: i32 = 3;
/// Level for content that is compressed already: zstd then writes raw blocks at the speed of copying.
pub const LEVEL_STORED: i32 = -1000;
/// Most bytes of a frame header.
pub const HEADER_LIMIT: usize = 18;

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: std::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;

/// Upper bound of the frames that hold `stream` bytes.
pub fn bound(stream: u64) -> u64 {
    let (full, rest) = (stream / limits::FRAME_BYTES, stream % limits::FRAME_BYTES);
    let rest = if rest == 0 { 0 } else { piece_bound(rest) };
    full.saturating_mul(piece_bound(limits::FRAME_BYTES)).saturating_add(rest)
}

/// Upper bound of the frame that holds `piece` bytes, at most 16 MiB.
pub fn piece_bound(piece: u64) -> u64 {
    compress_bound(usize::try_from(piece).unwrap_or(usize::MAX)) as u64
}

/// How many bytes of a stream surely fit into frames of `room` bytes together.
pub fn stream_that_fits(room: u64) -> u64 {
    let whole = piece_bound(limits::FRAME_BYTES);
    let rest = room % whole;
    // compress_bound(n) is n + n/256 and at most 64 more.
    (room / whole) * limits::FRAME_BYTES + rest.saturating_sub(rest / 256 + 65)
}

/// Makes frames. Keeps its tables from frame to frame.
pub struct Compressor {
    encoder: Encoder<'static>,
    level: i32,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressor({})", self.level)
    }
}

impl Compressor {
    /// Ready to make frames.
    pub fn new() -> Result<Self> {
        let encoder = Encoder::new(LEVEL_PACKED).map_err(|error| zstd_failed(&error))?;
        Ok(Self { encoder, level: LEVEL_PACKED })
    }

    /// Begins a frame of exactly `length` bytes.
    pub fn begin(&mut self, level: i32, length: u64) -> Result<()> {
        let encoder = &mut self.encoder;
        encoder
            .reinit()
            .and_then(|()| encoder.set_parameter(CParameter::CompressionLevel(level)))
            .and_then(|()| encoder.set_parameter(CParameter::ChecksumFlag(true)))
            .and_then(|()| encoder.set_pledged_src_size(Some(length)))
            .map_err(|error| zstd_failed(&error))?;
        self.level = level;
        Ok(())
    }

    /// Takes in as much of `input` as possible and fills `output`; returns what was taken and written.
    pub fn push(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize)> {
        let status = self.encoder.run_on_buffers(input, output).map_err(|error| zstd_failed(&error))?;
        Ok((status.bytes_read, status.bytes_written))
    }

    /// Writes the rest of the frame; returns how much was written and whether that was all.
    pub fn finish(&mut self, output: &mut [u8]) -> Result<(usize, bool)> {
        let mut buffer = OutBuffer::around(output);
        let left = self.encoder.finish(&mut buffer, true).map_err(|error| zstd_failed(&error))?;
        Ok((buffer.pos(), left == 0))
    }
}

fn zstd_failed(error: &io::Error) -> Failure {
    Failure::internal(format!("zstd cannot compress: {error}"))
}

/// A fault of a frame, before it is known where the frame stands.
pub type Fault = (Reason, String);

/// Checks the header of a frame that must hold `expected` bytes. `bytes` are its first bytes, up to
/// [`HEADER_LIMIT`]. libzstd sees nothing that did not pass here (F18, F20, X02).
pub fn check_header(bytes: &[u8], expected: u64) -> Result<(), Fault> {
    let malformed = |what: &str| (Reason::ZstdMalformed, what.to_owned());
    let mut rest = bytes;
    let mut take = |count: usize| -> Result<u64, Fault> {
        let (field, after) =
            rest.split_at_checked(count).ok_or_else(|| malformed("a frame ends inside its header"))?;
        rest = after;
        Ok(field.iter().rev().fold(0, |value, byte| value * 256 + u64::from(*byte)))
    };
    let magic = u32::try_from(take(4)?).unwrap_or_default();
    if SKIPPABLE.contains(&magic) {
        return Err((Reason::ZstdSkippable, "found a skippable frame".to_owned()));
    }
    if magic != MAGIC {
        return Err(malformed("found bytes that are no zstd frame"));
    }
    let descriptor = take(1)?;
    let (size_flag, single_segment) = (descriptor >> 6, descriptor & 0x20 != 0);
    if descriptor & 0x03 != 0 {
        return Err((Reason::ZstdDictionary, "a frame asks for a dictionary".to_owned()));
    }
    if descriptor & 0x18 != 0 {
        return Err(malformed("a frame has reserved bits set"));
    }
    if descriptor & 0x04 == 0 {
        return Err(malformed("a frame has no checksum"));
    }
    if !single_segment {
        let window = take(1)?;
        let base = 1u64 << (10 + (window >> 3));
        if base + base / 8 * (window & 7) > 1 << limits::ZSTD_WINDOW_LOG {
            return Err((Reason::ZstdWindow, "a frame asks for a window of more than 16 MiB".to_owned()));
        }
    }
    let size = match (size_flag, single_segment) {
        (0, false) => return Err(malformed("a frame does not say how much it holds")),
        (0, true) => take(1)?,
        (1, _) => take(2)? + 256,
        (2, _) => take(4)?,
        _ => take(8)?,
    };
    let message = || format!("a frame says it holds {size} bytes, {expected} were declared");
    match size.cmp(&expected) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err((Reason::ZstdExpansion, message())),
        Ordering::Less => Err((Reason::ZstdFrame, message())),
    }
}

/// Opens frames. Keeps its window from one frame that is over to the next.
pub struct Decompressor {
    decoder: Decoder<'static>,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

/// What one step of a [`Decompressor`] did.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Bytes taken from the input.
    pub taken: usize,
    /// Bytes written to the output.
    pub written: usize,
    /// Whether the frame is over.
    pub ended: bool,
}

impl Decompressor {
    /// Ready to open frames.
    pub fn new() -> Result<Self> {
        let failed = |error: io::Error| Failure::internal(format!("zstd cannot decompress: {error}"));
        let mut decoder = Decoder::new().map_err(failed)?;
        decoder.set_parameter(DParameter::WindowLogMax(limits::ZSTD_WINDOW_LOG)).map_err(failed)?;
        Ok(Self { decoder })
    }

    /// Takes from `input`, writes to `output`.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        let mut source = InBuffer::around(input);
        let mut target = OutBuffer::around(output);
        let left = self
            .decoder
            .run(&mut source, &mut target)
            .map_err(|error| (Reason::ZstdMalformed, format!("a frame cannot be decompressed: {error}")))?;
        Ok(Step { taken: source.pos(), written: target.pos(), ended: left == 0 })
    }
}

/// Whether content that begins with `start` is compressed already.
pub fn is_compressed(start: &[u8]) -> bool {
    const MAGICS: [&[u8]; 5] =
        [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z', b'X', b'Z', 0], b"BZh", b"PK\x03\x04"];
    MAGICS.iter().any(|magic| start.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    fn compress(data: &[u8], level: i32) -> Vec<u8> {
        let mut compressor = Compressor::new().unwrap();
        compressor.begin(level, data.len() as u64).unwrap();
        let mut out = vec![0; data.len() + 1000];
        let (taken, mut written) = compressor.push(data, &mut out).unwrap();
        assert_eq!(taken, data.len());
        let (more, done) = compressor.finish(&mut out[written..]).unwrap();
        assert!(done);
        written += more;
        out.truncate(written);
        out
    }

    #[test]
    fn frames_carry_size_and_checksum() {
        for length in [1, 255, 256, 257, 70_000, 300_000] {
            for level in [LEVEL_PACKED, LEVEL_STORED] {
                let data: Vec<u8> = (0..length).map(|n: usize| (n * n / 128).to_le_bytes()[0]).collect();
                let frame = compress(&data, level);
                assert!(frame.len() as u64 <= bound(length as u64));
                check_header(&frame[..frame.len().min(HEADER_LIMIT)], length as u64).unwrap();
                assert_eq!(
                    check_header(&frame, length as u64 + 1).unwrap_err().0,
                    Reason::ZstdFrame,
                    "{length}"
                );
                assert_eq!(zstd::decode_all(&frame[..]).unwrap(), data);
            }
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let frame = compress(&[7; 1000], LEVEL_PACKED);
        let with = |at: usize, change: fn(u8) -> u8| {
            let mut wrong = frame.clone();
            wrong[at] = change(wrong[at]);
            check_header(&wrong, 1000).unwrap_err().0
        };
        assert_eq!(with(0, |b| b ^ 1), Reason::ZstdMalformed);
        assert_eq!(with(4, |b| b | 1), Reason::ZstdDictionary);
        assert_eq!(with(4, |b| b | 8), Reason::ZstdMalformed);
        assert_eq!(with(4, |b| b & !4), Reason::ZstdMalformed);
        assert_eq!(with(5, |b| b + 1), Reason::ZstdExpansion);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
        assert_eq!(check_header(&skippable, 0).unwrap_err().0, Reason::ZstdSkippable);
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x84, 0x71, 0, 0, 0, 0];
        assert_eq!(check_header(&window, 0).unwrap_err().0, Reason::ZstdWindow);
        assert_eq!(check_header(&frame[..5], 1000).unwrap_err().0, Reason::ZstdMalformed);
    }

    #[test]
    fn what_fits_fits() {
        for room in [100, 1000, 1 << 20, (16 << 20) + 5, (16 << 20) + (64 << 10), 5 << 30] {
            assert!(bound(stream_that_fits(room)) <= room, "{room}");
        }
    }

    /// Content that is compressed already is copied: to try again would take long and gain nothing.
    #[test]
    fn stored_content_is_not_tried_again() {
        // Half of every byte is always the same, and nothing else repeats.
        let noise = (0..3000u32).flat_map(|n| Digest::of(&n.to_le_bytes()).bytes());
        let data: Vec<u8> = noise.map(|byte| byte & 0x0f).collect();
        assert!(compress(&data, LEVEL_PACKED).len() < data.len() * 6 / 10);
        assert!(compress(&data, LEVEL_STORED).len() > data.len());
    }

    /// RFC 8878, section 3.1.1.1, field by field, at the borders.
    #[test]
    fn header_fields_are_read_to_the_bit() {
        let judge = |fields: &[&[u8]], expected: u64| {
            let bytes = [&MAGIC.to_le_bytes()[..], &fields.concat()].concat();
            check_header(&bytes, expected).map_err(|(reason, _)| reason)
        };
        // The size in one byte, in two with 256 added, in four, in eight; with a window where one must stand.
        assert_eq!(judge(&[&[0x24], &[200]], 200), Ok(()));
        assert_eq!(judge(&[&[0x64], &0x1234u16.to_le_bytes()], 0x1234 + 256), Ok(()));
        assert_eq!(judge(&[&[0xa4], &0x1234_5678u32.to_le_bytes()], 0x1234_5678), Ok(()));
        assert_eq!(judge(&[&[0xe4], &0x1234_5678_9abc_def0u64.to_le_bytes()], 0x1234_5678_9abc_def0), Ok(()));
        assert_eq!(judge(&[&[0xe4], &u64::MAX.to_le_bytes()], u64::MAX), Ok(()));
        assert_eq!(judge(&[&[0x44], &[0x70], &0x1234u16.to_le_bytes()], 0x1234 + 256), Ok(()));
        assert_eq!(judge(&[&[0x04], &[0x70], &[0; 8]], 0), Err(Reason::ZstdMalformed));
        // More and less than was declared.
        assert_eq!(judge(&[&[0x24], &[200]], 199), Err(Reason::ZstdExpansion));
        assert_eq!(judge(&[&[0x24], &[200]], 201), Err(Reason::ZstdFrame));
        // A window is 2^(10 + exponent) bytes, and so many eighths more: 16 MiB and no byte over.
        for (exponent, eighths, fits) in
            [(0, 7, true), (13, 7, true), (14, 0, true), (14, 1, false), (15, 0, false), (31, 7, false)]
        {
            let window: u8 = exponent << 3 | eighths;
            let outcome = judge(&[&[0x44], &[window], &[0, 0]], 256);
            assert_eq!(outcome.is_ok(), fits, "{exponent} {eighths}");
            assert!(fits || outcome == Err(Reason::ZstdWindow), "{exponent} {eighths}");
        }
        // Flags: both bits of the dictionary, both that are reserved, and the checksum, which must be there.
        for (flags, reason) in [
            (0x25, Reason::ZstdDictionary),
            (0x26, Reason::ZstdDictionary),
            (0x27, Reason::ZstdDictionary),
            (0x2c, Reason::ZstdMalformed),
            (0x34, Reason::ZstdMalformed),
            (0x20, Reason::ZstdMalformed),
        ] {
            assert_eq!(judge(&[&[flags], &[200, 0, 0, 0, 0]], 200), Err(reason), "{flags:x}");
        }
        // Cut anywhere, it is no header.
        let whole = [&MAGIC.to_le_bytes()[..], &[0xc4, 0x70], &7u64.to_le_bytes()].concat();
        assert_eq!(check_header(&whole, 7), Ok(()));
        for length in 0..whole.len() {
            let (reason, message) = check_header(&whole[..length], 7).unwrap_err();
            assert_eq!((reason, message.as_str()), (Reason::ZstdMalformed, "a frame ends inside its header"));
        }
        for magic in [0x184d_2a4fu32, 0x184d_2a50, 0x184d_2a5f, 0x184d_2a60] {
            let expected =
                if SKIPPABLE.contains(&magic) { Reason::ZstdSkippable } else { Reason::ZstdMalformed };
            assert_eq!(check_header(&magic.to_le_bytes(), 0).unwrap_err().0, expected);
        }
    }
}
