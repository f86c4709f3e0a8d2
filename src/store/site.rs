//! What a site knows: its name and settings, whom it trusts, where each channel stands, orders it holds.

use serde::{Deserialize, Serialize};

use super::{
    Change, State,
    metadata::as_sql,
    sql::{self, Connection, OptionalExtension as _, Row, params},
};
use crate::{
    base::{
        clock::{RELEASED, Timestamp},
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    trust::{
        Beacon, Effect, Override, SignedBy,
        sequence::{JUMP_LIMIT, Memory, Position},
    },
};

/// Numbers of bundles use all 64 bits; SQLite has signed ones. The bits are kept, so SQL never compares them.
pub(super) const SCHEMA: &str = "
    CREATE TABLE site (
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        name     TEXT,
        settings TEXT NOT NULL,
        floor    INTEGER NOT NULL,
        importer TEXT
    ) STRICT;
    INSERT INTO site VALUES (1, NULL, '{}', 0, NULL);
    CREATE TABLE trust (
        version INTEGER PRIMARY KEY,
        note    BLOB NOT NULL
    ) STRICT;
    CREATE TABLE channels (
        channel        TEXT PRIMARY KEY,
        epoch          INTEGER,
        sequence       INTEGER,
        bundle         TEXT,
        least_epoch    INTEGER,
        least_sequence INTEGER,
        frozen_one     TEXT,
        frozen_other   TEXT,
        heard          INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE history (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        channel  TEXT NOT NULL,
        epoch    INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        bundle   TEXT NOT NULL,
        receipt  TEXT NOT NULL,
        signers  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX history_channel ON history (channel, number);
    CREATE TABLE beacons (
        channel TEXT PRIMARY KEY,
        beacon  TEXT NOT NULL,
        note    BLOB NOT NULL
    ) STRICT;
    CREATE TABLE overrides (
        id       TEXT PRIMARY KEY,
        note     BLOB NOT NULL,
        channel  TEXT NOT NULL,
        bundle   TEXT NOT NULL,
        effect   TEXT NOT NULL,
        accepted INTEGER NOT NULL,
        used_by  TEXT
    ) STRICT;
";

/// Since schema [`UNFINISHED_SINCE`].
pub(super) const UNFINISHED: &str = "
    CREATE TABLE unfinished (
        work    TEXT PRIMARY KEY,
        channel TEXT NOT NULL,
        bundle  TEXT NOT NULL
    ) STRICT;
";
const UNFINISHED_SINCE: usize = 3;

/// Bundles of a channel that are compared with a new one.
const REMEMBERED: usize = 256;

/// What people decided for a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether a bundle past its time is refused, not only told of.
    pub strict_expiry: bool,
    /// Days without a new bundle or beacon after which a channel is in alarm; 0 for never.
    pub max_silence: u64,
    /// How far ahead of the last bundle the next may be, at least 1.
    pub jump_limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { strict_expiry: false, max_silence: 90, jump_limit: JUMP_LIMIT }
    }
}

/// The site itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRow {
    /// Its name; absent while no trust document is pinned.
    pub name: Option<String>,
    /// What people decided.
    pub settings: Settings,
    /// The least that the time can be.
    pub floor: Timestamp,
    /// Id of the key that signs its receipts, as the ledger names it.
    pub importer: Option<String>,
}

/// A channel that a site knows: by its trust documents, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Name.
    pub name: String,
    /// What is remembered of its bundles.
    pub memory: Memory,
    /// When something new of it came, a bundle or a beacon; at first, when the site learned that it is there.
    pub heard: Timestamp,
}

/// A bundle that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Channel.
    pub channel: String,
    /// Place and digest.
    pub position: Position,
    /// Digest of its signed receipt.
    pub receipt: Digest,
    /// Whose signatures counted.
    pub signers: Vec<SignedBy>,
}

/// Something of a bundle that is admitted and not yet all where it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What of it goes where, as people read it.
    pub work: String,
    /// Channel.
    pub channel: String,
    /// The bundle.
    pub bundle: Digest,
}

/// A beacon that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBeacon {
    /// What it says.
    pub beacon: Beacon,
    /// The whole document.
    pub note: Vec<u8>,
}

/// An override that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOverride {
    /// Fingerprint of its text.
    pub id: Digest,
    /// The whole document.
    pub note: Vec<u8>,
    /// The rule that it lifts.
    pub effect: Effect,
    /// Digest of the receipt of the import that used it.
    pub used_by: Option<String>,
}

