//! Whether a bundle may be imported here: what the site remembers, and the rules of its channel.

use crate::{
    base::{
        clock::{Clocks, Timestamp},
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    bundle::SumsHeader,
    store::State,
    trust::{
        Beacon, Chain, Effect, Note, Override, SignedBy,
        sequence::{self, Candidate, Judgement, Memory, Policy, Position},
    },
};

/// A bundle that asks to be imported. Its signatures hold.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// What the comment lines of its `SHA256SUMS` say.
    pub header: &'a SumsHeader,
    /// Digest of its `SHA256SUMS`.
    pub sums: &'a Digest,
    /// Whose signatures count.
    pub signers: &'a [SignedBy],
    /// The chain by which they count, with what the media brought; absent where single keys were given.
    pub chain: Option<&'a Chain>,
}

impl Arrival<'_> {
    /// Where it stands.
    pub fn position(&self) -> Position {
        let SumsHeader { epoch, sequence, .. } = *self.header;
        Position { epoch, sequence, bundle: self.sums.clone() }
    }
}

/// A bundle that may be imported, and why.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// By the rules of its channel.
    pub judgement: Judgement,
    /// What the site remembered.
    pub memory: Memory,
    /// Name of the site; `None` where no trust document is pinned, and nothing protects against replay.
    pub site: Option<String>,
    /// Overrides that it takes, with the rules that they lift.
    pub overrides: Vec<(Digest, Effect)>,
    /// The least that the time can be.
    pub floor: Timestamp,
}

/// Judges a bundle by what the site knows, and by the system's clock. Without one, time is what signed documents
/// prove, and expiry no reason to refuse: so a verdict is the same at any time. Changes nothing.
///
/// # Errors
/// Those of [`sequence::judge`]; [`Reason::TrustPinned`] for one that was checked by single keys where a trust
/// document is pinned; [`Reason::LockHeld`] where the site learned of a newer trust document meanwhile;
/// [`Reason::TrustBehind`] where a beacon told of one that neither the site nor the media have.
pub fn judge(state: &State<'_>, arrival: &Arrival<'_>, system: Option<Timestamp>) -> Result<Verdict> {
    let row = state.site()?;
    let channel = &arrival.header.channel;
    let epoch = match arrival.chain {
        Some(chain) => {
            still_holds(state, chain)?;
            if let Some(behind) = trust_behind(state, channel, chain)? {
                return Err(behind);
            }
            Some(chain.latest().channel(channel)?.epoch)
        }
        None if row.name.is_some() => return Err(only_the_chain()),
        None => None,
    };
    let (memory, held) = match (&row.name, arrival.chain) {
        (Some(site), Some(chain)) => (remembered(state, channel, chain)?, held(state, arrival, site, chain)?),
        _ => (Memory::default(), Vec::new()),
    };
    let candidate = Candidate {
        channel,
        position: arrival.position(),
        previous: arrival.header.previous.as_ref(),
        site: arrival.header.site.as_deref(),
        expires: arrival.header.expires,
    };
    let policy = Policy {
        site: row.name.as_deref(),
        epoch,
        jump_limit: row.settings.jump_limit,
        strict_expiry: row.settings.strict_expiry && system.is_some(),
    };
    let clocks = Clocks { system: system.unwrap_or(row.floor), floor: row.floor };
    let effects: Vec<Effect> = held.iter().map(|(_, effect)| *effect).collect();
    let mut judgement = sequence::judge(&candidate, &memory, &policy, clocks, &effects)?;
    judgement.lifted.sort();
    judgement.lifted.dedup();
    // One of each kind is used up, the one that came first.
    let used = |effect: &Effect| held.iter().find(|(_, other)| other == effect).cloned();
    let overrides = judgement.lifted.iter().filter_map(used).collect();
    Ok(Verdict { judgement, memory, site: row.name, overrides, floor: row.floor })
}

/// Why a single key is not enough at a site with a pinned root.
pub fn only_the_chain() -> Failure {
    let message =
        "this home has a pinned trust document, which says who must sign; a single key does not replace it";
    Failure::new(Reason::TrustPinned, "--key", message)
        .hint("leave --key away; if other keys are to count, the root holders make a newer trust document")
}

/// The chain that the bundle was checked by must be the site's, not shorter and nowhere other: another command
/// may have accepted a revocation since.
fn still_holds(state: &State<'_>, chain: &Chain) -> Result<()> {
    for note in state.trust()? {
        let known = Note::parse(&note)?.fingerprint();
        if chain.notes().all(|(_, other)| other.fingerprint() != known) {
            let message = "the site's trust documents changed while the bundle was looked at";
            return Err(Failure::new(Reason::LockHeld, "trust", message).hint("run the command again"));
        }
    }
    Ok(())
}

/// What is wrong where a beacon of `channel` told of a newer trust document than `chain` has: nobody knows whom
/// that one still trusts. No override lifts it, for what is missing is who may sign one.
pub(super) fn trust_behind(state: &State<'_>, channel: &str, chain: &Chain) -> Result<Option<Failure>> {
    let told = believed_beacon(state, channel, chain)?.map_or(0, |beacon| beacon.trust);
    let message =
        format!("a beacon tells of trust version {told}, what is here ends with {}", chain.version());
    let behind = || {
        Failure::new(Reason::TrustBehind, format!("channel {channel}"), message).hint(
            "ask the sender for the newer trust documents: `sealift trust accept` takes them, and so does the import of a bundle that carries them",
        )
    };
    Ok((told > chain.version()).then(behind))
}

/// The newest beacon of a channel, as long as `chain` still trusts who signed it: whoever stole a key could tell
/// of a document that there will never be, and would otherwise stop the channel for longer than the key counts.
pub(super) fn believed_beacon(state: &State<'_>, channel: &str, chain: &Chain) -> Result<Option<Beacon>> {
    let Some(held) = state.beacon(channel)? else { return Ok(None) };
    Ok(Beacon::open(&Note::parse(&held.note)?, chain).ok().map(|(beacon, _)| beacon))
}

/// The newest beacon of a channel, unless a key signed it that was revoked since. Of one that was only replaced,
/// what it told is still so.
pub(super) fn held_beacon(state: &State<'_>, channel: &str, chain: &Chain) -> Result<Option<Beacon>> {
    let Some(held) = state.beacon(channel)? else { return Ok(None) };
    let note = Note::parse(&held.note)?;
    let is_forgotten = Beacon::open(&note, chain).is_err() && chain.has_revoked_signer(&note);
    Ok((!is_forgotten).then_some(held.beacon))
}

/// What is remembered of a channel, and of its beacon what is not forgotten with its key.
pub(super) fn remembered(state: &State<'_>, channel: &str, chain: &Chain) -> Result<Memory> {
    let beacon = held_beacon(state, channel, chain)?.map(|beacon| beacon.newest);
    Ok(Memory { beacon, ..state.memory(channel)? })
}

/// Overrides that wait for this bundle, and that those signed who must by what is known today.
fn held(
    state: &State<'_>,
    arrival: &Arrival<'_>,
    site: &str,
    chain: &Chain,
) -> Result<Vec<(Digest, Effect)>> {
    let mut held = Vec::new();
    let waiting = state.overrides(&arrival.header.channel, arrival.sums)?;
    for waiting in waiting.into_iter().filter(|one| one.used_by.is_none()) {
        let Ok((order, _)) = Override::open(&Note::parse(&waiting.note)?, chain) else { continue };
        if order.site == site {
            held.push((waiting.id, waiting.effect));
        }
    }
    Ok(held)
}
