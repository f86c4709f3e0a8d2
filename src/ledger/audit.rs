//! Whether a ledger is whole, and if not, where.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Event, Head, KeyAction, Record, Text, UpkeepAction, place};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
    },
    trust::PublicKey,
};

/// What is known of a ledger elsewhere: the only thing that shows a cut tail, or a whole other ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffHost {
    /// Where it is known from, for messages.
    pub from: String,
    /// Where the ledger ended then.
    pub head: Head,
    /// The receipt that said so: one of the records after the head names it.
    pub receipt: Option<Digest>,
}

/// A ledger that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Where it ends: keep this elsewhere, and a later audit finds what is cut.
    pub head: Head,
    /// Time of the first record, by the clock of the site.
    pub first: Option<Timestamp>,
    /// Time of the last record.
    pub last: Option<Timestamp>,
    /// How many records of each kind there are.
    pub events: BTreeMap<String, u64>,
    /// Sites that its checkpoints name.
    pub sites: Vec<String>,
    /// The last record that a checkpoint by a trusted key covers, the one before the head; 0 without such a key.
    pub sealed: u64,
    /// Ids of the keys whose checkpoints were believed.
    pub keys: Vec<String>,
    /// Heads from elsewhere that it was compared with.
    pub heads: usize,
}

/// Proves a ledger whole: its chain; its checkpoints, by `keys`, which come from elsewhere than the ledger, and
/// those that they handed over to; that it goes on from `heads`; and that it ends with a checkpoint, as every
/// change of a site does.
///
/// # Errors
/// The first record that was edited, inserted, deleted, reordered or is none
/// ([`Reason::LedgerEdited`] …); then, with a whole chain, [`Reason::LedgerCheckpoint`] for one that was made anew,
/// [`Reason::LedgerCut`] and [`Reason::LedgerFork`], and [`Reason::LedgerCheckpoint`] for records after the last
/// checkpoint.
pub fn audit<L: AsRef<str>>(lines: &[L], keys: &[PublicKey], heads: &[OffHost]) -> Result<Audit, Failures> {
    let mut auditor = Auditor::new(keys, heads)?;
    for (at, line) in lines.iter().enumerate() {
        if auditor.see(line.as_ref()).is_err() {
            return Err(place::name(lines, at, heads).into());
        }
    }
    auditor.end()
}

/// Where an audit ends early. What was done there, [`audit`] tells from all lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A line is no record.
    Line,
    /// A record does not follow from the one before.
    Chain,
}

/// An audit under way, of which no more is held than where it stands: a ledger may be larger than memory.
#[derive(Debug)]
pub struct Auditor<'a> {
    head: Head,
    seals: Seals,
    /// The first checkpoint that does not hold.
    wrong: Option<Failure>,
    heads: Vec<Compared<'a>>,
    events: BTreeMap<String, u64>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl<'a> Auditor<'a> {
    /// Before the first line; see [`audit`].
    ///
    /// # Errors
    /// None that happen.
    pub fn new(keys: &[PublicKey], heads: &'a [OffHost]) -> Result<Self> {
        Ok(Self {
            head: Head::start()?,
            seals: Seals::new(keys),
            wrong: None,
            heads: heads.iter().map(Compared::new).collect(),
            events: BTreeMap::new(),
            first: None,
            last: None,
        })
    }

    /// The next line.
    ///
    /// # Errors
    /// [`Broken`]; then the audit is over.
    pub fn see(&mut self, line: &str) -> Result<(), Broken> {
        let record = Record::parse(line).map_err(|_none| Broken::Line)?;
        if record.number != self.head.number + 1 || record.previous != self.head.hash {
            return Err(Broken::Chain);
        }
        self.head = Head::of(record.number, line);
        if self.wrong.is_none() {
            self.wrong = self.seals.see(&record).err();
        }
        for head in &mut self.heads {
            head.see(&record);
        }
        *self.events.entry(record.event.name().to_owned()).or_insert(0) += 1;
        self.first.get_or_insert(record.time);
        self.last = Some(record.time);
        Ok(())
    }

    /// What is known of a [`Broken`] ledger without a look at all of its lines.
    pub fn broken(&self, broken: Broken) -> Failure {
        let number = self.head.number.saturating_add(1);
        if broken == Broken::Line {
            return place::malformed(number);
        }
        let message =
            "it does not follow from the one before; the ledger is too large to say what was done to either";
        Failure::new(Reason::LedgerEdited, format!("record {number}"), message)
            .hint("compare both with a copy of the ledger, and ask who had access to the site's database")
    }

    /// After the last line.
    ///
    /// # Errors
    /// Those of [`audit`] for a whole chain.
    pub fn end(self) -> Result<Audit, Failures> {
        let Self { head, seals, wrong, heads, events, first, last } = self;
        let sealed = wrong.map_or_else(|| seals.end(), Err);
        let mut failures: Vec<Failure> = sealed.err().into_iter().collect();
        failures.extend(heads.iter().filter_map(|known| known.compare(&head).err()));
        failures.extend(seals.unsealed(&head));
        Failures::check(failures)?;
        let (sites, sealed, keys, heads) = (seals.sites, seals.sealed, seals.believed, heads.len());
        Ok(Audit { head, first, last, events, sites, sealed, keys, heads })
    }
}

