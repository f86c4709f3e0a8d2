//! The next trust document: each command changes one thing, then the holders of the root keys sign.

use std::path::Path;

use super::{grammar, public_key, report};
use crate::{
    base::failure::{Failure, Reason, Result},
    cli::args::{
        TrustAdd, TrustChannel, TrustFolder as FolderArg, TrustInit, TrustRemove, TrustRevoke, TrustRotate,
    },
    report::TrustReport,
    trust::{
        Chain,
        document::Text,
        edit::{self, Grant, Threshold},
    },
    trust_folder::TrustFolder,
};

pub(super) fn init(args: &TrustInit) -> Result<TrustReport> {
    let Some(out) = &args.out else {
        return Err(Failure::internal("the disconnected half of `trust init`"));
    };
    let grants = args.key.iter().map(|text| grammar::grant(text)).collect::<Result<Vec<_>>>()?;
    let thresholds =
        args.threshold.iter().map(|text| grammar::threshold(text)).collect::<Result<Vec<_>>>()?;
    let text = Text::first(&grammar::channels(&args.channel), &grants, &thresholds)?;
    let folder =
        TrustFolder::create(out, &text).map_err(|failure| as_typed(failure, || at_once(&text, out)))?;
    proposed(&folder)
}

pub(super) fn add(args: &TrustAdd) -> Result<TrustReport> {
    let grant = Grant {
        key: public_key(&args.key)?,
        holder: args.holder.clone(),
        roles: edit::roles(&args.role)?,
        channels: args.channel.iter().cloned().collect(),
        from_sequence: args.from,
        to_sequence: args.to,
    };
    change(&args.folder, fewer, |text, _before| text.grant(&grant))
}

pub(super) fn remove(args: &TrustRemove) -> Result<TrustReport> {
    let who = who(&args.who)?;
    change(&args.folder, fewer, |text, _before| text.remove(&who).map(drop))
}

pub(super) fn rotate(args: &TrustRotate) -> Result<TrustReport> {
    let new = public_key(&args.new)?;
    let old = who(&args.old)?;
    change(&args.folder, fewer, |text, before| {
        let old = text.rotate(&old, new)?;
        match &args.revoke {
            Some(reason) => text.revoke(&old, reason, args.since, before),
            None => Ok(()),
        }
    })
}

pub(super) fn revoke(args: &TrustRevoke) -> Result<TrustReport> {
    let who = who(&args.who)?;
    change(&args.folder, fewer, |text, before| text.revoke(&who, &args.reason, args.since, before))
}

pub(super) fn channel(args: &TrustChannel) -> Result<TrustReport> {
    let grants = args.key.iter().map(|text| grammar::grant(text)).collect::<Result<Vec<_>>>()?;
    let thresholds =
        args.threshold.iter().map(|text| grammar::threshold(text)).collect::<Result<Vec<_>>>()?;
    let epoch = args.epoch.as_deref().map(grammar::epoch).transpose()?;
    change(&args.folder, at_once, |text, _before| {
        text.open_channel(&args.name)?;
        for mut grant in grants {
            grant.channels.insert(args.name.clone());
            text.grant(&grant)?;
        }
        for mut threshold in thresholds {
            if threshold.role.is_of_channels() {
                threshold.channel.get_or_insert_with(|| args.name.clone());
            }
            text.set_threshold(&threshold)?;
        }
        epoch.map_or(Ok(()), |epoch| text.raise_epoch(&args.name, epoch))
    })
}

/// Who is meant: of the file of a public key its id.
fn who(typed: &str) -> Result<String> {
    let path = Path::new(typed);
    let is_file = typed.contains('/') || path.extension().is_some_and(|end| end == "pub" || end == "pem");
    if is_file { public_key(path).map(|key| key.key_id().to_owned()) } else { Ok(typed.to_owned()) }
}

/// Changes the text of the next version and writes it as a draft. `hint` is what to do first where the text then
/// asks for more people than have keys.
fn change(
    at: &FolderArg,
    hint: impl FnOnce(&Text, &Path) -> String,
    edit: impl FnOnce(&mut Text, Option<&Chain>) -> Result<()>,
) -> Result<TrustReport> {
    let mut folder = TrustFolder::change(&at.dir)?;
    let mut text = folder.next_text()?;
    edit(&mut text, folder.chain())?;
    folder.propose(&text).map_err(|failure| as_typed(failure, || hint(&text, &at.dir)))?;
    proposed(&folder)
}

fn proposed(folder: &TrustFolder) -> Result<TrustReport> {
    let draft = folder.draft().ok_or_else(|| Failure::internal("a draft got lost"))?;
    let how = format!("each who must signs it: sealift trust sign {} --key KEY", folder.dir().display());
    report(&folder.newest(), draft, vec![how])
}

/// A text that makes no sense because of what was typed is no foreign document that is to be refused.
fn as_typed(failure: Failure, hint: impl FnOnce() -> String) -> Failure {
    if failure.reason != Reason::TrustMalformed {
        return failure;
    }
    failure.as_reason(Reason::BadArgument).hint(format!("nothing was written; {}", hint()))
}

/// What a command does that takes keys and thresholds itself.
fn at_once(_text: &Text, _dir: &Path) -> String {
    "give the keys in the same command (--key release:NAME=FILE), or ask for fewer people (--threshold)"
        .to_owned()
}

/// What comes before a key can go.
fn fewer(text: &Text, dir: &Path) -> String {
    let dir = dir.display();
    let any = text.channels.keys().next();
    let lowered = text.lowered().and_then(|fewer| Some((fewer.channel.as_ref().or(any)?.clone(), fewer)));
    match lowered {
        Some((channel, Threshold { role, holders, .. })) => format!(
            "first ask for fewer people with `sealift trust channel {dir} {channel} --threshold {role}={holders}`, or \
             give somebody else such a key with `sealift trust add`"
        ),
        None => format!(
            "first give somebody else such a key with `sealift trust add`, or put a new one in the place of the old with \
             `sealift trust rotate {dir} OLD NEW`, which takes --revoke too"
        ),
    }
}
