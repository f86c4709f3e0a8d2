//! Where a bundle stands in its channel, and whether a site may go there: protection against replay and rollback
//! that needs no clock.
//!
//! Pure: what the site remembers comes in, a judgement goes out. Nothing moves here; a site moves in the
//! transaction that publishes an import, and nowhere else.
//!
//! The rules, in this order: site; a frozen channel; epoch; sequence; equivocation; jump limit; previous bundle;
//! expiry. A signed [`super::order::Override`] can lift one of them for one bundle; nothing else can.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Effect;
use crate::base::{
    clock::{Clocks, Timestamp},
    digest::Digest,
    failure::{Failure, Reason, Result},
};

/// How far ahead of the last bundle the next may be, unless a site says otherwise (T15).
pub const JUMP_LIMIT: u64 = 1000;

/// What to do about two bundles of one place. Whether they freeze the channel is not known where they are judged.
pub const TWO_BUNDLES: &str = "somebody signed two bundles of one sequence: tell the sender by another way, with both digests; whether the channel waits here for an override that says which is right, `sealift trust status` tells";

/// A place in a channel and what stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Counts restarts of the sequence.
    pub epoch: u64,
    /// Place in the epoch.
    pub sequence: u64,
    /// Digest of the bundle's `SHA256SUMS`.
    pub bundle: Digest,
}

/// What a site remembers of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The last bundle imported.
    pub last: Option<Position>,
    /// Everything imported before, newest first, as far back as is kept.
    pub history: Vec<Position>,
    /// The newest bundle that a beacon told of.
    pub beacon: Option<Position>,
    /// Two bundles of one sequence that were seen; nothing is imported until an override says which is right.
    pub frozen: Option<(Digest, Digest)>,
    /// Epoch and sequence before which nothing is taken: told by people whose site lost its memory.
    pub at_least: Option<(u64, u64)>,
}

impl Memory {
    /// Another bundle that is known at this very place: somebody signed two (T14). Where both came here, an override
    /// said that the later one is right.
    pub fn contradiction(&self, here: &Position) -> Option<&Position> {
        let place = |other: &&Position| (other.epoch, other.sequence) == (here.epoch, here.sequence);
        let mut known = self.last.iter().chain(&self.history).chain(&self.beacon);
        known.find(place).filter(|other| other.bundle != here.bundle)
    }

    /// Whether `newest` is newer than everything that was imported.
    pub fn is_behind(&self, newest: &Position) -> bool {
        let place = |position: &Position| (position.epoch, position.sequence);
        self.last.as_ref().is_none_or(|last| place(last) < place(newest))
    }

    /// The last sequence of an epoch, as far as it is known.
    fn newest_of(&self, epoch: u64) -> Option<u64> {
        let told = self.at_least.filter(|told| told.0 == epoch).map(|told| told.1);
        self.last.as_ref().filter(|last| last.epoch == epoch).map(|last| last.sequence).max(told)
    }
}

/// A bundle that asks to be imported. Its signatures hold.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Channel, for messages.
    pub channel: &'a str,
    /// Where it stands.
    pub position: Position,
    /// The bundle that it follows.
    pub previous: Option<&'a Digest>,
    /// The one site that it is for.
    pub site: Option<&'a str>,
    /// When it is to be used no more.
    pub expires: Option<Timestamp>,
}

/// What the site has decided for itself.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// Its name; a home without one takes only bundles for any site.
    pub site: Option<&'a str>,
    /// The epoch that the trust document gives the channel.
    pub epoch: Option<u64>,
    /// How far ahead of the last bundle the next may be.
    pub jump_limit: u64,
    /// Whether a bundle past its time is refused.
    pub strict_expiry: bool,
}

/// A bundle that may be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is the very bundle that was imported last.
    pub again: bool,
    /// What people should know all the same.
    pub warnings: Vec<Warning>,
    /// Rules that were lifted; their overrides are used up.
    pub lifted: Vec<Effect>,
}

