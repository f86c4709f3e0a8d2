//! Signatures by real cosign (`testdata/cosign`), and all that must not pass for one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Form, Found, Keyless, Policy, Signatures, Signed, Subject, bundle, candidates, dsse, is_tag, judge,
    simple, tag,
};
use crate::{
    base::{
        digest::Digest,
        failure::{Reason, Result},
    },
    oci::{Descriptor, Document, media_type},
    trust::{Algorithm, PrivateKey, PublicKey},
};

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/cosign/", $name)).as_slice()
    };
}

const DOCKER: &str = media_type::DOCKER_MANIFEST;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn keys(keys: &[&PublicKey]) -> Policy {
    Policy::Keys(keys.iter().map(|key| (*key).clone()).collect())
}

fn vendor() -> Policy {
    Policy::Keys(vec![PublicKey::from_pem(text(data!("vendor.pub"))).unwrap()])
}

/// What a manifest of `testdata/cosign` lists, its one layer being `bytes`.
fn listed(manifest: &[u8], bytes: &[u8]) -> Found {
    let document = Document::parse(manifest, media_type::MANIFEST).unwrap();
    let (form, layer) = candidates(&document)[0];
    layer.check(bytes).unwrap();
    Found { form, manifest: Digest::of(manifest), layer: layer.clone(), bytes: bytes.to_vec() }
}

fn legacy(payload: &[u8], signature: &[u8]) -> Found {
    let mut layer = Descriptor::of(simple::LAYER, payload);
    layer.annotations.insert(simple::SIGNATURE.into(), STANDARD.encode(signature));
    Found { form: Form::Legacy, manifest: Digest::of(signature), layer, bytes: payload.to_vec() }
}

fn in_bundle(bytes: &[u8]) -> Found {
    let layer = Descriptor::of(bundle::MEDIA_TYPE, bytes);
    Found { form: Form::Bundle, manifest: Digest::of(bytes), layer, bytes: bytes.to_vec() }
}

fn decide(policy: &Policy, image: &[u8], found: &[Found]) -> Result<Vec<Signed>> {
    let root = Descriptor::of(DOCKER, image);
    judge(policy, Subject::new(&root, image)?, found)
}

fn refused(policy: &Policy, found: &[Found]) -> String {
    let failure = decide(policy, data!("image.json"), found).unwrap_err();
    assert_eq!(failure.reason, Reason::UpstreamSignature, "{failure}");
    failure.message
}

