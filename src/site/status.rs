//! All that a site knows, and what of it somebody should look at.

use super::{
    accept::in_doubt,
    chain,
    judge::{remembered, trust_behind},
};
use crate::{
    base::{
        clock::{Clocks, Timestamp},
        failure::{Failure, Reason, Result},
        text::count,
    },
    report::{
        Alarm,
        site::{ChannelLine, InDoubt, Place, SettingsLine, SiteReport, TrustLine},
    },
    store::{Channel, Settings, State, Unfinished},
    trust::Chain,
};

/// What a site knows, with its alarms: by the later of the two clocks, for a clock that stands still is none.
///
/// # Errors
/// Those of the database.
pub fn status(state: &State<'_>, home: &str, system: Timestamp) -> Result<(SiteReport, Vec<Failure>)> {
    let row = state.site()?;
    let chain = chain(state)?;
    let clocks = Clocks { system, floor: row.floor };
    let mut channels = state.channels()?;
    let unfinished = state.unfinished()?;
    let (mut alarms, mut doubts) = (Vec::new(), Vec::new());
    if let Some(chain) = &chain {
        for channel in &mut channels {
            channel.memory = remembered(state, &channel.name, chain)?;
            // Of a channel that the newest document leaves out, nothing more is to come.
            if chain.latest().channel(&channel.name).is_ok() {
                alarms.extend(frozen(channel));
                alarms.extend(missed(channel, &row.settings, clocks));
                alarms.extend(trust_behind(state, &channel.name, chain)?);
                alarms.extend(unfinished.iter().filter(|one| one.channel == channel.name).map(cut_short));
            }
        }
        doubts = in_doubt(&state.imported()?, chain.latest());
        alarms.extend(doubts.chunk_by(|a, b| a.key_id == b.key_id).filter_map(doubtful));
    }
    let head = state.ledger_head()?;
    let report = SiteReport {
        schema: 1,
        home: home.to_owned(),
        site: row.name,
        trust: chain.as_ref().map(trust_line),
        importer: row.importer,
        settings: settings_line(&row.settings),
        clock_floor: row.floor.to_string(),
        channels: channels.into_iter().map(channel_line).collect(),
        in_doubt: doubts,
        ledger_records: head.number,
        ledger_head: head.hash.hex().to_owned(),
        alarms: alarms.iter().map(Alarm::from).collect(),
    };
    Ok((report, alarms))
}

fn frozen(channel: &Channel) -> Option<Failure> {
    let (one, other) = channel.memory.frozen.as_ref()?;
    let message = format!("two bundles of one sequence were seen here: {one} and {other}");
    let hint = "ask the sender by another way which one is right; two holders sign an override for it";
    Some(alarm(Reason::ChannelFrozen, &channel.name, message, hint))
}

/// What should have come and did not.
fn missed(channel: &Channel, settings: &Settings, clocks: Clocks) -> Vec<Failure> {
    let (name, memory) = (&channel.name, &channel.memory);
    let mut alarms = Vec::new();
    if let Some(newest) = memory.beacon.as_ref().filter(|newest| memory.is_behind(newest)) {
        let here = memory.last.as_ref().map_or_else(|| "none".to_owned(), |last| last.sequence.to_string());
        let message = format!("a beacon tells of sequence {}, this site has {here}", newest.sequence);
        alarms.push(alarm(Reason::ChannelBehind, name, message, "ask where the newer bundle is"));
    }
    if channel.heard > clocks.best() {
        let message = format!("it was heard of at {}, and now it is {}", channel.heard, clocks.best());
        let hint = "set the clock; where it is right and was wrong then, the next bundle or beacon ends this, and until then nothing tells of silence";
        alarms.push(alarm(Reason::ClockWrong, name, message, hint));
    }
    let days = clocks.best().seconds().saturating_sub(channel.heard.seconds()) / 86_400;
    if settings.max_silence > 0 && days > settings.max_silence {
        let message = format!("nothing new for {days} days, since {}", channel.heard);
        let hint = "ask the sender for a beacon: somebody may hold bundles back";
        alarms.push(alarm(Reason::ChannelSilent, name, message, hint));
    }
    alarms
}

fn cut_short(Unfinished { work, channel, bundle }: &Unfinished) -> Failure {
    let message = format!("an import of {bundle} is under way or was cut short: {work}");
    let hint = "if none is under way, run the same import again: it goes on from there; the next bundle ends this too";
    alarm(Reason::ImportUnfinished, channel, message, hint)
}

/// Imports that one revoked key signed.
fn doubtful(doubts: &[InDoubt]) -> Option<Failure> {
    let InDoubt { channel, position, key_id, holder } = doubts.first()?;
    let (many, first) = (count(doubts.len(), "bundle"), position.sequence);
    let message = format!(
        "{holder} had it, it is revoked, and it signed {many} that came here, the first as sequence {first} of {channel}"
    );
    let hint = "`sealift trust status` lists them; ask the sender whether they are what was meant: what they brought stays published until somebody takes it away";
    Some(Failure::new(Reason::InDoubt, format!("key {key_id}"), message).hint(hint))
}

fn alarm(reason: Reason, channel: &str, message: String, hint: &str) -> Failure {
    Failure::new(reason, format!("channel {channel}"), message).hint(hint)
}

/// The newest document of a chain, and where it began.
pub fn trust_line(chain: &Chain) -> TrustLine {
    let newest = chain.notes().last().map(|(_, note)| note.fingerprint());
    TrustLine {
        version: chain.version(),
        fingerprint: newest.unwrap_or_else(|| chain.fingerprint()).hex().to_owned(),
        pinned: chain.fingerprint().hex().to_owned(),
    }
}

/// Settings for people.
pub fn settings_line(settings: &Settings) -> SettingsLine {
    SettingsLine {
        expiry: if settings.strict_expiry { "strict" } else { "advisory" },
        max_silence: settings.max_silence,
        jump_limit: settings.jump_limit,
    }
}

fn channel_line(channel: Channel) -> ChannelLine {
    let memory = channel.memory;
    ChannelLine {
        channel: channel.name,
        last: memory.last,
        at_least: memory.at_least.map(|(epoch, sequence)| Place { epoch, sequence }),
        beacon: memory.beacon,
        heard: channel.heard.to_string(),
        frozen: memory.frozen.map(|(one, other)| [one.to_string(), other.to_string()]),
    }
}