impl State<'_> {
    /// The site.
    pub fn site(&self) -> Result<SiteRow> {
        self.query(|database| {
            database.query_row("SELECT name, settings, floor, importer FROM site", sql::NONE, |row| {
                Ok(SiteRow {
                    name: row.get(0)?,
                    settings: json(row, 1)?,
                    floor: time(row, 2)?.max(RELEASED),
                    importer: row.get(3)?,
                })
            })
        })
    }

    /// The trust documents, oldest first: the pinned one and all that were accepted since.
    pub fn trust(&self) -> Result<Vec<Vec<u8>>> {
        self.query(|database| {
            let all = database.statement("SELECT note FROM trust ORDER BY version");
            all.query_map(sql::NONE, |row| row.get(0))?.collect()
        })
    }

    /// What is remembered of a channel; nothing for one that was never heard of.
    pub fn memory(&self, channel: &str) -> Result<Memory> {
        let known = self.channels()?.into_iter().find(|known| known.name == channel);
        Ok(known.map(|known| known.memory).unwrap_or_default())
    }

    /// Every channel, by name.
    pub fn channels(&self) -> Result<Vec<Channel>> {
        self.query(|database| {
            let all = database.statement(
                "SELECT channel, epoch, sequence, bundle, least_epoch, least_sequence, frozen_one, frozen_other,
                        heard, (SELECT beacon FROM beacons WHERE beacons.channel = channels.channel)
                 FROM channels ORDER BY channel",
            );
            let mut channels: Vec<Channel> = all.query_map(sql::NONE, channel_row)?.collect::<Result<_, _>>()?;
            for channel in &mut channels {
                channel.memory.history = history(database, &channel.name)?;
            }
            Ok(channels)
        })
    }

    /// Every bundle that was imported, oldest first.
    pub fn imported(&self) -> Result<Vec<Imported>> {
        self.query(|database| {
            let all = database.statement(
                "SELECT epoch, sequence, bundle, channel, receipt, signers FROM history ORDER BY number",
            );
            let row = |row: &Row| {
                Ok(Imported {
                    position: position(row)?,
                    channel: row.get(3)?,
                    receipt: digest(row, 4)?,
                    signers: json(row, 5)?,
                })
            };
            all.query_map(sql::NONE, row)?.collect()
        })
    }

    /// Imports that were admitted and are not at their end.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>> {
        self.query(|database| {
            if database.version()? < UNFINISHED_SINCE {
                return Ok(Vec::new());
            }
            let all = database.statement("SELECT bundle, work, channel FROM unfinished ORDER BY work");
            let row = |row: &Row| {
                Ok(Unfinished { bundle: digest(row, 0)?, work: row.get(1)?, channel: row.get(2)? })
            };
            all.query_map(sql::NONE, row)?.collect()
        })
    }

    /// The newest beacon of a channel.
    pub fn beacon(&self, channel: &str) -> Result<Option<HeldBeacon>> {
        self.query(|database| {
            database
                .statement("SELECT beacon, note FROM beacons WHERE channel = ?1")
                .query_row([channel], |row| Ok(HeldBeacon { beacon: json(row, 0)?, note: row.get(1)? }))
                .optional()
        })
    }

    /// Every override that was accepted for a bundle, used or not, oldest first.
    pub fn overrides(&self, channel: &str, bundle: &Digest) -> Result<Vec<HeldOverride>> {
        self.query(|database| {
            let all = database.statement(
                "SELECT id, note, effect, used_by FROM overrides WHERE channel = ?1 AND bundle = ?2
                 ORDER BY accepted, id",
            );
            let row = |row: &Row| {
                let effect: String = row.get(2)?;
                Ok(HeldOverride {
                    id: digest(row, 0)?,
                    note: row.get(1)?,
                    effect: Effect::parse(&effect).ok_or_else(|| sql::Error::unreadable(2, effect))?,
                    used_by: row.get(3)?,
                })
            };
            all.query_map(params![channel, bundle.to_string()], row)?.collect()
        })
    }
}