fn edited(bytes: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(bytes).unwrap();
    edit(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn both_forms_of_real_cosign_hold_for_their_image_and_key_alone() {
    let found = [
        listed(data!("legacy.json"), data!("payload.json")),
        listed(data!("referrer.json"), data!("bundle.json")),
    ];
    assert_eq!([found[0].form, found[1].form], [Form::Legacy, Form::Bundle]);
    let other = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    let image = data!("image.json");
    for one in &found {
        let signed = decide(&vendor(), image, std::slice::from_ref(one)).unwrap();
        assert_eq!((signed[0].form, &signed[0].manifest), (one.form, &one.manifest));
        assert_eq!(signed[0].key.as_deref(), Some("9039a8cc1eff9ef201ec7b1cea9bbf86"));
        // N15: by another key; about another image.
        refused(&keys(&[other.public()]), std::slice::from_ref(one));
        let elsewhere = decide(&vendor(), b"{}", std::slice::from_ref(one)).unwrap_err();
        assert_eq!(elsewhere.reason, Reason::UpstreamSignature);
        // T07: every byte of what is signed counts.
        for at in (0..one.bytes.len()).step_by(7) {
            let mut altered = one.clone();
            altered.bytes[at] ^= 1;
            let outcome = decide(&vendor(), image, &[altered]);
            // Whitespace and the key's hint stand outside of what is signed, and prove nothing either way.
            assert!(outcome.is_err() || one.form == Form::Bundle, "byte {at}");
        }
    }
    assert_eq!(decide(&vendor(), image, &found).unwrap().len(), 2);
    assert_eq!(decide(&vendor(), image, &[]).unwrap_err().reason, Reason::UpstreamUnsigned);
}

#[test]
fn a_good_signature_counts_among_sixty_four_bad_ones() {
    let stranger = PrivateKey::generate(Algorithm::Ed25519).unwrap();
    let image = data!("image.json");
    let payload = simple::payload(&Digest::of(image), "x");
    let mut found = vec![legacy(&payload, &stranger.sign(&payload)); 64];
    found.push(listed(data!("legacy.json"), data!("payload.json")));
    assert_eq!(decide(&vendor(), image, &found).unwrap().len(), 1);
    // Two keys, one of which signed: that one is told.
    let both = keys(&[stranger.public()]);
    assert_eq!(decide(&both, image, &found).unwrap()[0].key.as_deref(), Some(stranger.public().key_id()));
}

#[test]
fn validly_signed_nonsense_and_other_statements_are_refused() {
    for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let key = PrivateKey::generate(algorithm).unwrap();
        let policy = keys(&[key.public()]);
        let digest = Digest::of(data!("image.json"));
        let good = String::from_utf8(simple::payload(&digest, "x")).unwrap();
        let signed = |payload: &str| legacy(payload.as_bytes(), &key.sign(payload.as_bytes()));
        decide(&policy, data!("image.json"), &[signed(&good)]).unwrap();
        // T05, T06: the signature holds, and the body is another type's or cannot be read.
        for (from, to) in [("cosign container", "atomic"), ("}", ""), (r#""optional":null"#, r#""x":null"#)] {
            refused(&policy, &[signed(&good.replace(from, to))]);
        }
        let statement = |predicate: &str, digest: &Digest| {
            json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
                    "subject": [{ "digest": { "sha256": digest.hex() } }] })
            .to_string()
        };
        let enveloped = |kind: &str, body: &str| {
            let signature = key.sign(&dsse::pae(kind, body.as_bytes()));
            in_bundle(&edited(data!("bundle.json"), |bundle| {
                bundle["dsseEnvelope"] = json!({ "payload": STANDARD.encode(body), "payloadType": kind,
                    "signatures": [{ "sig": STANDARD.encode(signature) }] });
            }))
        };
        decide(&policy, data!("image.json"), &[enveloped(dsse::IN_TOTO, &statement(bundle::SIGNS, &digest))])
            .unwrap();
        let said = refused(
            &policy,
            &[enveloped(dsse::IN_TOTO, &statement("https://slsa.dev/provenance/v1", &digest))],
        );
        assert!(said.contains("attestation"), "{said}");
        refused(&policy, &[enveloped(dsse::IN_TOTO, &statement(bundle::SIGNS, &Digest::of(b"other")))]);
        refused(&policy, &[enveloped(dsse::IN_TOTO, "not json")]);
        refused(&policy, &[enveloped("application/vnd.other+json", &statement(bundle::SIGNS, &digest))]);
        // A signature over the payload without its type is none (DSSE).
        let body = statement(bundle::SIGNS, &digest);
        let bare = key.sign(body.as_bytes());
        refused(
            &policy,
            &[in_bundle(&edited(data!("bundle.json"), |bundle| {
                bundle["dsseEnvelope"] = json!({ "payload": STANDARD.encode(&body), "payloadType": dsse::IN_TOTO,
                "signatures": [{ "sig": STANDARD.encode(&bare) }] });
            }))],
        );
    }
}

