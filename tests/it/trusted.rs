//! Whole bundles, opened by a site that pinned a trust document: who signed, which documents lie on the media,
//! and what the site knew before.
use std::path::Path;

use sealift::{
    base::failure::Reason,
    trust::{
        Algorithm, Authority, Chain, Note, PrivateKey, Role,
        document::{ChannelRules, KeyRecord, Revocation, Text},
    },
    verify::{self, VerifiedBundle},
};

use crate::forge::{Files, Scene, bend_sums, lay_out, list};

/// People and their keys: three of the root, two who release, two who approve, the importer, a stranger.
struct Team {
    roots: [PrivateKey; 3],
    release: [PrivateKey; 2],
    approver: [PrivateKey; 2],
    importer: PrivateKey,
    stranger: PrivateKey,
}

impl Team {
    fn new() -> Self {
        let key = || PrivateKey::generate(Algorithm::Ed25519).unwrap();
        Self {
            roots: [key(), key(), key()],
            release: [key(), key()],
            approver: [key(), key()],
            importer: key(),
            stranger: key(),
        }
    }

    /// A version in which everybody has the role of the name above.
    fn text(&self, version: u64) -> Text {
        let mut text = Text::new(2);
        text.version = version;
        let rules = ChannelRules { epoch: 1, release: 1, approver: Some(1), r#override: None };
        text.channels.insert("prod".to_owned(), rules);
        let groups = [
            (&self.roots[..], Role::Root),
            (&self.release[..], Role::Release),
            (&self.approver[..], Role::Approver),
            (std::slice::from_ref(&self.importer), Role::Importer),
        ];
        for (keys, role) in groups {
            for (n, key) in keys.iter().enumerate() {
                let channels = role.is_of_channels().then(|| "prod".to_owned());
                let record = KeyRecord::new(key.public(), &format!("{role}-{n}"), [role], channels);
                text.add(record.unwrap()).unwrap();
            }
        }
        text
    }

    /// The second version, in which the first release key is revoked.
    fn without_release(&self) -> Text {
        let mut text = self.text(2);
        let id = self.release[0].public().key_id().to_owned();
        text.keys.retain(|key| key.id != id);
        let (holder, reason) = ("release-0".to_owned(), "laptop stolen".to_owned());
        text.revoked.push(Revocation { id, holder, reason, since_sequence: Some(40) });
        text
    }

    /// The file of a version, signed by two of the three.
    fn sealed(&self, text: &Text) -> Vec<u8> {
        let mut note = Note::new(text).unwrap();
        note.sign(&self.roots[0]).unwrap();
        note.sign(&self.roots[2]).unwrap();
        note.to_bytes()
    }

    fn chain(&self) -> Chain {
        Chain::begin(&self.sealed(&self.text(1))).unwrap()
    }
}

/// A bundle that asks for a trust version, carries these documents and is signed by these keys.
fn bundle(asks: &'static str, carried: &[(u64, Vec<u8>)], signers: &[&PrivateKey]) -> Files {
    let mut forge = Scene::good().forge();
    for (version, bytes) in carried {
        list(&mut forge, &format!("trust/{version:04}.trust"), bytes.clone());
    }
    if !asks.is_empty() {
        bend_sums(&mut forge, "trust=0", asks);
    }
    let mut files = forge.seal();
    resign(&mut files, signers);
    files
}

fn resign(files: &mut Files, signers: &[&PrivateKey]) {
    files.retain(|path, _| !path.starts_with("signatures/"));
    let sums = files["SHA256SUMS"].clone();
    for signer in signers {
        crate::forge::sign(files, signer, signer, &sums);
    }
}

fn open(files: &Files, authority: &Authority) -> Result<VerifiedBundle, Reason> {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path(), files);
    open_in(dir.path(), authority)
}

fn open_in(dir: &Path, authority: &Authority) -> Result<VerifiedBundle, Reason> {
    verify::open(dir, authority).map_err(|failures| failures.list()[0].reason)
}