impl Change<'_> {
    /// Gives the home its name, once.
    ///
    /// # Errors
    /// [`Reason::TrustPinned`] where it has one.
    pub fn name_site(&self, name: &str) -> Result<()> {
        let rename = "UPDATE site SET name = ?1 WHERE name IS NULL";
        match self.query(|database| database.execute(rename, [name]))? {
            1 => Ok(()),
            _ => Err(Failure::new(
                Reason::TrustPinned,
                "site",
                "the home has a name and a pinned root already",
            )
            .hint("give newer trust documents with `sealift trust accept`; a site is pinned once")),
        }
    }

    /// Keeps what people decided.
    pub fn set_settings(&self, settings: &Settings) -> Result<()> {
        let text = serde_json::to_string(settings).map_err(Failure::internal)?;
        self.query(|database| database.execute("UPDATE site SET settings = ?1", [text]).map(drop))
    }

    /// Raises the floor of time.
    pub fn raise_floor(&self, floor: Timestamp) -> Result<()> {
        let raise = "UPDATE site SET floor = ?1 WHERE floor < ?1";
        self.query(|database| database.execute(raise, [seconds(floor)]).map(drop))
    }

    /// Keeps the id of the key that signs receipts.
    pub fn set_importer(&self, key_id: &str) -> Result<()> {
        self.query(|database| database.execute("UPDATE site SET importer = ?1", [key_id]).map(drop))
    }

    /// Adds a trust document; one that is known stays as it is.
    pub fn add_trust(&self, version: u64, note: &[u8]) -> Result<()> {
        let insert = "INSERT INTO trust (version, note) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.query(|database| database.execute(insert, params![version.cast_signed(), note]).map(drop))
    }

    /// Begins to listen to a channel; one that is known stays as it is.
    pub fn listen(&self, channel: &str, heard: Timestamp) -> Result<()> {
        let insert = "INSERT INTO channels (channel, heard) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.query(|database| database.execute(insert, params![channel, seconds(heard)]).map(drop))
    }

    /// Moves a channel to a bundle that is imported in this very change; a frozen one goes on with it. Where the one
    /// before never came to its end, nobody waits for it any more.
    pub fn advance(&self, imported: &Imported, heard: Timestamp) -> Result<()> {
        self.place(&imported.channel, &imported.position, heard)?;
        let (at, signers) = (&imported.position, serde_json::to_string(&imported.signers));
        let signers = signers.map_err(Failure::internal)?;
        self.query(|database| {
            database.execute("DELETE FROM unfinished WHERE channel = ?1", [&imported.channel])?;
            let insert = "INSERT INTO history (channel, epoch, sequence, bundle, receipt, signers)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let (epoch, sequence) = (at.epoch.cast_signed(), at.sequence.cast_signed());
            let (bundle, receipt) = (at.bundle.to_string(), imported.receipt.to_string());
            database
                .statement(insert)
                .execute(params![imported.channel, epoch, sequence, bundle, receipt, signers])
                .map(drop)
        })
    }

    /// Says where a channel stands, without an import: what a receipt of before tells.
    pub fn place(&self, channel: &str, at: &Position, heard: Timestamp) -> Result<()> {
        self.query(|database| {
            let update =
                "INSERT INTO channels (channel, epoch, sequence, bundle, heard) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (channel) DO UPDATE SET epoch = ?2, sequence = ?3, bundle = ?4, heard = ?5,
                     least_epoch = NULL, least_sequence = NULL, frozen_one = NULL, frozen_other = NULL";
            let (epoch, sequence) = (at.epoch.cast_signed(), at.sequence.cast_signed());
            let values = params![channel, epoch, sequence, at.bundle.to_string(), seconds(heard)];
            database.statement(update).execute(values).map(drop)
        })
    }

    /// Nothing of the channel before this is taken: what somebody remembers whose site does not.
    pub fn at_least(&self, channel: &str, (epoch, sequence): (u64, u64), heard: Timestamp) -> Result<()> {
        self.query(|database| {
            let update =
                "INSERT INTO channels (channel, least_epoch, least_sequence, heard) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (channel) DO UPDATE SET least_epoch = ?2, least_sequence = ?3";
            let values = params![channel, epoch.cast_signed(), sequence.cast_signed(), seconds(heard)];
            database.statement(update).execute(values).map(drop)
        })
    }

    /// Freezes a channel of which two bundles of one place were seen. The first such pair stays.
    pub fn freeze(&self, channel: &str, (one, other): (&Digest, &Digest), heard: Timestamp) -> Result<()> {
        self.query(|database| {
            let update =
                "INSERT INTO channels (channel, frozen_one, frozen_other, heard) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (channel) DO UPDATE SET frozen_one = ?2, frozen_other = ?3
                     WHERE channels.frozen_one IS NULL";
            let values = params![channel, one.to_string(), other.to_string(), seconds(heard)];
            database.statement(update).execute(values).map(drop)
        })
    }

    /// Lets a frozen channel go on.
    pub fn thaw(&self, channel: &str) -> Result<()> {
        let update = "UPDATE channels SET frozen_one = NULL, frozen_other = NULL WHERE channel = ?1";
        self.query(|database| database.execute(update, [channel]).map(drop))
    }

    /// Keeps the newest beacon of its channel.
    pub fn set_beacon(&self, beacon: &Beacon, note: &[u8], heard: Timestamp) -> Result<()> {
        let text = serde_json::to_string(beacon).map_err(Failure::internal)?;
        self.query(|database| {
            let replace = "INSERT INTO beacons (channel, beacon, note) VALUES (?1, ?2, ?3)
                ON CONFLICT (channel) DO UPDATE SET beacon = excluded.beacon, note = excluded.note";
            database.execute(replace, params![beacon.channel, text, note])?;
            let update = "INSERT INTO channels (channel, heard) VALUES (?1, ?2)
                          ON CONFLICT (channel) DO UPDATE SET heard = ?2";
            database.execute(update, params![beacon.channel, seconds(heard)]).map(drop)
        })
    }

    /// Keeps an override.
    pub fn add_override(
        &self,
        id: &Digest,
        note: &[u8],
        order: &Override,
        accepted: Timestamp,
    ) -> Result<()> {
        self.query(|database| {
            let insert = "INSERT INTO overrides (id, note, channel, bundle, effect, accepted)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let (id, bundle) = (id.to_string(), order.bundle.to_string());
            let values = params![id, note, order.channel, bundle, order.effect.name(), seconds(accepted)];
            database.execute(insert, values).map(drop)
        })
    }

    /// Notes that a bundle is admitted, and not yet all where it goes to.
    pub fn begin(&self, unfinished: &Unfinished) -> Result<()> {
        let Unfinished { work, channel, bundle } = unfinished;
        let insert = "INSERT INTO unfinished (work, channel, bundle) VALUES (?1, ?2, ?3)
            ON CONFLICT (work) DO UPDATE SET channel = excluded.channel, bundle = excluded.bundle";
        self.query(|database| database.execute(insert, params![work, channel, bundle.to_string()]).map(drop))
    }

    /// Notes that it is.
    pub fn finish(&self, Unfinished { work, bundle, .. }: &Unfinished) -> Result<()> {
        let delete = "DELETE FROM unfinished WHERE work = ?1 AND bundle = ?2";
        self.query(|database| database.execute(delete, params![work, bundle.to_string()]).map(drop))
    }

    /// Uses an override up.
    pub fn use_override(&self, id: &Digest, receipt: &Digest) -> Result<()> {
        let update = "UPDATE overrides SET used_by = ?2 WHERE id = ?1 AND used_by IS NULL";
        self.query(|database| {
            database.execute(update, params![id.to_string(), receipt.to_string()]).map(drop)
        })
    }
}

