//! A site and its rules, through the real import: bundles that are good but for one thing.
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of the state is not general enough for every moment"
)]

mod documents;
mod handover;
mod importer;
mod lost;
mod model;
mod one_change;
mod program;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, progress::Silent},
    bundle::{self, ArtifactKind},
    import::{self, Destination, Done, Mapping, Options, Refusal},
    ledger::{self, Event, Record},
    site::{Pin, Site},
    store::Store,
    trust::{
        Algorithm, Beacon, Chain, Effect, Note, Override, PrivateKey, Role, Signer,
        document::{ChannelRules, KeyRecord, Revocation, Text},
        sequence::Position,
    },
};

use crate::bundle::Workshop;

const NOW: &str = "2026-12-01T00:00:00Z";
const MADE: &str = "2026-11-25T00:00:00Z";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Everybody with a key, and a place for bundles. Two of the three root holders sign trust documents; alice
/// releases and bob approves, carol and dave sign overrides.
struct World {
    shop: Workshop,
    keys: BTreeMap<&'static str, PrivateKey>,
    /// Trust documents from version 1 on.
    chain: Vec<Vec<u8>>,
    text: Text,
}

/// A bundle that is good for the channel `prod` unless something is changed.
struct Spec<'a> {
    channel: &'a str,
    epoch: u64,
    sequence: u64,
    previous: Option<Digest>,
    site: Option<&'a str>,
    expires: Option<&'a str>,
    created: &'a str,
    /// Two bundles of other content.
    content: &'a str,
    signers: &'a [&'a str],
    /// Trust documents that it carries.
    trust: &'a [u64],
}

fn spec(sequence: u64) -> Spec<'static> {
    Spec {
        channel: "prod",
        epoch: 1,
        sequence,
        previous: None,
        site: None,
        expires: None,
        created: MADE,
        content: "content",
        signers: &["alice", "bob"],
        trust: &[],
    }
}