/// T23, T25, T32: both roles, by those who have them; whoever has one key alone gets nowhere.
#[test]
fn a_bundle_takes_release_and_approver() {
    let team = Team::new();
    let site = Authority::Chain(team.chain());
    let ([release, _], [approver, _]) = (&team.release, &team.approver);
    let opened = open(&bundle("", &[], &[release, approver]), &site).unwrap();
    let signers: Vec<&str> = opened.signers().iter().map(|by| by.role.as_str()).collect();
    assert_eq!(signers, ["approver", "release"]);
    assert_eq!(opened.chain().unwrap().version(), 1);
    for (signers, expected) in [
        (&[][..], Reason::SignatureMissing),
        (&[release], Reason::SignaturesTooFew),
        (&[approver], Reason::SignaturesTooFew),
        (&[&team.release[0], &team.release[1]], Reason::SignaturesTooFew),
        (&[&team.roots[0], &team.roots[1], &team.roots[2]], Reason::KeyRole),
        (&[&team.importer], Reason::KeyRole),
        (&[&team.stranger], Reason::SignatureUntrusted),
        (&[&team.stranger, approver], Reason::SignaturesTooFew),
    ] {
        let outcome = open(&bundle("", &[], signers), &site).map(drop);
        assert_eq!(outcome, Err(expected), "{} signatures", signers.len());
    }
    // T24: and a stranger beside them does no harm.
    let opened = open(&bundle("", &[], &[release, approver, &team.stranger]), &site).unwrap();
    assert_eq!(opened.ignored_signatures(), [team.stranger.public().key_id()]);
}

/// T19 and T20, the table of C4: what the site knew, what the media bring, and who signed.
#[test]
fn revocations_travel_with_the_bundle() {
    let team = Team::new();
    let (first, second) = (team.sealed(&team.text(1)), team.sealed(&team.without_release()));
    let both = [(1, first.clone()), (2, second.clone())];
    let old = Authority::Chain(team.chain());
    let mut known = team.chain();
    known.extend(&second).unwrap();
    let new = Authority::Chain(known);
    let (before, after) = ([&team.release[0], &team.approver[0]], [&team.release[1], &team.approver[0]]);
    // T20: a bundle that was made after the change says so; without it, it is refused, whoever signed.
    for signers in [&before, &after] {
        let outcome = open(&bundle("trust=2", &both[..1], signers), &old).map(drop);
        assert_eq!(outcome, Err(Reason::TrustTooOld));
    }
    // The media bring the change: the old key is out at once, at a site that never heard of it before.
    assert_eq!(open(&bundle("trust=2", &both, &before), &old).map(drop), Err(Reason::KeyRevoked));
    assert_eq!(open(&bundle("", &both, &before), &old).map(drop), Err(Reason::KeyRevoked));
    let opened = open(&bundle("trust=2", &both, &after), &old).unwrap();
    assert_eq!(opened.chain().unwrap().version(), 2);
    // They are there to be looked at, whoever signed.
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path(), &bundle("", &both, &[]));
    assert_eq!(verify::carried_trust(dir.path()).unwrap(), both);
    // The newer document alone is enough for a site that has the one before.
    assert!(open(&bundle("trust=2", &both[1..], &after), &old).is_ok());
    // A site that knows the change refuses the old key, also when the media do not carry it.
    for carried in [&both[..], &both[..1], &[]] {
        assert_eq!(open(&bundle("", carried, &before), &new).map(drop), Err(Reason::KeyRevoked));
        assert!(open(&bundle("", carried, &after), &new).is_ok());
    }
    // The limit, stated in docs/threat-model.md: where the change is withheld and the bundle asks for nothing, a
    // site that never heard of it believes what it knows.
    assert!(open(&bundle("", &both[..1], &before), &old).is_ok());
}

/// T17, T18: documents on the media are judged like those from elsewhere, before a bundle is.
#[test]
fn forged_documents_on_the_media_help_nobody() {
    let team = Team::new();
    let site = Authority::Chain(team.chain());
    let signers = [&team.release[0], &team.approver[0]];
    let thief = Team::new();
    let takeover = |keys: &[&PrivateKey]| {
        let mut note = Note::new(&thief.text(2)).unwrap();
        for key in keys {
            note.sign(*key).unwrap();
        }
        note.to_bytes()
    };
    let (mine, [root, ..]) = ([&thief.roots[0], &thief.roots[1]], &team.roots);
    let theirs = [&thief.release[0], &thief.approver[0]];
    for (second, expected) in [
        (takeover(&mine), Reason::SignatureUntrusted),
        // one root key of three is stolen
        (takeover(&[mine[0], mine[1], root]), Reason::SignaturesTooFew),
        // two are there, but the new ones did not sign
        (takeover(&[root, &team.roots[1]]), Reason::SignatureUntrusted),
        (b"garbage".to_vec(), Reason::NoteMalformed),
        (team.sealed(&team.text(3)), Reason::TrustGap),
    ] {
        for signed in [theirs, signers] {
            let outcome = open(&bundle("", &[(2, second.clone())], &signed), &site).map(drop);
            assert_eq!(outcome, Err(expected));
        }
    }
    // A gap between what is known and what is carried, and a fork of what is known.
    let third = [(3, team.sealed(&team.text(3)))];
    assert_eq!(open(&bundle("", &third, &signers), &site).map(drop), Err(Reason::TrustGap));
    let mut other = team.text(1);
    other.keys.retain(|key| key.holder != "importer-0");
    let forked = [(1, team.sealed(&other))];
    assert_eq!(open(&bundle("", &forked, &signers), &site).map(drop), Err(Reason::TrustFork));
    // Documents that are not listed are refused like every other file, though they hold.
    let mut files = bundle("", &[], &signers);
    files.insert("trust/0002.trust".to_owned(), team.sealed(&team.text(2)));
    assert_eq!(open(&files, &site).map(drop), Err(Reason::FileExtra));
    // Versions from before the pinned one are no way round it: they must hold together all the same.
    let mut later = Chain::begin(&team.sealed(&team.text(2))).unwrap();
    later.extend(&team.sealed(&team.text(3))).unwrap();
    let older = [(1, takeover(&mine))];
    assert!(open(&bundle("", &older, &signers), &Authority::Chain(later)).is_err());
}

