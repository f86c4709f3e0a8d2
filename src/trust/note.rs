//! The signed note: a text with its signatures below, the one form of every document of ours that is signed,
//! but for `SHA256SUMS`.
//!
//! ```text
//! {
//!   "type": "sealift trust 1",
//!   …
//! }
//!
//! signature 0123456789abcdef0123456789abcdef <base64>
//! signature fedcba9876543210fedcba9876543210 <base64>
//! ```
//!
//! The body is what stands before the empty line, and exactly its bytes are signed, so that `sed` and `openssl`
//! can check a note. People add their lines one after another, on different machines. The body is JSON in the
//! one form that we print; its first member says what it is, so that a signature for one kind is never one for
//! another (threats T05). Signatures are checked before a body is parsed.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};

use super::{Signature, Signer, is_key_id};
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
    limits,
};

/// A text with the signatures that were found below it. Whether any of them holds, it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    body: Vec<u8>,
    signatures: BTreeMap<String, Vec<u8>>,
}

impl Note {
    /// Prints `body` as the text of a note without signatures. Its first member must be `type`.
    pub fn new(body: &impl Serialize) -> Result<Self> {
        let mut text = serde_json::to_vec_pretty(body)
            .map_err(|error| Failure::internal(format!("a document cannot be printed: {error}")))?;
        text.push(b'\n');
        Ok(Self { body: text, signatures: BTreeMap::new() })
    }

    /// Takes a note apart without looking into its body.
    ///
    /// # Errors
    /// [`Reason::NoteMalformed`] for every deviation from the one form and over the limits (T12).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > limits::NOTE_BYTES {
            return Err(malformed("it is larger than 256 KiB"));
        }
        if bytes.windows(2).any(|two| two == b"\r\n") {
            return Err(malformed(
                "its lines end in CR LF, as mail makes them, and are signed with LF alone",
            )
            .hint("convert it: `tr -d '\\r' < FILE > NEW`; or send it as an archive"));
        }
        let end = bytes.windows(2).position(|two| two == b"\n\n");
        let end =
            end.ok_or_else(|| malformed("there is no empty line between the text and its signatures"))?;
        let (body, rest) = bytes.split_at(end + 1);
        let lines = rest.get(1..).and_then(|rest| std::str::from_utf8(rest).ok());
        let lines = lines.ok_or_else(|| malformed("the signatures are not UTF-8 text"))?;
        let mut signatures = BTreeMap::new();
        for line in lines.lines() {
            let (key_id, signature) = signature_line(line).ok_or_else(|| {
                malformed("expected lines `signature KEY-ID BASE64`, one a key, below the empty line")
            })?;
            signatures.insert(key_id, signature);
        }
        if signatures.len() > limits::SIGNATURES {
            return Err(too_many());
        }
        let note = Self { body: body.to_vec(), signatures };
        if note.to_bytes() != bytes {
            return Err(malformed("keys stand twice or unsorted, or lines are not in the one form"));
        }
        Ok(note)
    }

    /// The note as a file: body, empty line, signatures sorted by key id.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.body.clone();
        bytes.push(b'\n');
        for (key_id, signature) in &self.signatures {
            bytes.extend(format!("signature {key_id} {}\n", STANDARD.encode(signature)).bytes());
        }
        bytes
    }

    /// What is signed.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Identity of the text, whoever signed it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.body)
    }

    /// The signatures, as found.
    pub fn signatures(&self) -> Vec<Signature> {
        let signature =
            |(key_id, bytes): (&String, &Vec<u8>)| Signature { key_id: key_id.clone(), bytes: bytes.clone() };
        self.signatures.iter().map(signature).collect()
    }

    /// Adds a signature; an earlier one by the same key gives way to it.
    ///
    /// # Errors
    /// [`Reason::NoteMalformed`] for more signatures than a reader takes; those of the signer.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<()> {
        let key_id = signer.public().key_id().to_owned();
        self.require_room(&key_id)?;
        self.add(Signature { key_id, bytes: signer.sign(&self.body)? })
    }

    /// Takes a signature over, as [`sign`](Self::sign) does.
    pub(super) fn add(&mut self, signature: Signature) -> Result<()> {
        self.require_room(&signature.key_id)?;
        self.signatures.insert(signature.key_id, signature.bytes);
        Ok(())
    }

    fn require_room(&self, key_id: &str) -> Result<()> {
        if self.signatures.len() < limits::SIGNATURES || self.signatures.contains_key(key_id) {
            return Ok(());
        }
        Err(too_many())
    }

    /// What the body says it is, from its first line alone: `sealift trust 1` for instance. Known before any
    /// signature holds, good for choosing what to check it as.
    pub fn kind(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.body).ok()?;
        text.strip_prefix("{\n  \"type\": \"")?.split_once('"').map(|(kind, _)| kind)
    }

    /// Reads the body as a document of `kind`. Call it once the signatures hold.
    ///
    /// # Errors
    /// [`Reason::WrongType`] for a document of another kind (T05), [`Reason::NoteMalformed`] for a body that is
    /// not byte for byte what we would print (T06, T07: one text, one reading).
    pub fn read<T: Serialize + DeserializeOwned>(&self, kind: &str) -> Result<T> {
        if self.kind() != Some(kind) {
            let found = self.kind().unwrap_or("something else");
            return Err(Failure::new(
                Reason::WrongType,
                "signed document",
                format!("expected `{kind}`, found `{found}`"),
            )
            .hint("give the right file; a signature for one kind of document is none for another"));
        }
        let document: T =
            serde_json::from_slice(&self.body).map_err(|error| malformed(format!("the text: {error}")))?;
        if Self::new(&document)?.body != self.body {
            return Err(malformed("the text is not in the one form that sealift prints"));
        }
        Ok(document)
    }
}