/// Kinds of records, each with its name.
macro_rules! kinds {
    ($($variant:ident $name:literal)*) => {
        impl Event {
            /// Every name of a kind.
            pub const NAMES: &[&str] = &[$($name),*];

            /// As records name it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }
    };
}

kinds! {
    Import "import"
    Refusal "refusal"
    Trust "trust"
    Reseeded "reseeded"
    Override "override"
    Beacon "beacon"
    Frozen "frozen"
    Settings "settings"
    Rules "rules"
    Account "account"
    Key "key"
    Registry "registry"
    Upkeep "upkeep"
    Checkpoint "checkpoint"
}

impl Event {
    /// Who did it, where the record says so: an account, a user of the machine, `local` or `anyone`.
    pub fn who(&self) -> Option<&str> {
        match self {
            Self::Registry(deed) => Some(deed.who.get()),
            Self::Upkeep { who, .. } => Some(who.get()),
            Self::Rules { by, .. } => Some(by.get()),
            Self::Account { by, .. } => by.as_ref().map(Text::get),
            _ => None,
        }
    }

    /// Digest of the receipt that tells of it.
    pub fn receipt(&self) -> Option<&Digest> {
        match self {
            Self::Import { receipt, .. } | Self::Refusal { receipt, .. } => receipt.as_ref(),
            _ => None,
        }
    }
}

/// What is known from elsewhere, and what the ledger says of that.
#[derive(Debug)]
struct Compared<'a> {
    known: &'a OffHost,
    /// The hash of the record there, which the one after it holds.
    hash: Option<Digest>,
    /// Whether a record after it names the receipt.
    tells: bool,
    /// The record by which another ledger ended that may have been the known one, and where that ended.
    anew: Option<(u64, u64)>,
    /// The last record before the known one or in its place that says that the home was restored from a backup.
    restored: Option<u64>,
}

impl<'a> Compared<'a> {
    fn new(known: &'a OffHost) -> Self {
        Self { known, hash: None, tells: false, anew: None, restored: None }
    }

    fn see(&mut self, record: &Record) {
        let Head { number, .. } = self.known.head;
        if record.number.checked_sub(1) == Some(number) {
            self.hash = Some(record.previous.clone());
        }
        if record.number > number && self.known.receipt.is_some() {
            self.tells |= record.event.receipt() == self.known.receipt.as_ref();
        }
        if let (None, Event::Reseeded { ledger, .. }) = (&self.anew, &record.event)
            && ledger.number >= number
        {
            self.anew = Some((record.number, ledger.number));
        }
        // Where only the receipt is missing, the record that told of it would have been the one after.
        let told = number.saturating_add(u64::from(self.known.receipt.is_some()));
        if record.number <= told
            && matches!(record.event, Event::Upkeep { action: UpkeepAction::Restore, .. })
        {
            self.restored = Some(record.number);
        }
    }

    fn compare(&self, head: &Head) -> Result<()> {
        self.compare_here(head).map_err(|failure| {
            // Not good: whoever has the key of the site can write such a record. But it is what to look at first.
            match (self.anew, self.restored) {
                (Some((number, ledger)), _) => failure.hint(format!(
                    "record {number} says that the site lost its state, and that this ledger begins anew after record {ledger} \
                     of the one before: if the site did, compare with a copy of that one; if not, ask who had access"
                )),
                (None, Some(number)) => failure.hint(format!(
                    "record {number} says that the home was restored from a backup, and what came after record {} before that is \
                     not here: if the site did so, compare with what is left of the home from before; if not, ask who had access",
                    number.saturating_sub(1)
                )),
                (None, None) => failure,
            }
        })
    }

    fn compare_here(&self, head: &Head) -> Result<()> {
        let OffHost { from, head: Head { number, hash }, receipt } = self.known;
        let cut = |gone: u64| {
            let message = format!(
                "it ends with record {}, {} knows record {gone}: the tail was cut",
                head.number, from
            );
            Failure::new(Reason::LedgerCut, format!("record {}", head.number.saturating_add(1)), message)
                .hint("the records after are gone, or an old copy was put back; keep this state, and ask who had access")
        };
        let fork = |at: u64, message: &str| {
            Failure::new(Reason::LedgerFork, format!("record {at}"), format!("{from} {message}"))
                .hint("this is another ledger from some record on, or that is not of this site; compare the receipts before it one by one")
        };
        if *number > head.number {
            return Err(cut(*number));
        }
        let here = self.hash.as_ref().unwrap_or(&head.hash);
        if here != hash {
            return Err(fork(*number, &format!("knows it as {}, here it is {}", hash.hex(), here.hex())));
        }
        if receipt.is_none() || self.tells {
            return Ok(());
        }
        if *number == head.number {
            return Err(cut(number.saturating_add(1)));
        }
        Err(fork(number.saturating_add(1), "was written here, and no record tells of it"))
    }
}

