//! Threats A2: signatures and the list that is signed.

use sealift::{
    base::{clock::Timestamp, digest::Digest},
    trust::{
        Beacon, Note, Role,
        document::{KeyRecord, Text},
        sequence::Position,
    },
};

use super::{Attack, attacks};
use crate::{
    bundle::key,
    forge::{
        Forge, add, after, bend_file, bend_sums, list, remove, sign, signature_path, stranger, with_json,
        with_sums,
    },
};

/// A trust document of two root holders, who both signed it.
fn document(version: u64, threshold: usize) -> Vec<u8> {
    let mut text = Text::new(threshold);
    text.version = version;
    for (key, holder) in [(key(), "alice"), (stranger(), "bob")] {
        text.add(KeyRecord::new(key.public(), holder, [Role::Root], None).unwrap()).unwrap();
    }
    noted(&text)
}

/// A document with the signatures of both.
fn noted(document: &impl serde::Serialize) -> Vec<u8> {
    let mut note = Note::new(document).unwrap();
    note.sign(&key()).unwrap();
    note.sign(&stranger()).unwrap();
    note.to_bytes()
}

/// Carries two versions.
fn carry(forge: &mut Forge) {
    list(forge, "trust/0001.trust", document(1, 2));
    list(forge, "trust/0002.trust", document(2, 1));
}

