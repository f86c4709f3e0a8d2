//! Documents on their way from one signer to the next.

use super::{
    Beacon, Chain, Document, Note, Override, Role, Rule, Signer, Standing,
    chain::may_sign,
    document::{KIND, Scope, Text},
    order::{BEACON, OVERRIDE},
    quorum::Excluded,
};
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
};

/// Digits of a fingerprint that people type to say that they mean this document.
const CONFIRMING_DIGITS: usize = 8;

/// What a document is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Who may do what.
    Trust(Box<Document>),
    /// Which bundle is the newest.
    Beacon(Beacon),
    /// Which bundle may be imported against a rule.
    Override(Override),
}

/// A document, those who signed it, and what says who must. Unlike everything else here it is read before its
/// signatures hold: people look at it in order to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    note: Note,
    subject: Subject,
    chain: Option<Chain>,
}

impl Draft {
    /// The version after `before`, or the first, without signatures.
    ///
    /// # Errors
    /// [`Reason::TrustMalformed`] for a text that makes no sense or takes back what may not be taken back.
    pub fn trust(before: Option<Chain>, text: &Text) -> Result<Self> {
        Self::read(&Note::new(text)?.to_bytes(), before)
    }

    /// A beacon without signatures.
    pub fn beacon(chain: Chain, beacon: &Beacon) -> Result<Self> {
        Self::read(&Note::new(beacon)?.to_bytes(), Some(chain))
    }

    /// An override without signatures.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`], [`Reason::OverrideRefused`] where nobody could sign it.
    pub fn exception(chain: Chain, exception: &Override) -> Result<Self> {
        Self::read(&Note::new(exception)?.to_bytes(), Some(chain))
    }

    /// Reads a document, whoever signed it. `chain` are the trust documents before it, if it is one, else all.
    ///
    /// # Errors
    /// Those of the form; [`Reason::TrustGap`] for a trust document that is not the next;
    /// [`Reason::ChannelUnknown`], [`Reason::OverrideRefused`] where nobody could sign it.
    pub fn read(bytes: &[u8], chain: Option<Chain>) -> Result<Self> {
        let note = Note::parse(bytes)?;
        let subject = match note.kind() {
            Some(BEACON) => Subject::Beacon(note.read(BEACON)?),
            Some(OVERRIDE) => Subject::Override(note.read(OVERRIDE)?),
            _ => Subject::Trust(Box::new(Document::read(&note)?)),
        };
        if let (Subject::Trust(document), Some(before)) = (&subject, &chain) {
            let expected = before.version() + 1;
            if document.version() != expected {
                let message = format!("expected version {expected}, found {}", document.version());
                return Err(Failure::new(Reason::TrustGap, "trust document", message)
                    .hint("put the versions into one folder, one after the other"));
            }
            before.check_step(document)?;
        }
        let draft = Self { note, subject, chain };
        draft.rules()?;
        Ok(draft)
    }

    /// Whether bytes are a trust document, whatever else they may be.
    pub fn is_trust(bytes: &[u8]) -> bool {
        Note::parse(bytes).is_ok_and(|note| note.kind() == Some(KIND))
    }

    /// The document with its signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The trust documents that say who must sign. Absent for a first trust document, and for one of which the
    /// version before is not at hand.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Whether a trust document follows one that is not at hand: then only half of its rules are known.
    pub fn is_torn(&self) -> bool {
        matches!(&self.subject, Subject::Trust(document) if document.version() > 1 && self.chain.is_none())
    }

    /// Whether somebody signed.
    pub fn is_signed(&self) -> bool {
        !self.note.signatures().is_empty()
    }

    fn latest(&self) -> Result<&Document> {
        self.chain.as_ref().map(Chain::latest).ok_or_else(|| {
            Failure::new(Reason::TrustMissing, "document", "no trust document says who may sign it")
                .hint("name the folder of the trust documents with --trust")
        })
    }

