//! Threats A2: signatures and the list that is signed.

use super::{Attack, attacks};
use crate::{
    bundle::key,
    forge::{add, after, bend_file, bend_sums, remove, sign, signature_path, stranger, with_json, with_sums},
};

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