pub(super) const ATTACKS: &[Attack] = attacks! {
    // signatures
    "no-signature" "T01" SignatureMissing "all signatures are gone"
        |forge| remove(&mut forge, &signature_path());
    "empty-signature" "T02" SignatureInvalid "the signature is an empty file"
        |forge| bend_file(&mut forge, &signature_path(), Vec::clear);
    "same-signature-twice" "T03" SignatureUntrusted "the signature of an unknown key under two names"
        |forge| after(&mut forge, |files| {
        let sums = files["SHA256SUMS"].clone();
        files.remove(&signature_path());
        sign(files, &stranger(), &stranger(), &sums);
        files.insert(format!("signatures/{}.sig", "0".repeat(32)), stranger().sign(&sums));
    });
    "signed-nonsense" "T06" SumsMalformed "a good signature over a text that is no SHA256SUMS"
        |forge| with_sums(&mut forge, |text| *text = String::from("hello\n"));
    "other-whitespace" "T07" SignatureInvalid "SHA256SUMS differs from what was signed by one space"
        |forge| bend_file(&mut forge, "SHA256SUMS", |bytes| bytes.insert(9, b' '));
    "key-id-borrowed" "T08" SignatureInvalid "the signature of an unknown key under the id of a trusted one"
        |forge| after(&mut forge, |files| { let sums = files["SHA256SUMS"].clone(); sign(files, &stranger(), &key(), &sums) });
    "unknown-signer" "T08" SignatureUntrusted "only an unknown key signed"
        |forge| after(&mut forge, |files| {
        let sums = files["SHA256SUMS"].clone();
        files.remove(&signature_path());
        sign(files, &stranger(), &stranger(), &sums);
    });
    "other-algorithm" "T09" SignatureInvalid "the signature has the form of ECDSA"
        |forge| bend_file(&mut forge, &signature_path(), |bytes| *bytes = [&[0x30, 0x44, 2, 0x20][..], &[1; 32], &[2, 0x20], &[1; 32]].concat());
    "embedded-key" "T09" FileExtra "the bundle brings its own public key"
        |forge| add(&mut forge, "release.pub.pem", stranger().public().to_pem().unwrap().into_bytes());
    "many-signatures" "T12" SignatureLimit "there are 65 signature files"
        |forge| after(&mut forge, |files| for at in 0..64 { files.insert(format!("signatures/{at:032x}.sig"), Vec::new()); });
    "sixty-four-signatures" "T12" Accepted "there are 64 signature files, and one of them counts"
        |forge| after(&mut forge, |files| for at in 0..63 { files.insert(format!("signatures/{at:032x}.sig"), b"junk".to_vec()); });
    "large-signature" "T12" SignatureLimit "a signature file has more than 16 KiB"
        |forge| add(&mut forge, &format!("signatures/{}.sig", "0".repeat(32)), vec![0; (16 << 10) + 1]);
    "junk-in-signatures" "T12" FileExtra "a file among the signatures has another name"
        |forge| add(&mut forge, "signatures/README", Vec::new());
    "unknown-second-signer" "T24" Accepted "an unknown key and junk signed beside a trusted one"
        |forge| after(&mut forge, |files| {
        let sums = files["SHA256SUMS"].clone();
        sign(files, &stranger(), &stranger(), &sums);
        files.insert(format!("signatures/{}.sig", "0".repeat(32)), b"junk".to_vec());
    });
    // signed by who may, and against the rules
    "header-short" "T06" SumsMalformed "SHA256SUMS has no fourth line"
        |forge| bend_sums(&mut forge, "# site=any trust=0 expires=never\n", "");
    "header-long" "T06" SumsMalformed "SHA256SUMS has a fifth comment line"
        |forge| bend_sums(&mut forge, "expires=never\n", "expires=never\n# note=hello\n");
    "header-order" "T06" SumsMalformed "the words of the fourth line stand in another order"
        |forge| bend_sums(&mut forge, "site=any trust=0", "trust=0 site=any");
    "header-words" "T06" SumsMalformed "the fourth line says more than it may"
        |forge| bend_sums(&mut forge, "expires=never", "expires=never mode=lenient");
    "header-twice" "T06" SumsMalformed "the fourth line says twice for which site the bundle is"
        |forge| bend_sums(&mut forge, "site=any", "site=any site=plant-7");
    "trust-negative" "T04" SumsMalformed "the bundle asks for trust version -1"
        |forge| bend_sums(&mut forge, "trust=0", "trust=-1");
    "trust-padded" "T04" SumsMalformed "the bundle asks for trust version 00"
        |forge| bend_sums(&mut forge, "trust=0", "trust=00");
    "trust-too-large" "T04" SumsMalformed "the bundle asks for trust version 2^64"
        |forge| bend_sums(&mut forge, "trust=0", "trust=18446744073709551616");
    "sequence-too-large" "T15" SumsMalformed "the sequence is 2^64"
        |forge| bend_sums(&mut forge, "sequence=42", "sequence=18446744073709551616");
    "previous-short" "T30" SumsMalformed "the digest of the bundle before has 63 digits"
        |forge| with_sums(&mut forge, |text| *text = text.replacen("previous=none", &format!("previous={}", "a".repeat(63)), 1));
    "previous-other-algorithm" "T30" SumsMalformed "the digest of the bundle before names its algorithm"
        |forge| with_sums(&mut forge, |text| *text = text.replacen("previous=none", &format!("previous=sha256:{}", "a".repeat(64)), 1));
    "expires-in-words" "T21" SumsMalformed "the bundle expires soon"
        |forge| bend_sums(&mut forge, "expires=never", "expires=soon");
    "expires-on-no-day" "T21" SumsMalformed "the bundle expires on the 30th of February"
        |forge| bend_sums(&mut forge, "expires=never", "expires=2027-02-30T00:00:00Z");
    "channel-upper-case" "T26" SumsMalformed "the channel is called Prod"
        |forge| bend_sums(&mut forge, "channel=prod", "channel=Prod");
    "channel-other" "T26" BundleIndexMismatch "SHA256SUMS is of another channel than bundle.json"
        |forge| bend_sums(&mut forge, "channel=prod", "channel=dev");
    "epoch-other" "T15" BundleIndexMismatch "SHA256SUMS is of another epoch than bundle.json"
        |forge| bend_sums(&mut forge, "epoch=1", "epoch=2");
    "site-upper-case" "T26" SumsMalformed "the bundle is for the site Plant-7"
        |forge| bend_sums(&mut forge, "site=any", "site=Plant-7");
    "site-empty" "T26" SumsMalformed "the bundle is for a site without a name"
        |forge| bend_sums(&mut forge, "site=any", "site=");
    // trust documents on the media
    "trust-carried" "T17" Accepted "two trust documents that hold together"
        |forge| carry(&mut forge);
    "trust-extra" "T29" FileExtra "a third trust document that is not listed"
        |forge| { carry(&mut forge); add(&mut forge, "trust/0003.trust", document(3, 1)) };
    "trust-missing" "T29" FileMissing "a listed trust document is not there"
        |forge| { carry(&mut forge); remove(&mut forge, "trust/0002.trust") };
    "trust-damaged" "T07" FileDamaged "a trust document has one byte more than was signed"
        |forge| { carry(&mut forge); bend_file(&mut forge, "trust/0002.trust", |bytes| bytes.push(b'\n')) };
    "trust-gap" "T17" SumsMalformed "trust versions 1 and 3 are listed"
        |forge| { list(&mut forge, "trust/0001.trust", document(1, 2)); list(&mut forge, "trust/0003.trust", document(3, 2)) };
    "trust-file-name" "T29" SumsMalformed "a trust document is called trust/1.trust"
        |forge| list(&mut forge, "trust/1.trust", document(1, 2));
    "trust-file-climbs" "T29" SumsMalformed "a trust document is called trust/../0001.trust"
        |forge| { carry(&mut forge); bend_sums(&mut forge, "  trust/0002", "  trust/../0002") };
    "trust-version-zero" "T17" SumsMalformed "a trust document is called trust/0000.trust"
        |forge| list(&mut forge, "trust/0000.trust", document(1, 2));
    "trust-nonsense" "T06" NoteMalformed "a listed trust document is no document"
        |forge| list(&mut forge, "trust/0001.trust", *b"hello\n");
    "trust-large" "T12" NoteMalformed "a listed trust document has more than 256 KiB"
        |forge| list(&mut forge, "trust/0001.trust", vec![b'x'; (256 << 10) + 1]);
    "trust-renumbered" "T17" TrustMalformed "the file of trust version 1 holds version 2"
        |forge| list(&mut forge, "trust/0001.trust", document(2, 2));
    "trust-skips" "T17" TrustGap "the file of trust version 2 holds version 3"
        |forge| { list(&mut forge, "trust/0001.trust", document(1, 2)); list(&mut forge, "trust/0002.trust", document(3, 2)) };
    "trust-unsigned" "T18" SignatureMissing "nobody signed the second trust document"
        |forge| {
        list(&mut forge, "trust/0001.trust", document(1, 2));
        let unsigned = document(2, 2);
        let end = unsigned.windows(2).position(|two| two == b"\n\n").unwrap();
        list(&mut forge, "trust/0002.trust", &unsigned[..end + 2]);
    };
    "trust-altered" "T18" SignatureInvalid "the second trust document was changed after it was signed"
        |forge| {
        list(&mut forge, "trust/0001.trust", document(1, 2));
        let altered = String::from_utf8(document(2, 2)).unwrap().replacen("alice", "carol", 1);
        list(&mut forge, "trust/0002.trust", altered);
    };
    "trust-threshold-0" "T04" TrustMalformed "a trust document takes nobody's signature, and everybody signed it"
        |forge| { list(&mut forge, "trust/0001.trust", document(1, 2)); list(&mut forge, "trust/0002.trust", document(2, 0)) };
    "trust-threshold-3" "T04" TrustMalformed "a trust document takes three of two holders, and everybody signed it"
        |forge| { list(&mut forge, "trust/0001.trust", document(1, 2)); list(&mut forge, "trust/0002.trust", document(2, 3)) };
    "trust-is-a-beacon" "T05" WrongType "a beacon with good signatures stands where a trust document must"
        |forge| {
        let newest = Position { epoch: 1, sequence: 42, bundle: Digest::of(b"") };
        let created = Timestamp::parse("2026-11-21T00:00:00Z").unwrap();
        list(&mut forge, "trust/0001.trust", document(1, 2));
        list(&mut forge, "trust/0002.trust", noted(&Beacon::new("prod", newest, 1, created)));
    };
    // evidence
    "evidence" "R20" Accepted "what calls itself a ledger is evidence like any other"
        |forge| list(&mut forge, "evidence/ledger.jsonl", *b"{\"action\":\"import\"}\n");
    "evidence-elsewhere" "R20" SumsMalformed "a ledger is listed beside bundle.json"
        |forge| list(&mut forge, "ledger.jsonl", *b"{}\n");
    "evidence-climbs" "T29" SumsMalformed "evidence is called evidence/../../x"
        |forge| { list(&mut forge, "evidence/x", *b"x"); bend_sums(&mut forge, "  evidence/x", "  evidence/../../x") };
    "evidence-absolute" "T29" SumsMalformed "evidence is called /evidence/x"
        |forge| { list(&mut forge, "evidence/x", *b"x"); bend_sums(&mut forge, "  evidence/x", "  /evidence/x") };
    "evidence-below" "T29" SumsMalformed "evidence lies in a folder of its own"
        |forge| list(&mut forge, "evidence/a/b", *b"x");
    "evidence-hidden" "T29" SumsMalformed "evidence is called .x"
        |forge| list(&mut forge, "evidence/.x", *b"x");
    "evidence-upper-case" "T29" SumsMalformed "evidence is called SBOM"
        |forge| list(&mut forge, "evidence/SBOM", *b"x");
    "evidence-twice" "T29" SumsMalformed "evidence is listed twice"
        |forge| { list(&mut forge, "evidence/a", *b"x"); list(&mut forge, "evidence/b", *b"x"); bend_sums(&mut forge, "evidence/b", "evidence/a") };
    "evidence-extra" "T29" FileExtra "evidence that is not listed"
        |forge| { list(&mut forge, "evidence/a", *b"x"); add(&mut forge, "evidence/b", b"x".to_vec()) };
    "evidence-missing" "T29" FileMissing "listed evidence is not there"
        |forge| { list(&mut forge, "evidence/a", *b"x"); remove(&mut forge, "evidence/a") };
    "evidence-damaged" "T07" FileDamaged "evidence has one byte more than was signed"
        |forge| { list(&mut forge, "evidence/a", *b"x"); bend_file(&mut forge, "evidence/a", |bytes| bytes.push(b'x')) };
    "sums-junk-line" "T29" SumsMalformed "SHA256SUMS holds a line that is no sum"
        |forge| with_sums(&mut forge, |text| text.push_str("junk\n"));
    "sums-line-missing" "T29" SumsMalformed "SHA256SUMS does not list chunks.bin"
        |forge| with_sums(&mut forge, |text| *text = text.lines().filter(|line| !line.ends_with("chunks.bin")).fold(String::new(), |all, line| all + line + "\n"));
    "sums-path-climbs" "T29" SumsMalformed "SHA256SUMS lists a file outside"
        |forge| bend_sums(&mut forge, "  VERIFY.txt", "  ../VERIFY.txt");
    "sums-volume-gap" "T29" SumsMalformed "SHA256SUMS lists volumes 1 and 3"
        |forge| bend_sums(&mut forge, "0002.tar", "0003.tar");
    "file-extra" "T29" FileExtra "a file that is not listed"
        |forge| add(&mut forge, "autorun.inf", Vec::new());
    "file-case" "T29" FileExtra "a listed file has another case"
        |forge| after(&mut forge, |files| { let recipe = files.remove("VERIFY.txt").unwrap(); files.insert("verify.txt".into(), recipe); });
    "file-missing" "T29" FileMissing "inventory.csv is not there"
        |forge| remove(&mut forge, "inventory.csv");
    "sums-missing" "T29" FileMissing "SHA256SUMS is not there"
        |forge| remove(&mut forge, "SHA256SUMS");
    "digest-upper-case" "T30" SumsMalformed "a digest in SHA256SUMS is upper-case"
        |forge| with_sums(&mut forge, |text| *text = text.lines().map(|line| line.split_once("  chunks").map_or(line.to_owned(), |(hex, _)| format!("{}  chunks.bin", hex.to_uppercase())) + "\n").collect());
    "digest-short" "T30" BundleIndexMalformed "a digest in bundle.json has 63 digits"
        |forge| with_json(&mut forge, |text| { let at = text.find("\"sha256:").unwrap() + 10; text.remove(at); });
    "digest-sha512" "T30" OciUnsupported "a blob is addressed by SHA-512"
        |forge| { let bent = format!("sha512:{}", "f".repeat(128)); forge.bend_index = Box::new(move |index| { index.blobs.last_mut().unwrap().digest = bent.parse().unwrap(); }) };

};
