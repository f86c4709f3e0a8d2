//! Tar archives that other programs wrote (charts, image archives), read in one pass.
//!
//! Lenient about what writers differ in: ustar, GNU long names, PAX records. Strict about what two readers
//! could see differently (threats F01 and following): checksums must hold, a size has one meaning, paths
//! are plain, no file stands twice. Nothing is ever unpacked.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    io::{self, Read},
};

use super::{
    failure::{Failure, Reason},
    limits, stream, text,
};

const BLOCK: usize = 512;

/// What a member is. Devices, fifos and sparse files are refused when read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A plain file; its content is read from the [`Archive`].
    File,
    /// A folder.
    Folder,
    /// A symbolic link, as written.
    Link(String),
    /// A hard link: the path of another member, cleaned like every path.
    HardLink(String),
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path with `/` between plain components: no leading `./`, no `..`, no slash at the end. The folder
    /// `.` itself is the empty path.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of its content.
    pub size: u64,
}

/// Reads members one after the other; reading from it gives the content of the current one.
#[derive(Debug)]
pub struct Archive<R> {
    inner: R,
    /// Content bytes of the current member not read yet.
    left: u64,
    /// Zero bytes that follow them.
    padding: u64,
    position: u64,
    seen: BTreeSet<String>,
    end: Option<u64>,
}