impl World {
    fn new() -> Self {
        let names = ["root1", "root2", "root3", "alice", "bob", "carol", "dave", "eve", "dora"];
        let algorithm =
            |at: usize| if at.is_multiple_of(2) { Algorithm::Ed25519 } else { Algorithm::EcdsaP256 };
        let key = |(at, name)| (name, PrivateKey::generate(algorithm(at)).unwrap());
        let keys: BTreeMap<_, _> = names.into_iter().enumerate().map(key).collect();
        let mut text = Text::new(2);
        let rules = ChannelRules { epoch: 1, release: 1, approver: Some(1), r#override: Some(2) };
        text.channels.insert("prod".into(), rules.clone());
        text.channels.insert("dev".into(), ChannelRules { approver: None, r#override: None, ..rules });
        let mut world = Self { shop: Workshop::new(), keys, chain: Vec::new(), text };
        for name in ["root1", "root2", "root3"] {
            world.grant(name, &[Role::Root], &[]);
        }
        world.grant("alice", &[Role::Release], &["prod"]);
        world.grant("dora", &[Role::Release], &["dev"]);
        for name in ["bob", "carol", "dave"] {
            world.grant(name, &[Role::Approver, Role::Override], &["prod"]);
        }
        world.publish_trust(|_| {});
        world
    }

    fn grant(&mut self, name: &'static str, roles: &[Role], channels: &[&str]) {
        let channels = channels.iter().map(|&channel| channel.to_owned());
        let record = KeyRecord::new(self.keys[name].public(), name, roles.iter().copied(), channels).unwrap();
        self.text.add(record).unwrap();
    }

    fn id(&self, name: &str) -> String {
        self.keys[name].public().key_id().to_owned()
    }

    /// Takes a key away for ever.
    fn revoke(&mut self, name: &str, since_sequence: Option<u64>) {
        let id = self.id(name);
        self.text.keys.retain(|key| key.id != id);
        let reason = "stolen".to_owned();
        self.text.revoked.push(Revocation { id, holder: name.to_owned(), reason, since_sequence });
        self.text.revoked.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// The next trust document, signed by two root holders.
    fn publish_trust(&mut self, change: impl FnOnce(&mut Text)) -> Vec<u8> {
        self.text.version = self.chain.len() as u64 + 1;
        change(&mut self.text);
        let note = self.note(&self.text, &["root1", "root2"]);
        self.chain.push(note.clone());
        note
    }

    fn note(&self, body: &impl serde::Serialize, signers: &[&str]) -> Vec<u8> {
        let mut note = Note::new(body).unwrap();
        for name in signers {
            note.sign(&self.keys[name]).unwrap();
        }
        note.to_bytes()
    }

    fn dir(&self) -> &Path {
        self.shop.dir.path()
    }

    /// Writes a bundle of one small image.
    fn bundle(&mut self, spec: &Spec<'_>) -> PathBuf {
        let text = format!("{} {} {}", spec.content, spec.channel, spec.sequence);
        self.shop.contents.blobs.clear();
        self.shop.contents.artifacts.clear();
        let image = self.shop.image(&[text.as_bytes()], None);
        let name = format!("docker.io/library/app:{}", spec.sequence);
        self.shop.artifact(ArtifactKind::Image, &name, &image);
        let contents = &mut self.shop.contents;
        contents.channel = spec.channel.into();
        contents.version = format!("{}.{}", spec.epoch, spec.sequence);
        (contents.epoch, contents.sequence) = (spec.epoch, spec.sequence);
        contents.created = time(spec.created);
        contents.previous.clone_from(&spec.previous);
        contents.site = spec.site.map(str::to_owned);
        contents.expires = spec.expires.map(time);
        let note = |version: &u64| (*version, self.chain[usize::try_from(*version).unwrap() - 1].clone());
        contents.trust = spec.trust.iter().map(note).collect();
        let dir = tempfile::Builder::new().prefix("bundle-").tempdir_in(self.shop.dir.path()).unwrap().keep();
        let key = |name: &&str| Box::new(self.keys[name].clone()) as Box<dyn Signer>;
        let keys: Vec<Box<dyn Signer>> = spec.signers.iter().map(key).collect();
        bundle::write(&dir, &self.shop.contents, &self.shop.store, None, 1, &keys, &Silent).unwrap();
        dir
    }

    /// A good bundle of `prod`.
    fn good(&mut self, sequence: u64) -> PathBuf {
        self.bundle(&spec(sequence))
    }

    /// A home without a name.
    fn home(&self, name: &str) -> Site {
        Site::new(Store::open(&self.dir().join(name)).unwrap(), time(NOW))
    }

    /// A site that pinned the first `versions` trust documents.
    fn site_with(&self, name: &str, versions: usize) -> Site {
        let site = self.home(name);
        let mut chain = Chain::begin(&self.chain[0]).unwrap();
        self.chain[1..versions].iter().for_each(|note| chain.extend(note).unwrap());
        site.pin(&pin(name, chain)).unwrap();
        site
    }

    fn site(&self) -> Site {
        self.site_with("berlin", self.chain.len())
    }

    fn override_for(&self, site: &str, bundle: &Path, effect: Effect, signers: &[&str]) -> Vec<u8> {
        let order = Override::new(site, "prod", identity(bundle), effect, "the auditor knows", time(MADE));
        self.note(&order.unwrap(), signers)
    }

    fn beacon(&self, sequence: u64, bundle: Digest, created: &str, trust: u64) -> Vec<u8> {
        let newest = Position { epoch: 1, sequence, bundle };
        self.note(&Beacon::new("prod", newest, trust, time(created)), &["alice"])
    }
}

fn pin(name: &str, chain: Chain) -> Pin<'_> {
    Pin { name, chain, receipts: vec![], receipt_keys: vec![], at_least: vec![], importer: None }
}

fn options(site: &Site) -> Options {
    Options {
        site: site.clone(),
        destination: Destination::Home,
        platforms: vec![],
        names: vec![],
        mapping: Mapping::default(),
        files_to: None,
        sign_key: None,
        dry_run: false,
        workers: 1,
    }
}

fn import(site: &Site, bundle: &Path) -> Result<Done, Refusal> {
    import::from_media(bundle, &[], &options(site), &Silent)
}

/// Imports what must be taken.
#[track_caller]
fn takes(site: &Site, bundle: &Path) -> Done {
    import(site, bundle).unwrap_or_else(|refusal| panic!("{:?}", refusal.failures))
}

/// Imports what must be refused, and looks at what must then be true: nothing moved, the refusal is kept.
#[track_caller]
fn refuses(site: &Site, bundle: &Path, reason: Reason) -> Refusal {
    let (before, records) = (visible(site), site.store().ledger_head().unwrap().number);
    let refusal = import(site, bundle).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, reason, "{:?}", refusal.failures);
    assert!(visible(site) == before, "a refused import changed something");
    assert!(site.store().ledger_head().unwrap().number > records, "a refusal without a record");
    refusal
}

/// What others see, and where the channels stand; but for a channel that froze.
#[derive(Debug, PartialEq)]
struct Visible {
    repositories: Vec<String>,
    tags: Vec<Vec<String>>,
    places: Vec<(String, Option<Position>)>,
    trust: usize,
    reports: Vec<String>,
}

fn visible(site: &Site) -> Visible {
    let store = site.store();
    let repositories = store.repositories(None, 99, None).unwrap();
    let tags = repositories.iter().map(|name| store.tags(name, None, 99).unwrap().unwrap()).collect();
    let channels = store.state(|state| state.channels()).unwrap();
    let places = channels.into_iter().map(|channel| (channel.name, channel.memory.last)).collect();
    let trust = store.state(|state| state.trust()).unwrap().len();
    Visible { repositories, tags, places, trust, reports: store.reports().unwrap() }
}

fn identity(bundle: &Path) -> Digest {
    Digest::of(&fs::read(bundle.join("SHA256SUMS")).unwrap())
}

fn last(site: &Site) -> Option<Position> {
    site.store().state(|state| state.memory("prod")).unwrap().last
}

#[track_caller]
fn stands_at(site: &Site, sequence: u64, bundle: &Path) {
    let expected = Position { epoch: 1, sequence, bundle: identity(bundle) };
    assert_eq!(last(site), Some(expected));
}

/// The whole ledger, which must be whole and signed by the site's key.
#[track_caller]
fn events(site: &Site) -> Vec<Event> {
    let lines = site.store().ledger(1, usize::MAX).unwrap();
    let pem = fs::read_to_string(site.store().home().join("keys/importer.pem")).unwrap();
    let key = PrivateKey::from_pem(&pem, None).unwrap();
    let audit = ledger::audit(&lines, &[key.public().clone()], &[]).unwrap();
    assert_eq!(audit.sealed + 1, audit.head.number, "the last record is no checkpoint");
    lines.iter().map(|line| Record::parse(line).unwrap().event).collect()
}

/// Names of the events but for checkpoints.
fn names(site: &Site) -> Vec<&'static str> {
    events(site).iter().map(Event::name).filter(|name| *name != "checkpoint").collect()
}

/// Reasons of the alarms of a site, by this clock.
fn alarms(site: &Site, clock: &str) -> Vec<Reason> {
    let state = |state: &sealift::store::State<'_>| sealift::site::status(state, "home", time(clock));
    let (report, alarms) = site.store().state(state).unwrap();
    assert_eq!(report.alarms.len(), alarms.len());
    alarms.iter().map(|alarm| alarm.reason).collect()
}

/// Every path of a home but for the database, which is compared by what it says.
fn paths(site: &Site) -> BTreeSet<String> {
    let all = crate::bundle::files(site.store().home());
    all.into_keys().filter(|path| !path.starts_with("sealift.db")).collect()
}
