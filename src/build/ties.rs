//! What a bundle hangs on: the trust documents that it carries and the bundle that it follows. Checked before
//! anything is fetched, so that no bundle is made that no site would take.

use std::{collections::BTreeMap, path::Path};

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
    },
    manifest::Head,
    trust::{Chain, Signer},
    trust_folder::TrustFolder,
    verify,
};

/// Trust documents and the bundle before.
#[derive(Debug, Default)]
pub struct Ties {
    /// The bundle that it follows in its channel.
    pub previous: Option<Digest>,
    /// Trust documents by version, without a gap.
    pub trust: BTreeMap<u64, Vec<u8>>,
    /// What people should know.
    pub notes: Vec<String>,
}

impl Ties {
    /// The trust documents of the folder that `head` names, if it names one.
    ///
    /// # Errors
    /// Those of [`TrustFolder::read`]; [`Reason::ChannelUnknown`] and [`Reason::WrongEpoch`] where the newest
    /// document and `head` contradict each other; [`Reason::KeyRole`], [`Reason::KeySequence`] or
    /// [`Reason::KeyRevoked`] for each of `keys` whose signature would not count.
    pub fn new(head: &Head, keys: &[Box<dyn Signer>], previous: Option<Digest>) -> Result<Self, Failures> {
        let Some(dir) = &head.trust else { return Ok(Self { previous, ..Self::default() }) };
        let folder = TrustFolder::read(dir)?;
        let chain = folder.require_chain()?;
        let epoch = chain.latest().channel(&head.channel).map_err(|failure| {
            failure.hint("write another channel into the manifest, or add it with `sealift trust channel`")
        })?;
        if epoch.epoch != head.epoch {
            let message = format!(
                "trust version {} gives {} the epoch {}, the manifest says {}",
                chain.version(),
                head.channel,
                epoch.epoch,
                head.epoch
            );
            return Err(Failure::new(Reason::WrongEpoch, "bundle.epoch", message)
                .hint(format!("write `epoch = {}` into the manifest", epoch.epoch))
                .into());
        }
        let refused = keys
            .iter()
            .filter_map(|key| chain.may_sign_bundle(key.public(), &head.channel, head.sequence).err());
        Failures::check(refused.collect())?;
        let notes = folder.draft().map(|draft| {
            format!(
                "{}: not signed by all who must, and left out; the bundle carries trust version {} ({} are missing)",
                folder.newest().display(),
                chain.version(),
                lacking(draft)
            )
        });
        Ok(Self { previous, trust: carried(chain), notes: notes.into_iter().collect() })
    }
}

fn lacking(draft: &crate::trust::Draft) -> String {
    let standings = draft.standings().unwrap_or_default();
    standings
        .iter()
        .filter(|standing| !standing.is_met())
        .map(|standing| format!("{} {}", standing.lacks(), standing.role))
        .collect::<Vec<_>>()
        .join(", ")
}

fn carried(chain: &Chain) -> BTreeMap<u64, Vec<u8>> {
    chain.notes().map(|(version, note)| (version, note.to_bytes())).collect()
}

/// The digest of the bundle in `dir`, if the one of `head` can follow it. What the bundle says is not checked: it
/// is our own, and a site compares the digest with what it has.
///
/// # Errors
/// [`Reason::PreviousMismatch`] for a bundle of another channel or a later place; those of [`verify::glance`].
pub fn follows(head: &Head, dir: &Path) -> Result<Digest> {
    let before = verify::glance(dir)?;
    let header = &before.header;
    let wrong = |message: String| {
        Err(Failure::new(Reason::PreviousMismatch, dir.display(), message)
            .hint("name the bundle before this one, or correct channel, epoch and sequence in the manifest"))
    };
    if header.channel != head.channel {
        return wrong(format!("expected a bundle of channel {}, found {}", head.channel, header.channel));
    }
    if (header.epoch, header.sequence) >= (head.epoch, head.sequence) {
        return wrong(format!(
            "expected a place before {}.{}, found {}.{}",
            head.epoch, head.sequence, header.epoch, header.sequence
        ));
    }
    Ok(before.sums_digest)
}