/// Extensions that apply to the next member.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Archive<R> {
    /// Reads the archive that `inner` gives.
    pub fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0, position: 0, seen: BTreeSet::new(), end: None }
    }

    /// Where the members end and the closing zero blocks begin; known after the last member.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// The next member, or `None` after the last; what is left of the current one is skipped.
    ///
    /// A malformed archive gives [`io::ErrorKind::InvalidData`], a cut one
    /// [`io::ErrorKind::UnexpectedEof`]; every other kind is trouble of the reader below.
    pub fn next_member(&mut self) -> io::Result<Option<Member>> {
        if self.end.is_some() {
            return Ok(None);
        }
        let mut extensions = Extensions::default();
        loop {
            self.finish_member()?;
            let start = self.position;
            let Some(header) = self.header()? else {
                self.end = Some(start);
                self.drain()?;
                return Ok(None);
            };
            let size = header.entry_size().map_err(|_text| invalid("a member's size is no number"))?;
            let entry_type = header.entry_type();
            self.left = size;
            match entry_type.as_byte() {
                b'x' => self.pax(size, Some(&mut extensions))?,
                b'g' => self.pax(size, None)?,
                b'L' => extensions.path = Some(self.long_name(size)?),
                b'K' => extensions.link = Some(self.long_name(size)?),
                _ => return self.member(&header, extensions).map(Some),
            }
        }
    }

    fn member(&mut self, header: &tar::Header, extensions: Extensions) -> io::Result<Member> {
        let written = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let path = clean_path(&written)?;
        if let Some(size) = extensions.size {
            self.left = size;
        }
        let size = self.left;
        self.padding = padding_of(size);
        let link = || extensions.link.or_else(|| header.link_name_bytes().map(Cow::into_owned));
        let kind = match header.entry_type().as_byte() {
            // The oldest writers mark a folder by its name only.
            b'0' | 0 if written.ends_with(b"/") => Kind::Folder,
            b'0' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'2' => Kind::Link(utf8(&link().unwrap_or_default())?),
            b'1' => Kind::HardLink(clean_path(&link().unwrap_or_default())?),
            other => {
                let path = text::escaped(&path, 200);
                let what = format!("`{path}` is a device, fifo or other special member (type {other})");
                return Err(invalid(what));
            }
        };
        if kind != Kind::File && size != 0 {
            return Err(invalid(format!("`{}` is no file, yet has content", text::escaped(&path, 200))));
        }
        if path.is_empty() && kind != Kind::Folder {
            return Err(invalid("a member has no name"));
        }
        if kind != Kind::Folder && !self.seen.insert(path.clone()) {
            return Err(invalid(format!("`{}` stands twice in the archive", text::escaped(&path, 200))));
        }
        if self.seen.len() > limits::ARCHIVE_MEMBERS {
            return Err(invalid("the archive holds more than 100000 members"));
        }
        Ok(Member { path, kind, size })
    }

    /// Reads a header block; `None` at the first zero block.
    fn header(&mut self) -> io::Result<Option<tar::Header>> {
        let mut header = tar::Header::new_old();
        let count = stream::read_full(&mut self.inner, header.as_mut_bytes())?;
        if count < BLOCK {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut"));
        }
        self.position += BLOCK as u64;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
            .sum();
        if header.cksum().ok() == Some(sum) {
            Ok(Some(header))
        } else {
            Err(invalid("a member's header does not match its checksum"))
        }
    }

    /// The content of an extension header, which is small.
    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > limits::ARCHIVE_EXTENSION_BYTES {
            return Err(invalid("an extension header is larger than 64 KiB"));
        }
        self.padding = padding_of(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = self.extension(size)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// Reads PAX records (POSIX pax "Extended Header"): `<length> <key>=<value>\n`. Global ones may only
    /// comment: what changes the meaning of every later member is refused.
    fn pax(&mut self, size: u64, mut extensions: Option<&mut Extensions>) -> io::Result<()> {
        let bytes = self.extension(size)?;
        let malformed = || invalid("an extension header is malformed");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = rest.get(..space).and_then(decimal).ok_or_else(malformed)?;
            let length = usize::try_from(length).map_err(|_too_large| malformed())?;
            let record = rest.get(space + 1..length).ok_or_else(malformed)?;
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            let acted_on = matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.");
            match (key, extensions.as_deref_mut()) {
                (_, None) if acted_on => return Err(invalid("a global header names a path or size")),
                (b"path", Some(extensions)) => extensions.path = Some(value.to_vec()),
                (b"linkpath", Some(extensions)) => extensions.link = Some(value.to_vec()),
                (b"size", Some(extensions)) => {
                    extensions.size = Some(decimal(value).ok_or_else(malformed)?);
                }
                _ if acted_on => return Err(invalid("sparse files are not carried")),
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// Skips to the next header.
    fn finish_member(&mut self) -> io::Result<()> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())?;
        if skipped < rest {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut"));
        }
        self.position += rest;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads what follows the first zero block to the end, so that checksums below are checked; more than
    /// zeros there would be seen by some readers and not by others.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = stream::read_full(&mut self.inner, &mut buffer)?;
            let read = buffer.get(..count).unwrap_or_default();
            if read.iter().any(|byte| *byte != 0) {
                return Err(invalid("there is something behind the end of the archive"));
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let count = (&mut self.inner).take(self.left).read(buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut"));
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

/// An error while reading an archive as a failure: `reason` if the bytes are at fault, else `below`.
pub fn failure(
    error: &io::Error,
    object: impl std::fmt::Display,
    reason: Reason,
    below: impl FnOnce(&io::Error) -> Failure,
) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::FileTooLarge => Failure::new(reason, object, error),
        _ => below(error),
    }
}

/// Bytes of zeros behind `size` bytes of content.
fn padding_of(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn invalid(words: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words.into())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let clean = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    clean.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn utf8(bytes: &[u8]) -> io::Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(invalid("a member's name is no UTF-8 text")),
    }
}

fn clean_path(bytes: &[u8]) -> io::Result<String> {
    let written = utf8(bytes)?;
    let mut path = written.as_str();
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == "." || (path.is_empty() && written.starts_with("./")) {
        return Ok(String::new());
    }
    let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains('\\')
        && !path.chars().any(char::is_control);
    if plain {
        Ok(path.to_owned())
    } else {
        Err(invalid(format!(
            "the path `{}` leads out of the archive or is not plain",
            text::escaped(&written, 200)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(entry_type: u8, name: &str, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_size(size);
        header.set_entry_type(tar::EntryType::new(entry_type));
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn member(entry_type: u8, name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = block(entry_type, name, content.len() as u64);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn pax(key: &str, value: &str) -> Vec<u8> {
        let body = format!(" {key}={value}\n");
        let mut length = body.len() + 1;
        while length != body.len() + length.to_string().len() {
            length = body.len() + length.to_string().len();
        }
        member(b'x', "pax", format!("{length}{body}").as_bytes())
    }

    fn read(parts: &[Vec<u8>]) -> io::Result<Vec<(Member, Vec<u8>)>> {
        let mut bytes = parts.concat();
        bytes.extend_from_slice(&[0; 1024]);
        read_bytes(&bytes)
    }

    fn read_bytes(bytes: &[u8]) -> io::Result<Vec<(Member, Vec<u8>)>> {
        let mut archive = Archive::new(bytes);
        let mut members = Vec::new();
        while let Some(member) = archive.next_member()? {
            let mut content = Vec::new();
            archive.read_to_end(&mut content)?;
            members.push((member, content));
        }
        assert_eq!(archive.end(), Some(bytes.len() as u64 - 1024));
        Ok(members)
    }

    fn refused(parts: &[Vec<u8>]) {
        assert_eq!(read(parts).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_three_ways_to_write_a_name_are_read() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let members = read(&[
            member(b'5', "./", b""),
            member(b'0', "./a/b", b"one"),
            pax("path", &long),
            member(b'0', "short", b"two"),
            member(b'L', "././@LongLink", format!("{long}2\0").as_bytes()),
            member(b'0', "short", b""),
            member(b'2', "link", b""),
        ])
        .unwrap();
        let paths: Vec<&str> = members.iter().map(|(member, _)| member.path.as_str()).collect();
        assert_eq!(paths, ["", "a/b", &long, &format!("{long}2"), "link"]);
        assert_eq!(members[2].1, b"two");
        assert_eq!(members[4].0.kind, Kind::Link(String::new()));
    }

    #[test]
    fn a_size_has_one_meaning() {
        let inner = member(b'0', "smuggled", b"");
        let members = read(&[pax("size", "512"), block(b'0', "a", 0), inner.clone()]).unwrap();
        assert_eq!((members.len(), &members[0].1), (1, &inner));
        refused(&[member(b'5', "folder", b"content")]);
        refused(&[member(b'g', "pax", b"10 size=1\n"), member(b'0', "a", b"")]);
        refused(&[pax("GNU.sparse.major", "1"), member(b'0', "a", b"")]);
        refused(&[pax("size", "-1"), member(b'0', "a", b"")]);
    }

    #[test]
    fn a_size_of_all_ones_is_no_reason_to_panic() {
        let bytes = [pax("size", &u64::MAX.to_string()), block(b'0', "a", 0), vec![0; 1024]].concat();
        let mut archive = Archive::new(bytes.as_slice());
        assert_eq!(archive.next_member().unwrap().unwrap().size, u64::MAX);
        assert_eq!(archive.next_member().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn names_that_lead_elsewhere_and_special_members_are_refused() {
        for name in ["../a", "/a", "a/../b", "a//b", "a\\b", "a\nb", "a/./b", "..", ""] {
            refused(&[member(b'0', name, b"")]);
        }
        assert_eq!(read(&[member(0, "old/", b"")]).unwrap()[0].0.kind, Kind::Folder);
        for special in [b'3', b'4', b'6', b'7', b'S', b'V'] {
            refused(&[member(special, "a", b"")]);
        }
        refused(&[member(b'0', "a", b"1"), member(b'0', "./a", b"2")]);
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let whole = [pax("path", "some/path"), member(b'0', "a", b"content"), vec![0; 1024]].concat();
        for at in 0..whole.len() {
            for value in [0, b'9', 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let mut archive = Archive::new(changed.as_slice());
                while let Ok(Some(_)) = archive.next_member() {}
            }
        }
    }

    #[test]
    fn cut_and_damaged_archives_are_told() {
        let whole = [member(b'0', "a", b"content"), vec![0; 1024]].concat();
        assert!(read_bytes(&whole).is_ok());
        for cut in [0, 100, 512, 515, 700, 1024] {
            let error = Archive::new(&whole[..cut]);
            let error = std::iter::repeat_with({
                let mut archive = error;
                move || archive.next_member()
            })
            .find_map(Result::err)
            .unwrap();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
        let mut damaged = whole.clone();
        damaged[0] ^= 1;
        assert_eq!(read_bytes(&damaged).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut trailing = whole;
        trailing.push(1);
        let mut archive = Archive::new(trailing.as_slice());
        archive.next_member().unwrap();
        assert_eq!(archive.next_member().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