/// Goes along the checkpoints of a whole chain.
#[derive(Debug)]
struct Seals {
    /// Whether there is anybody to believe.
    any: bool,
    /// Keys whose checkpoints count now.
    accepted: BTreeMap<String, PublicKey>,
    /// Keys that the ledger itself names: what they sign counts once an accepted key covers it.
    named: BTreeMap<String, PublicKey>,
    /// Keys that take over from another, not yet sealed by it.
    successors: Vec<(String, PublicKey)>,
    /// The first checkpoint since the last accepted one that nobody trusted has covered.
    open: Option<(u64, String)>,
    last: u64,
    sealed: u64,
    sites: Vec<String>,
    believed: Vec<String>,
}

impl Seals {
    fn new(keys: &[PublicKey]) -> Self {
        Self {
            any: !keys.is_empty(),
            accepted: keys.iter().map(|key| (key.key_id().to_owned(), key.clone())).collect(),
            named: BTreeMap::new(),
            successors: Vec::new(),
            open: None,
            last: 0,
            sealed: 0,
            sites: Vec::new(),
            believed: Vec::new(),
        }
    }

    fn see(&mut self, record: &Record) -> Result<()> {
        match &record.event {
            Event::Key { action, replaces, .. } => {
                let Some(key) = record.named_key()? else { return Ok(()) };
                if let (KeyAction::Replaced, Some(old)) = (action, replaces) {
                    self.successors.push((old.get().to_owned(), key.clone()));
                }
                self.named.insert(key.key_id().to_owned(), key);
                Ok(())
            }
            Event::Checkpoint { site, signed, hash, key_id, .. } => {
                let head = record.before();
                let (accepted, named) = (self.accepted.get(key_id.get()), self.named.get(key_id.get()));
                if (*signed, hash) != (head.number, &head.hash)
                    || accepted.or(named).is_some_and(|key| !record.is_sealed_by(key))
                {
                    return Err(self.rewritten(record.number));
                }
                if accepted.is_none() && named.is_none() && self.any {
                    return Err(self.stranger(record.number, key_id.get()));
                }
                if accepted.is_some() {
                    self.seal(record.number, key_id.get(), site.get());
                } else {
                    self.open.get_or_insert((record.number, key_id.get().to_owned()));
                }
                self.last = record.number;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A checkpoint by an accepted key: everything before it holds, also whom that key hands over to.
    fn seal(&mut self, number: u64, key_id: &str, site: &str) {
        self.open = None;
        self.sealed = number.saturating_sub(1);
        for (list, item) in [(&mut self.sites, site), (&mut self.believed, key_id)] {
            if list.iter().all(|known| known != item) {
                list.push(item.to_owned());
            }
        }
        let (successors, others) = self.successors.drain(..).partition(|(old, _)| old == key_id);
        self.successors = others;
        let successors: Vec<(String, PublicKey)> = successors;
        for (old, key) in successors {
            self.accepted.remove(&old);
            self.accepted.insert(key.key_id().to_owned(), key);
        }
    }

    fn end(&self) -> Result<()> {
        match &self.open {
            Some((number, key_id)) if self.any => Err(self.stranger(*number, key_id)),
            _ => Ok(()),
        }
    }

    /// Records after the last checkpoint: no change of a site leaves any.
    fn unsealed(&self, head: &Head) -> Option<Failure> {
        let first = self.last.saturating_add(1);
        let message = if self.last == 0 {
            "no checkpoint stands after it".to_owned()
        } else {
            format!("no checkpoint stands after it: the last one is record {}", self.last)
        };
        (self.last < head.number).then(|| {
            Failure::new(Reason::LedgerCheckpoint, format!("record {first}"), message).hint(
                "every change of a site ends with one: the records from here on were put in, or those after them cut; keep this state, and ask who had access to the site's database",
            )
        })
    }

    fn rewritten(&self, number: u64) -> Failure {
        let from = match self.last {
            0 => "the beginning".to_owned(),
            last => format!("checkpoint {last}"),
        };
        broken(
            number,
            format!(
                "its signature does not hold: records were rewritten between {from} and checkpoint {number}"
            ),
        )
    }

    fn stranger(&self, number: u64, key_id: &str) -> Failure {
        let from = match self.sealed {
            0 => "nothing".to_owned(),
            sealed => format!("everything up to record {sealed}"),
        };
        broken(number, format!("it is signed by key {key_id}, which no trusted key handed over to; {from} is sealed by trusted keys"))
            .hint("give the public key of the site from elsewhere with --key; if that is this key, ask why another signed the ledger")
    }
}

/// The failure for what a signed ledger cannot hold.
pub(super) fn broken(number: u64, message: String) -> Failure {
    Failure::new(Reason::LedgerCheckpoint, format!("record {number}"), message)
        .hint("compare the records before it with a copy of the ledger, and ask who had access to the site's database")
}