#[test]
fn hints_and_keys_that_come_along_choose_nothing() {
    let (known, stranger) = (
        PrivateKey::generate(Algorithm::EcdsaP256).unwrap(),
        PrivateKey::generate(Algorithm::EcdsaP256).unwrap(),
    );
    let policy = keys(&[known.public()]);
    let digest = Digest::of(data!("image.json"));
    let by = |key: &PrivateKey| bundle::make(&digest, key).unwrap();
    decide(&policy, data!("image.json"), &[in_bundle(&by(&known))]).unwrap();
    // T08: the known key's hint and id on the signature of a stranger.
    let hint = serde_json::from_slice::<Value>(&by(&known)).unwrap()["verificationMaterial"].clone();
    refused(
        &policy,
        &[in_bundle(&edited(&by(&stranger), |bundle| {
            bundle["verificationMaterial"] = hint;
            bundle["dsseEnvelope"]["signatures"][0]["keyid"] = known.public().key_id().into();
        }))],
    );
    // A wrong hint takes nothing away.
    let bytes =
        edited(&by(&known), |bundle| bundle["verificationMaterial"]["publicKey"]["hint"] = "x".into());
    decide(&policy, data!("image.json"), &[in_bundle(&bytes)]).unwrap();
    // T09: the stranger's key beside its signature, by any name, or a certificate instead of a key.
    let der = STANDARD.encode(stranger.public().to_der().unwrap());
    for material in [
        json!({ "publicKey": { "hint": "", "rawBytes": der } }),
        json!({ "publicKey": { "hint": "" }, "certificate": { "rawBytes": der } }),
        json!({ "certificate": { "rawBytes": der } }),
        json!({}),
    ] {
        let bytes = edited(&by(&stranger), |bundle| bundle["verificationMaterial"] = material.clone());
        refused(&policy, &[in_bundle(&bytes)]);
    }
}

#[test]
fn values_at_the_edge_of_the_curve_are_no_signatures() {
    // T11: r or s zero, or the order of the group; bytes behind; a length in long form.
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let der = |r: &[u8], s: &[u8]| {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let body = [&[2, length(r)][..], r, &[2, length(s)], s].concat();
        [&[0x30, length(&body)][..], &body].concat()
    };
    let order = [&[0][..], &order].concat();
    let good = serde_json::from_slice::<Value>(data!("legacy.json")).unwrap();
    let good = good["layers"][0]["annotations"][simple::SIGNATURE].as_str().unwrap().to_owned();
    let good = STANDARD.decode(good).unwrap();
    decide(&vendor(), data!("image.json"), &[legacy(data!("payload.json"), &good)]).unwrap();
    let trailing = [good.as_slice(), &[0]].concat();
    let long = [&[0x30, 0x81][..], &good[1..]].concat();
    for bad in
        [der(&[0], &[1]), der(&[1], &[0]), der(&order, &[1]), der(&[1], &order), trailing, long, vec![]]
    {
        refused(&vendor(), &[legacy(data!("payload.json"), &bad)]);
    }
}