/// Something that is no reason to refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
pub enum Warning {
    /// Bundles between the last one and this are not known here.
    Gap {
        /// Sequence of the last one.
        from: u64,
        /// Sequence of this one.
        to: u64,
    },
    /// The bundle is past its time.
    Expired {
        /// Its time.
        expires: String,
        /// `system clock`, or `signed documents` where even those are younger.
        clock: String,
    },
    /// The system clock stands before what signed documents prove.
    ClockWrong {
        /// What it says.
        clock: String,
        /// What is proven.
        floor: String,
    },
    /// A beacon told of a newer bundle than this.
    Behind {
        /// Sequence of the newest.
        newest: u64,
    },
}

/// Judges `candidate`. `lifted` are the effects of overrides that the site holds for this very bundle.
///
/// # Errors
/// [`Reason::WrongSite`], [`Reason::ChannelFrozen`], [`Reason::WrongEpoch`], [`Reason::Rollback`],
/// [`Reason::Equivocation`] (the caller freezes the channel), [`Reason::SequenceJump`],
/// [`Reason::PreviousMismatch`], [`Reason::Expired`].
pub fn judge(
    candidate: &Candidate<'_>,
    memory: &Memory,
    policy: &Policy<'_>,
    clocks: Clocks,
    lifted: &[Effect],
) -> Result<Judgement> {
    let mut judge =
        Judge { candidate, lifted, judgement: Judgement { again: false, warnings: vec![], lifted: vec![] } };
    judge.site(policy.site)?;
    judge.frozen(memory)?;
    judge.epoch(memory, policy.epoch)?;
    judge.sequence(memory)?;
    if !judge.judgement.again {
        judge.jump(memory, policy.jump_limit)?;
        judge.previous(memory)?;
    }
    judge.expiry(policy.strict_expiry, clocks)?;
    if let Some(beacon) = &memory.beacon
        && beacon.epoch == candidate.position.epoch
        && beacon.sequence > candidate.position.sequence
    {
        judge.judgement.warnings.push(Warning::Behind { newest: beacon.sequence });
    }
    Ok(judge.judgement)
}

struct Judge<'a> {
    candidate: &'a Candidate<'a>,
    lifted: &'a [Effect],
    judgement: Judgement,
}