    fn rules(&self) -> Result<Vec<Rule<'_>>> {
        Ok(match &self.subject {
            Subject::Trust(document) => {
                let before = self.chain.as_ref().map(|chain| chain.latest().root_rule());
                before.into_iter().chain([document.root_rule()]).collect()
            }
            Subject::Beacon(beacon) => {
                vec![self.latest()?.beacon_rule(&beacon.channel, beacon.newest.sequence)?]
            }
            Subject::Override(exception) => vec![self.latest()?.override_rule(&exception.channel)?],
        })
    }

    /// How far each rule is from being met.
    pub fn standings(&self) -> Result<Vec<Standing>> {
        let signatures = self.note.signatures();
        Ok(self.rules()?.iter().map(|rule| Standing::of(self.note.body(), &signatures, rule)).collect())
    }

    /// Signs it, if the key is one of those that must.
    ///
    /// # Errors
    /// [`Reason::KeyRole`], [`Reason::KeySequence`], [`Reason::KeyRevoked`] for a key that would not count; those
    /// of the signer.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<()> {
        may_sign(signer.public(), &self.rules()?, &self.excluded(), self.what())?;
        self.note.sign(signer)
    }

    /// Keys that are known and whose signature would not count, each with the reason.
    fn excluded(&self) -> Vec<Excluded<'_>> {
        let scope = match &self.subject {
            Subject::Trust(_) => Scope { roles: &[Role::Root], channel: None, sequence: None },
            Subject::Beacon(beacon) => Scope {
                roles: &[Role::Release],
                channel: Some(&beacon.channel),
                sequence: Some(beacon.newest.sequence),
            },
            Subject::Override(order) => {
                Scope { roles: &[Role::Override], channel: Some(&order.channel), sequence: None }
            }
        };
        let before = self.chain.iter().flat_map(|chain| chain.excluded(scope));
        let own = match &self.subject {
            Subject::Trust(document) => document.excluded(scope),
            _ => Vec::new(),
        };
        before.chain(own).collect()
    }

    fn what(&self) -> &'static str {
        match self.subject {
            Subject::Trust(_) => "a trust document",
            Subject::Beacon(_) => "a beacon",
            Subject::Override(_) => "an override",
        }
    }

    /// Takes the signatures over that another copy of the same document has and that count here. Gives the key
    /// ids of those that are new.
    ///
    /// # Errors
    /// [`Reason::TrustFork`] for another document; [`Reason::SignatureInvalid`] for a signature that does not
    /// hold.
    pub fn take_over(&mut self, copy: &[u8]) -> Result<Vec<String>> {
        let copy = Note::parse(copy)?;
        if copy.body() != self.note.body() {
            let message = format!(
                "expected a copy of the document {}, found {}",
                self.fingerprint().hex(),
                copy.fingerprint().hex()
            );
            return Err(Failure::new(Reason::TrustFork, "copy", message)
                .hint("the other signed another text: compare the fingerprints and let one of the two go"));
        }
        let signatures = copy.signatures();
        let standings: Vec<Standing> =
            self.rules()?.iter().map(|rule| Standing::of(copy.body(), &signatures, rule)).collect();
        if let Some(broken) = standings.iter().find_map(|standing| standing.broken.first()) {
            let message = "it does not hold: it or the text was changed on the way";
            return Err(Failure::new(Reason::SignatureInvalid, format!("signature {broken}"), message)
                .hint("ask the holder for the file again"));
        }
        let counts =
            |key_id: &str| standings.iter().flat_map(|one| &one.signed).any(|by| by.key_id == key_id);
        let known: Vec<String> = self.note.signatures().into_iter().map(|known| known.key_id).collect();
        let mut added = Vec::new();
        for signature in signatures.into_iter().filter(|one| counts(&one.key_id)) {
            if !known.contains(&signature.key_id) {
                added.push(signature.key_id.clone());
                self.note.add(signature)?;
            }
        }
        Ok(added)
    }

    /// Identity of the text, whoever signed it.
    pub fn fingerprint(&self) -> Digest {
        self.note.fingerprint()
    }

    /// Whether `typed`, the first digits of a fingerprint, mean this document: people say so before they sign.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for fewer than 8 hex digits, spaces not counted; [`Reason::TrustFingerprint`] for
    /// those of another document.
    pub fn confirm(&self, typed: &str) -> Result<()> {
        let digits: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let digits = digits.to_ascii_lowercase();
        if digits.len() < CONFIRMING_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let message = format!("expected {CONFIRMING_DIGITS} or more hex digits");
            return Err(Failure::new(Reason::BadArgument, "--fingerprint", message)
                .hint("give the beginning of the fingerprint that was shown, or that you were told"));
        }
        let fingerprint = self.fingerprint();
        if fingerprint.hex().starts_with(&digits) {
            return Ok(());
        }
        let message =
            format!("expected a fingerprint that begins with {digits}, found {}", fingerprint.hex());
        Err(Failure::new(Reason::TrustFingerprint, self.what(), message)
            .hint("this is not the document that you looked at: do not sign it, and ask who put it here"))
    }

    /// Fails as a site would that gets the document now. For a trust document gives the chain with it.
    ///
    /// # Errors
    /// Those of [`Chain::begin`], [`Chain::extend`], [`Beacon::open`], [`Override::open`].
    pub fn check(&self) -> Result<Chain> {
        match (&self.subject, &self.chain) {
            (Subject::Trust(_), None) => Chain::begin(&self.note.to_bytes()),
            (Subject::Trust(_), Some(before)) => {
                let mut chain = before.clone();
                chain.extend(&self.note.to_bytes())?;
                Ok(chain)
            }
            (Subject::Beacon(_), Some(chain)) => Beacon::open(&self.note, chain).map(|_| chain.clone()),
            (Subject::Override(_), Some(chain)) => Override::open(&self.note, chain).map(|_| chain.clone()),
            // Never: nothing is read without what says who may sign it.
            (_, None) => Err(Failure::internal("an order without trust documents")),
        }
    }
}