/// The bundles of a channel that were imported last, newest first.
fn history(database: &Connection, channel: &str) -> sql::Result<Vec<Position>> {
    let newest = database.statement(
        "SELECT epoch, sequence, bundle FROM history WHERE channel = ?1 ORDER BY number DESC LIMIT ?2",
    );
    newest.query_map(params![channel, as_sql(REMEMBERED)], position)?.collect()
}

fn channel_row(row: &Row) -> sql::Result<Channel> {
    let pair = |one: usize, other: usize| -> sql::Result<Option<(u64, u64)>> {
        let (one, other): (Option<i64>, Option<i64>) = (row.get(one)?, row.get(other)?);
        Ok(one.zip(other).map(|(one, other)| (one.cast_unsigned(), other.cast_unsigned())))
    };
    let optional = |at: usize| if row.is_null(at) { Ok(None) } else { digest(row, at).map(Some) };
    let beacon: Option<String> = row.get(9)?;
    let beacon: Option<Beacon> = beacon.is_some().then(|| json(row, 9)).transpose()?;
    let last = pair(1, 2)?.zip(optional(3)?);
    Ok(Channel {
        name: row.get(0)?,
        memory: Memory {
            last: last.map(|((epoch, sequence), bundle)| Position { epoch, sequence, bundle }),
            history: Vec::new(),
            beacon: beacon.map(|beacon| beacon.newest),
            frozen: optional(6)?.zip(optional(7)?),
            at_least: pair(4, 5)?,
        },
        heard: time(row, 8)?,
    })
}

/// Epoch, sequence and bundle in the first three columns.
fn position(row: &Row) -> sql::Result<Position> {
    let (epoch, sequence): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok(Position { epoch: epoch.cast_unsigned(), sequence: sequence.cast_unsigned(), bundle: digest(row, 2)? })
}

pub(super) fn digest(row: &Row, at: usize) -> sql::Result<Digest> {
    let text: String = row.get(at)?;
    Digest::parse(&text).map_err(|error| sql::Error::unreadable(at, error))
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, at: usize) -> sql::Result<T> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text).map_err(|error| sql::Error::unreadable(at, error))
}

fn time(row: &Row, at: usize) -> sql::Result<Timestamp> {
    let seconds: i64 = row.get(at)?;
    let time = u64::try_from(seconds).ok().and_then(Timestamp::from_seconds);
    time.ok_or_else(|| sql::Error::unreadable(at, "not a time"))
}

fn seconds(time: Timestamp) -> i64 {
    time.seconds().cast_signed()
}