#[test]
fn a_bundle_may_sign_the_manifest_itself() {
    let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    let over = |message: &[u8]| {
        in_bundle(&edited(data!("bundle.json"), |bundle| {
            bundle.as_object_mut().unwrap().remove("dsseEnvelope");
            bundle["messageSignature"] = json!({ "signature": STANDARD.encode(key.sign(message)),
                "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::of(message).bytes()) } });
        }))
    };
    let policy = keys(&[key.public()]);
    decide(&policy, data!("image.json"), &[over(data!("image.json"))]).unwrap();
    refused(&policy, &[over(b"{}")]);
}

#[test]
fn bundles_are_read_in_one_way() {
    let whole = text(data!("bundle.json"));
    for (from, to) in [
        ("v0.3+json", "v0.9+json"),
        (r#""mediaType":"#, r#""mediaType":"x", "mediaType":"#),
        (r#""verificationMaterial":"#, r#""verificationMaterial":{}, "verificationMaterial":"#),
        (r#""dsseEnvelope":"#, r#""messageSignature":{"signature":""}, "dsseEnvelope":"#),
        (r#""dsseEnvelope":"#, r#""other":"#),
        (r#""signatures":["#, r#""signatures":[{"sig":""},"#),
        (r#"{"mediaType""#, r#"[{"mediaType""#),
    ] {
        assert!(whole.contains(from), "{from}");
        refused(&vendor(), &[in_bundle(whole.replacen(from, to, 1).as_bytes())]);
    }
    let deep = whole.replacen(
        "{\"mediaType\"",
        &format!("{{\"x\":{}{},\"mediaType\"", "[".repeat(99), "]".repeat(99)),
        1,
    );
    assert!(refused(&vendor(), &[in_bundle(deep.as_bytes())]).contains("nests"));
    for version in ["+json;version=0.1", "+json;version=0.2", "+json;version=0.3"] {
        let older = whole.replacen(".v0.3+json", version, 1);
        decide(&vendor(), data!("image.json"), &[in_bundle(older.as_bytes())]).unwrap();
    }
}

fn keyless_legacy(edit: impl FnOnce(&mut Descriptor)) -> Found {
    let mut layer = Descriptor::of(simple::LAYER, data!("keyless/payload.json"));
    for (key, value) in [
        (simple::SIGNATURE, data!("keyless/signature")),
        (simple::CERTIFICATE, data!("keyless/certificate.pem")),
        (simple::LOG_ENTRY, data!("keyless/set.json")),
    ] {
        layer.annotations.insert(key.into(), text(value).into());
    }
    edit(&mut layer);
    let bytes = data!("keyless/payload.json").to_vec();
    Found { form: Form::Legacy, manifest: Digest::of(b"legacy"), layer, bytes }
}

#[test]
fn an_identity_signs_in_both_forms() {
    let root = text(data!("keyless/trusted_root.json"));
    let (dev, issuer) = ("dev@example.com", "https://issuer.example.com");
    let policy =
        |identity: &str, issuer: &str| Policy::Keyless(Keyless::new(identity, issuer, root).unwrap());
    let found = [keyless_legacy(|_| ()), in_bundle(data!("keyless/bundle.json"))];
    let signed = decide(&policy(dev, issuer), data!("image.json"), &found).unwrap();
    assert_eq!(signed.len(), 2);
    assert_eq!((signed[0].identity.as_deref(), signed[0].issuer.as_deref()), (Some(dev), Some(issuer)));
    for one in &found {
        let one = std::slice::from_ref(one);
        refused(&policy("dev@example.co", issuer), one);
        refused(&policy("DEV@example.com", issuer), one);
        refused(&policy(dev, "https://issuer.example.com/"), one);
        refused(&vendor(), one);
        assert!(decide(&policy(dev, issuer), b"{}", one).is_err());
    }
    // A key is no identity.
    refused(&policy(dev, issuer), &[in_bundle(data!("bundle.json"))]);
}

#[test]
fn nothing_of_a_keyless_signature_may_be_missing_or_of_another() {
    // T21, T22: certificate, promise and proof of the log, and that its entry is of this signature.
    let root = text(data!("keyless/trusted_root.json"));
    let policy = |root: &str| {
        Policy::Keyless(Keyless::new("dev@example.com", "https://issuer.example.com", root).unwrap())
    };
    let good = policy(root);
    for missing in [simple::SIGNATURE, simple::CERTIFICATE, simple::LOG_ENTRY] {
        refused(&good, &[keyless_legacy(|layer| drop(layer.annotations.remove(missing)))]);
    }
    let log = |edit: &dyn Fn(&mut Value)| {
        let entry = String::from_utf8(edited(data!("keyless/set.json"), |value| edit(value))).unwrap();
        refused(
            &good,
            &[keyless_legacy(|layer| drop(layer.annotations.insert(simple::LOG_ENTRY.into(), entry)))],
        );
    };
    log(&|entry| entry["Payload"]["integratedTime"] = 1_700_000_000.into());
    log(&|entry| entry["Payload"]["logIndex"] = 1.into());
    log(&|entry| entry["Payload"]["logID"] = "00".repeat(32).into());
    log(&|entry| entry["SignedEntryTimestamp"] = "AAAA".into());
    let altered = |edit: &dyn Fn(&mut Value)| {
        refused(&good, &[in_bundle(&edited(data!("keyless/bundle.json"), |value| edit(value)))]);
    };
    let material = "verificationMaterial";
    altered(&|bundle| bundle[material]["tlogEntries"] = json!([]));
    altered(&|bundle| {
        drop(bundle[material]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionPromise"));
    });
    altered(&|bundle| {
        drop(bundle[material]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionProof"));
    });
    altered(&|bundle| bundle[material]["tlogEntries"][0]["integratedTime"] = "1700000000".into());
    // The entry of the other signature by the same identity, with its promise.
    let other: Value = serde_json::from_slice(data!("keyless/set.json")).unwrap();
    altered(&|bundle| {
        bundle[material]["tlogEntries"][0]["canonicalizedBody"] = other["Payload"]["body"].clone();
    });
    // Roots that do not know the authority, the log, or the log of certificates.
    for (member, what) in [("certificateAuthorities", true), ("tlogs", false), ("ctlogs", false)] {
        let without = edited(data!("keyless/trusted_root.json"), |root| root[member] = json!([]));
        let made = Keyless::new("dev@example.com", "https://issuer.example.com", text(&without));
        assert_eq!(made.is_err(), what, "{member}");
        if let Ok(keyless) = made {
            refused(&Policy::Keyless(keyless), &[in_bundle(data!("keyless/bundle.json"))]);
        }
    }
    assert!(Keyless::new("a", "b", "{}").is_err() && Keyless::new("a", "b", "").is_err());
}

#[test]
fn what_a_site_signs_is_accepted_and_always_the_same() {
    let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    let site = Signatures::new(&key).unwrap();
    let root = Descriptor::of(DOCKER, data!("image.json"));
    let Document::Image(upstream) = Document::parse(data!("legacy.json"), media_type::MANIFEST).unwrap()
    else {
        panic!("an image");
    };
    let legacy = site.legacy(&root.digest, "registry.site/app", Some(&upstream)).unwrap();
    let referrer = site.referrer(&root).unwrap();
    assert_eq!(referrer.document.subject().map(|subject| &subject.digest), Some(&root.digest));
    let mut found = Vec::new();
    for made in [&legacy, &referrer] {
        let (_, bytes) = made.contents.last().unwrap();
        let document = Document::parse(bytes, media_type::MANIFEST).unwrap();
        assert_eq!(document, made.document);
        for (form, layer) in candidates(&document) {
            let own = made.contents.iter().find(|(one, _)| one.digest == layer.digest);
            let bytes = own.map_or(data!("payload.json").to_vec(), |(_, bytes)| bytes.clone());
            found.push(Found { form, manifest: made.root.digest.clone(), layer: layer.clone(), bytes });
        }
    }
    // Upstream's stays in front of the site's.
    assert_eq!(found.len(), 3);
    assert_eq!(decide(&keys(&[key.public()]), data!("image.json"), &found).unwrap().len(), 2);
    assert_eq!(decide(&vendor(), data!("image.json"), &found[..1]).unwrap().len(), 1);
    let Document::Image(signed) = &legacy.document else { panic!("an image") };
    let again = site.legacy(&root.digest, "registry.site/app", Some(signed)).unwrap();
    assert_eq!(again.root, legacy.root);
    assert_eq!(site.referrer(&root).unwrap().root, referrer.root);
    let ed25519 = PrivateKey::generate(Algorithm::Ed25519).unwrap();
    assert_eq!(Signatures::new(&ed25519).unwrap_err().reason, Reason::BadArgument);
}

#[test]
fn tags_of_cosign_are_known_by_their_form() {
    let subject = Digest::of(b"subject");
    assert!(is_tag(&tag(&subject)));
    let hex = subject.hex();
    for (tag, expected) in [
        (format!("sha256-{hex}.att"), true),
        (format!("sha256-{hex}.sbom"), true),
        (format!("sha256-{hex}"), false),
        (format!("sha256-{hex}.zip"), false),
        (format!("sha256-{}.sig", &hex[1..]), false),
        ("1.2-3.sig".to_owned(), false),
        (".sig".to_owned(), false),
    ] {
        assert_eq!(is_tag(&tag), expected, "{tag}");
    }
}