fn signature_line(line: &str) -> Option<(String, Vec<u8>)> {
    let (key_id, signature) = line.strip_prefix("signature ")?.split_once(' ')?;
    is_key_id(key_id).then(|| Some((key_id.to_owned(), STANDARD.decode(signature).ok()?)))?
}

/// Whether a text that people wrote into a document is one line of 1 to 400 letters.
pub(super) fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 400 && !text.chars().any(char::is_control)
}

fn too_many() -> Failure {
    malformed(format!("it has more than {} signatures", limits::SIGNATURES))
}

fn malformed(message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::NoteMalformed, "signed document", message)
        .hint("give the file as it was handed out; if it is, ask who made it")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::trust::{Algorithm, PrivateKey};

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Example {
        r#type: String,
        number: u64,
    }

    fn example() -> Note {
        Note::new(&Example { r#type: "sealift example 1".to_owned(), number: 7 }).unwrap()
    }

    fn reason<T: std::fmt::Debug>(result: Result<T>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn signed_by_one_after_the_other() {
        let (a, b) = [Algorithm::Ed25519, Algorithm::EcdsaP256]
            .map(|algorithm| PrivateKey::generate(algorithm).unwrap())
            .into();
        let mut note = example();
        note.sign(&a).unwrap();
        let mut note = Note::parse(&note.to_bytes()).unwrap();
        note.sign(&b).unwrap();
        note.sign(&a).unwrap();
        let note = Note::parse(&note.to_bytes()).unwrap();
        assert_eq!(note.signatures().len(), 2);
        for key in [&a, &b] {
            let by_key = |signature: &&Signature| signature.key_id == key.public().key_id();
            let signature = note.signatures().iter().find(by_key).unwrap().bytes.clone();
            assert!(key.public().verifies(note.body(), &signature));
        }
        let expected = Example { r#type: "sealift example 1".to_owned(), number: 7 };
        assert_eq!(note.read::<Example>("sealift example 1").unwrap(), expected);
        assert_eq!(reason(note.read::<Example>("sealift trust 1")), Reason::WrongType);
    }

    /// Lines of signatures that prove nothing.
    fn many(count: usize) -> String {
        let lines: Vec<String> = (0..count).map(|n| format!("signature {n:032x} AAAA\n")).collect();
        lines.concat()
    }

    /// T06, T07, F30: one text has one reading.
    #[test]
    fn every_other_form_is_refused() {
        let good = String::from_utf8(example().to_bytes()).unwrap();
        let id = "0".repeat(32);
        for wrong in [
            String::new(),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}garbage\n"),
            format!("{good}signature {id} AAAA"),
            format!("{good}signature {id} AAA\n"),
            format!("{good}signature {id} AAAA\nsignature {id} AAAA\n"),
            format!("{good}signature {} AAAA\n", "g".repeat(32)),
            good.replace('\n', "\r\n"),
            format!("{good}{}", many(65)),
            "x".repeat(300_000),
        ] {
            assert_eq!(reason(Note::parse(wrong.as_bytes())), Reason::NoteMalformed, "{wrong:.80}");
        }
        for (from, to) in [
            ("7", "7.0"),
            ("7", "7,\n  \"number\": 7"),
            ("7", "7,\n  \"other\": 7"),
            ("  \"number\"", " \"number\""),
            ("}\n", "} \n"),
            ("number", "nu\\u006dber"),
        ] {
            let wrong = good.replacen(from, to, 1);
            let note = Note::parse(wrong.as_bytes()).unwrap();
            assert_eq!(reason(note.read::<Example>("sealift example 1")), Reason::NoteMalformed, "{to}");
        }
        // T12: 256 KiB are read, one byte more is not.
        for (more, fits) in [(0, true), (1, false)] {
            let length = usize::try_from(limits::NOTE_BYTES).unwrap() - 2 + more;
            assert_eq!(Note::parse(format!("{}\n\n", "x".repeat(length)).as_bytes()).is_ok(), fits);
        }
        assert_eq!(Note::parse(format!("{good}{}", many(64)).as_bytes()).unwrap().signatures().len(), 64);
    }
}