impl Judge<'_> {
    /// Refuses, unless an override lifts this rule. The others stay.
    fn refuse(&mut self, effect: Effect, reason: Reason, message: &str, hint: &str) -> Result<()> {
        if self.lifted.contains(&effect) {
            // A frozen channel and one of the two bundles that froze it are one rule.
            if !self.judgement.lifted.contains(&effect) {
                self.judgement.lifted.push(effect);
            }
            return Ok(());
        }
        Err(Failure::new(reason, format!("channel {}", self.candidate.channel), message).hint(hint))
    }

    /// T26, H01.
    fn site(&self, here: Option<&str>) -> Result<()> {
        let Some(wanted) = self.candidate.site.filter(|wanted| Some(*wanted) != here) else { return Ok(()) };
        let found =
            here.map_or_else(|| "this home has no name".to_owned(), |here| format!("this site is {here}"));
        Err(Failure::new(Reason::WrongSite, "bundle", format!("it is for the site {wanted}, {found}"))
            .hint("carry it to the site that it was made for, or ask for one for this site"))
    }

    fn frozen(&mut self, memory: &Memory) -> Result<()> {
        let Some((one, other)) = &memory.frozen else { return Ok(()) };
        let message = format!("two bundles of one sequence were seen here: {one} and {other}");
        let hint = "ask the sender by another way which one is right; two holders sign an override for it (`sealift trust override`)";
        self.refuse(Effect::Equivocation, Reason::ChannelFrozen, &message, hint)
    }

    /// The epoch rises by a trust document only, the way back after a fast-forward or a stolen key (T15), and
    /// never falls below what was imported here, whatever a document says.
    fn epoch(&self, memory: &Memory, trusted: Option<u64>) -> Result<()> {
        let found = self.candidate.position.epoch;
        let here = memory.last.as_ref().map(|last| last.epoch).filter(|here| *here > found);
        let Some(expected) = trusted.filter(|trusted| *trusted != found).max(here) else { return Ok(()) };
        let message = format!("expected epoch {expected}, found {found}");
        Err(Failure::new(Reason::WrongEpoch, format!("channel {}", self.candidate.channel), message)
            .hint("the bundle was made before the channel began anew, or its trust document is missing here; ask for a newer one"))
    }

    /// T13, T14: never back, and one sequence is one bundle.
    fn sequence(&mut self, memory: &Memory) -> Result<()> {
        let here = &self.candidate.position;
        if memory.last.as_ref() == Some(here) {
            self.judgement.again = true;
            return Ok(());
        }
        if let Some(other) = memory.contradiction(here) {
            let message = format!(
                "sequence {} is known here as {}, this bundle is {}",
                here.sequence, other.bundle, here.bundle
            );
            self.refuse(Effect::Equivocation, Reason::Equivocation, &message, TWO_BUNDLES)?;
        }
        let newest = memory.newest_of(here.epoch);
        let before = memory.at_least.is_some_and(|least| (here.epoch, here.sequence) < least);
        if before || newest.is_some_and(|newest| here.sequence < newest) {
            let newest = newest.map_or_else(|| "what".to_owned(), |newest| newest.to_string());
            let message =
                format!("sequence {} is older than {newest}, which this site has had", here.sequence);
            let hint = "import the newest bundle; to go back on purpose, two holders sign an override (`sealift trust override`)";
            return self.refuse(Effect::Rollback, Reason::Rollback, &message, hint);
        }
        Ok(())
    }

    /// T15.
    fn jump(&mut self, memory: &Memory, limit: u64) -> Result<()> {
        let here = &self.candidate.position;
        let Some(newest) = memory.newest_of(here.epoch) else { return Ok(()) };
        let ahead = here.sequence.saturating_sub(newest);
        if ahead > limit {
            let message = format!(
                "sequence {} is {ahead} ahead of {newest}, this site takes at most {limit}",
                here.sequence
            );
            let hint = "ask the sender whether the number is right; import those between, or have an override signed";
            self.refuse(Effect::SequenceJump, Reason::SequenceJump, &message, hint)?;
        }
        let follows = memory.last.as_ref().is_some_and(|last| self.candidate.previous == Some(&last.bundle));
        if ahead > 1 && !follows {
            let (from, to) = (newest, here.sequence);
            self.judgement.warnings.push(Warning::Gap { from, to });
        }
        Ok(())
    }

    /// A bundle that names its forerunner must follow the one that is here, as far as that can be known.
    fn previous(&mut self, memory: &Memory) -> Result<()> {
        let here = &self.candidate.position;
        let Some(previous) = self.candidate.previous else { return Ok(()) };
        let Some(last) = memory.last.as_ref().filter(|last| last.epoch == here.epoch) else { return Ok(()) };
        let next = here.sequence.checked_sub(1) == Some(last.sequence);
        let forked = memory.history.iter().any(|old| old.epoch == here.epoch && old.bundle == *previous);
        if *previous == last.bundle || !(next || forked) || here.sequence <= last.sequence {
            return Ok(());
        }
        let message =
            format!("it follows {previous}, this site has {} (sequence {})", last.bundle, last.sequence);
        let hint = "the sender built on another bundle than the one that came here: ask which one is right";
        self.refuse(Effect::PreviousMismatch, Reason::PreviousMismatch, &message, hint)
    }

    /// Advisory unless the site is strict; never what protects against rollback.
    fn expiry(&mut self, strict: bool, clocks: Clocks) -> Result<()> {
        if clocks.system < clocks.floor {
            let (clock, floor) = (clocks.system.to_string(), clocks.floor.to_string());
            self.judgement.warnings.push(Warning::ClockWrong { clock, floor });
        }
        let Some(expires) = self.candidate.expires else { return Ok(()) };
        let clock = if clocks.floor > expires {
            "signed documents"
        } else if clocks.system > expires {
            "system clock"
        } else {
            return Ok(());
        };
        if strict {
            let message =
                format!("it expired at {expires}, by the {clock}, and this site is strict about it");
            let hint =
                "ask for a newer bundle; if the clock is wrong set it; two holders can sign an override";
            return self.refuse(Effect::Expired, Reason::Expired, &message, hint);
        }
        self.judgement
            .warnings
            .push(Warning::Expired { expires: expires.to_string(), clock: clock.to_owned() });
        Ok(())
    }
}
