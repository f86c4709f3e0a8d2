//! The key that signs for a site: where it comes from, and what happens when it counts no more.

use sealift::{doctor, ledger::KeyAction};

use super::*;

fn key_file(site: &Site) -> PathBuf {
    site.store().home().join("keys/importer.pem")
}

fn generate() -> PrivateKey {
    PrivateKey::generate(Algorithm::Ed25519).unwrap()
}

/// A site whose key the trust document lists.
fn with_robot(world: &mut World) -> Site {
    world.keys.insert("robot", generate());
    world.grant("robot", &[Role::Importer], &[]);
    world.publish_trust(|_| {});
    let site = world.home("berlin");
    let importer = Some(world.keys["robot"].clone());
    site.pin(&Pin { importer, ..pin("berlin", chain(world, 2)) }).unwrap();
    site
}

/// The first `versions` trust documents.
fn chain(world: &World, versions: usize) -> Chain {
    let mut chain = Chain::begin(&world.chain[0]).unwrap();
    world.chain[1..versions].iter().for_each(|note| chain.extend(note).unwrap());
    chain
}

/// Whose signatures below ledger and receipts of a site can be believed.
fn importer_keys(site: &Site) -> sealift::base::failure::Result<Vec<sealift::trust::PublicKey>> {
    let home = site.store().home();
    site.store().state(|state| sealift::site::importer_keys(home, state))
}

/// C22: a key that others can read signs nothing. A new one is told of.
#[test]
fn the_importer_key_is_private_and_named_by_the_ledger() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = World::new();
    let site = world.site();
    let path = site.store().home().join("keys/importer.pem");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let good = world.good(1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refusal = import(&site, &good).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, Reason::KeyPermissions);
    assert_eq!(last(&site), None);
    fs::remove_file(&path).unwrap();
    takes(&site, &good);
    let lines = site.store().ledger(1, usize::MAX).unwrap();
    let replaced = lines.iter().map(|line| Record::parse(line).unwrap().event).any(|event| {
        matches!(event, Event::Key { action: sealift::ledger::KeyAction::Replaced, replaces: Some(_), .. })
    });
    assert!(replaced);
    // An own key.
    let own = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    let other = world.home("other");
    let chain = || Chain::begin(&world.chain[0]).unwrap();
    let pinned = other.pin(&Pin { importer: Some(own.clone()), ..pin("other", chain()) }).unwrap();
    assert_eq!(&pinned.importer, own.public());
}

/// C22: a site that is refused leaves no key behind, and one that is left by a crash stands in nobody's way.
#[test]
fn the_importer_key_comes_last() {
    let mut world = World::new();
    let [one, two] = [generate(), generate()];
    let chain = || Chain::begin(&world.chain[0]).unwrap();
    let given = |key: &PrivateKey, name| Pin { importer: Some(key.clone()), ..pin(name, chain()) };
    let site = world.home("berlin");
    let bad = Pin { receipts: vec![b"no receipt".to_vec()], ..given(&one, "berlin") };
    assert_eq!(site.pin(&bad).unwrap_err().reason, Reason::ReceiptMalformed);
    assert!(!key_file(&site).exists());
    assert_eq!(&site.pin(&given(&two, "berlin")).unwrap().importer, two.public());
    assert_eq!(fs::read(key_file(&site)).unwrap(), two.to_pem(None).unwrap().reveal().as_bytes());
    // The process died after the key was written and before the site was pinned.
    for (name, left, given_key) in
        [("same", &one, Some(&one)), ("other", &one, Some(&two)), ("none", &one, None)]
    {
        let site = world.home(name);
        fs::create_dir_all(key_file(&site).parent().unwrap()).unwrap();
        sealift::base::fs::write_atomic(
            &key_file(&site),
            left.to_pem(None).unwrap().reveal().as_bytes(),
            0o600,
        )
        .unwrap();
        let pinned = match given_key {
            Some(key) => site.pin(&given(key, name)),
            None => site.pin(&pin(name, chain())),
        };
        let signs = given_key.unwrap_or(left);
        assert_eq!(&pinned.unwrap().importer, signs.public(), "{name}");
        events(&site);
        // Nobody throws a private key away.
        let aside = key_file(&site).with_file_name(format!("importer-{}.pem", left.public().key_id()));
        assert_eq!(aside.exists(), signs.public() != left.public(), "{name}");
        if aside.exists() {
            assert_eq!(fs::read(&aside).unwrap(), left.to_pem(None).unwrap().reveal().as_bytes());
        }
    }
    // A key that signed the ledger of this home is not exchanged in passing.
    let home = world.home("signed");
    let good = world.good(1);
    let keys = [world.keys["alice"].public().clone()];
    import::from_media(&good, &keys, &options(&home), &Silent).unwrap();
    let before = fs::read(key_file(&home)).unwrap();
    let chain = Chain::begin(&world.chain[0]).unwrap();
    let refused = home.pin(&Pin { importer: Some(one), ..pin("signed", chain) }).unwrap_err();
    assert_eq!((refused.reason, home.chain().unwrap()), (Reason::KeyExists, None));
    assert_eq!(fs::read(key_file(&home)).unwrap(), before);
}