/// T33: a root that the media bring is believed by nobody who pinned another, and single keys are no root.
#[test]
fn the_media_do_not_bring_their_own_root() {
    let (team, thief) = (Team::new(), Team::new());
    let theirs = [&thief.release[0], &thief.approver[0]];
    let carried = [(1, thief.sealed(&thief.text(1)))];
    let site = Authority::Chain(team.chain());
    assert_eq!(open(&bundle("", &carried, &theirs), &site).map(drop), Err(Reason::TrustFork));
    let later = Chain::begin(&team.sealed(&team.text(2))).unwrap();
    let outcome = open(&bundle("", &carried, &theirs), &Authority::Chain(later)).map(drop);
    assert_eq!(outcome, Err(Reason::SignatureUntrusted));
    assert_eq!(open(&bundle("", &carried, &theirs), &Authority::Keys(vec![])).map(drop), Err(Reason::NoKey));
}

/// T26: a channel that the trust document does not know.
#[test]
fn a_bundle_of_another_channel_is_refused() {
    let team = Team::new();
    let mut text = team.text(1);
    let rules = text.channels.remove("prod").unwrap();
    text.channels.insert("dev".to_owned(), rules);
    for key in text.keys.iter_mut().filter(|key| !key.channels.is_empty()) {
        key.channels = ["dev".to_owned()].into();
    }
    let site = Authority::Chain(Chain::begin(&team.sealed(&text)).unwrap());
    let outcome = open(&bundle("", &[], &[&team.release[0], &team.approver[0]]), &site).map(drop);
    assert_eq!(outcome, Err(Reason::ChannelUnknown));
}

/// T05: what was signed as something else is no `SHA256SUMS`, though everybody signed it.
#[test]
fn another_signed_document_is_no_bundle() {
    let team = Team::new();
    let site = Authority::Chain(team.chain());
    let mut files = bundle("", &[], &[]);
    for other in
        [team.sealed(&team.text(1)), b"{\"payloadType\":\"application/vnd.in-toto+json\"}\n".to_vec()]
    {
        files.insert("SHA256SUMS".to_owned(), other);
        resign(&mut files, &[&team.release[0], &team.approver[0]]);
        assert_eq!(open(&files, &site).map(drop), Err(Reason::SumsMalformed));
    }
}

/// T07, R01: evidence that reads otherwise the second time is not handed out.
#[test]
fn evidence_is_read_as_it_was_signed() {
    let team = Team::new();
    let mut forge = Scene::good().forge();
    list(&mut forge, "evidence/sbom.json", *b"{}\n");
    let mut files = forge.seal();
    resign(&mut files, &[&team.release[0], &team.approver[0]]);
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path(), &files);
    let opened = open_in(dir.path(), &Authority::Chain(team.chain())).unwrap();
    assert_eq!(opened.evidence("sbom.json").unwrap().unwrap(), b"{}\n");
    for name in ["other", "../bundle.json", "", "SBOM.json"] {
        assert!(opened.evidence(name).unwrap().is_none(), "{name}");
    }
    std::fs::write(dir.path().join("evidence/sbom.json"), b"[]\n").unwrap();
    assert_eq!(opened.evidence("sbom.json").unwrap_err().reason, Reason::FileDamaged);
}