/// T19: once the site knows that its own key is revoked, it signs nothing more with it, and nobody believes it here.
#[test]
fn a_revoked_importer_key_signs_no_more() {
    let mut world = World::new();
    let site = with_robot(&mut world);
    let (one, two) = (world.good(1), world.good(2));
    takes(&site, &one);
    assert_eq!(importer_keys(&site).unwrap().len(), 2);
    world.revoke("robot", None);
    let third = world.publish_trust(|_| {});
    site.accept(&[third]).unwrap();
    let head = site.store().ledger_head().unwrap();
    let beacon = world.beacon(2, identity(&two), MADE, 3);
    let refused = site.accept(std::slice::from_ref(&beacon)).unwrap_err();
    assert_eq!((refused.why.reason, refused.document), (Reason::ImporterRevoked, None), "the beacon is good");
    let refusal = import(&site, &two).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, Reason::ImporterRevoked);
    assert!(refusal.failures.list()[0].hint.as_ref().unwrap().contains("trust importer --replace"));
    // A bundle that is refused for itself is told of all the same.
    let junk = world.bundle(&Spec { signers: &["eve"], ..spec(9) });
    let reasons: Vec<_> =
        import(&site, &junk).unwrap_err().failures.list().iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [Reason::SignatureUntrusted, Reason::ImporterRevoked]);
    assert_eq!(site.store().ledger_head().unwrap(), head);
    assert_eq!(importer_keys(&site).unwrap_err().reason, Reason::ImporterRevoked);
    let checks = doctor::examine(&doctor::Options { home: site.store().home(), media: None, now: time(NOW) });
    let problems: Vec<_> = checks
        .iter()
        .filter_map(|check| match &check.finding {
            doctor::Finding::Problem(failure) => Some((check.name, failure.reason)),
            _ => None,
        })
        .collect();
    assert_eq!(problems, [("ledger", Reason::ImporterRevoked)]);
    // With another key it goes on.
    fs::remove_file(key_file(&site)).unwrap();
    site.accept(&[beacon]).unwrap();
    takes(&site, &two);
    assert_eq!(importer_keys(&site).unwrap().len(), 1);
    let replaced = events(&site)
        .into_iter()
        .any(|event| matches!(event, Event::Key { action: KeyAction::Replaced, .. }));
    assert!(replaced);
}

/// T19: a new key that a killed replacement left beside the revoked one counts already: for who looks, also on a
/// disk that cannot be written, and for the next import.
#[test]
fn a_killed_replacement_of_a_revoked_key_is_known() {
    let mut world = World::new();
    let site = with_robot(&mut world);
    takes(&site, &world.good(1));
    world.revoke("robot", None);
    let third = world.publish_trust(|_| {});
    site.accept(&[third]).unwrap();
    let new = super::handover::killed_replacement(&site, true);
    assert_eq!(importer_keys(&site).unwrap(), std::slice::from_ref(&new));
    let checks = doctor::examine(&doctor::Options { home: site.store().home(), media: None, now: time(NOW) });
    assert!(!checks.iter().any(|check| matches!(check.finding, doctor::Finding::Problem(_))), "{checks:?}");
    let records = site.store().ledger_head().unwrap().number;
    takes(&site, &world.good(2));
    assert_eq!(site.store().ledger_head().unwrap().number, records + 2);
    events(&site);
}

/// T19: a bundle that brings the revocation gets no receipt by the key that it revokes.
#[test]
fn a_revocation_on_the_media_counts_for_the_own_key() {
    let mut world = World::new();
    let site = with_robot(&mut world);
    world.revoke("robot", None);
    world.publish_trust(|_| {});
    let one = world.bundle(&Spec { trust: &[1, 2, 3], ..spec(1) });
    let head = site.store().ledger_head().unwrap();
    let refusal = import(&site, &one).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, Reason::ImporterRevoked);
    // That is the trouble of this site: nothing is kept against the bundle, least of all by this key.
    assert_eq!((refusal.failures.code(), refusal.receipt), (3, None));
    assert_eq!((last(&site), site.store().ledger_head().unwrap()), (None, head));
    fs::remove_file(key_file(&site)).unwrap();
    takes(&site, &one);
    assert_eq!(site.chain().unwrap().unwrap().version(), 3);
}

/// T19: what a thief of a revoked key signs brings no site back, and no site begins with such a key.
#[test]
fn receipts_by_a_revoked_key_bring_nothing_back() {
    let mut world = World::new();
    let site = with_robot(&mut world);
    takes(&site, &world.good(1));
    let receipts: Vec<_> = site
        .store()
        .signed_receipts()
        .unwrap()
        .into_iter()
        .map(|receipt| receipt.text.into_bytes())
        .collect();
    world.revoke("robot", None);
    world.publish_trust(|_| {});
    let robot = world.keys["robot"].clone();
    let fresh = world.home("fresh");
    let refused = |pin: Pin<'_>| {
        let reason = fresh.pin(&pin).unwrap_err().reason;
        assert_eq!(fresh.chain().unwrap(), None);
        reason
    };
    let begin = || pin("berlin", chain(&world, 3));
    let importer = || Some(generate());
    let receipt_keys = vec![robot.public().clone()];
    assert_eq!(refused(Pin { importer: Some(robot.clone()), ..begin() }), Reason::ImporterRevoked);
    assert_eq!(
        refused(Pin { receipts: receipts.clone(), receipt_keys, importer: importer(), ..begin() }),
        Reason::KeyRevoked
    );
    assert_eq!(refused(Pin { receipts: receipts.clone(), ..begin() }), Reason::SignatureUntrusted);
    // Nor where its file still lies in the home.
    fs::create_dir_all(key_file(&fresh).parent().unwrap()).unwrap();
    fs::copy(key_file(&site), key_file(&fresh)).unwrap();
    assert_eq!(refused(Pin { receipts: receipts.clone(), ..begin() }), Reason::ImporterRevoked);
    let untrusted = refused(Pin { receipts, importer: importer(), ..begin() });
    assert_eq!(untrusted, Reason::SignatureUntrusted);
    fresh.pin(&Pin { importer: importer(), ..begin() }).unwrap();
    takes(&fresh, &world.good(2));
}
