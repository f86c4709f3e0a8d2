//! Hostile and damaged bundles: one folder a defect under `testdata/attacks`, each with the code and reason
//! it must end with (rows of `docs/threats.md`). The bytes are made by the table below and
//! committed; `UPDATE_TESTDATA=1 cargo test attacks` makes them anew.
use std::{collections::BTreeSet, fs, path::Path};

use sealift::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failures, Reason},
        progress::Silent,
    },
    bundle::{Encoding, layout},
    import,
    oci::{Descriptor, media_type},
    store::Store,
    verify,
};
use serde_json::json;

use crate::{
    bundle::{files, key, root},
    forge::{
        Entry, Files, Forge, Scene, add, after, bend_file, bend_header, bend_json, bend_sums, extend, last,
        lay_out, pack, put_frame, reframe, remove, rename, rename_to, retype, set, sign, signature_path,
        skippable, stranger, stream, with_index, with_json, with_sums,
    },
};

/// Opens and checks the bundle as `sealift verify` does.
pub(crate) fn judge(dir: &Path) -> Result<verify::Report, Failures> {
    let bundle = verify::open(dir, &[key().public().clone()])?;
    verify::check(&bundle, 2, &Silent)
}

struct Attack {
    name: &'static str,
    /// Row of the threat catalogue.
    row: &'static str,
    /// `None`: it must be accepted.
    reason: Option<Reason>,
    about: &'static str,
    make: fn() -> Files,
}

/// A row of the table; the body bends a good forge.
macro_rules! attacks {
    ($($name:literal $row:literal $reason:ident $about:literal |$forge:ident| $bend:expr;)*) => {
        &[$(Attack {
            name: $name,
            row: $row,
            reason: attacks!(@reason $reason),
            about: $about,
            make: || {
                #[allow(unused_mut, clippy::allow_attributes, reason = "not every row bends the forge")]
                let mut $forge = Scene::good().forge();
                attacks!(@files $forge $bend)
            },
        },)*]
    };
    (@reason Accepted) => { None };
    (@reason $reason:ident) => { Some(Reason::$reason) };
    (@files $forge:ident $bend:expr) => {{
        let made: Option<Forge> = Bent::bent($bend);
        made.unwrap_or($forge).seal()
    }};
}

/// A row either bends the forge it was given or brings one of its own.
trait Bent {
    fn bent(self) -> Option<Forge>;
}

impl Bent for () {
    fn bent(self) -> Option<Forge> {
        None
    }
}

impl Bent for Forge {
    fn bent(self) -> Option<Forge> {
        Some(self)
    }
}

/// A scene with one image whose manifest is this text.
fn manifest(text: &str) -> Forge {
    let mut scene = Scene::empty();
    scene.blob(media_type::LAYER_TAR, b"a layer");
    scene.blob(media_type::CONFIG, b"{}");
    let root = scene.blob(media_type::MANIFEST, text.as_bytes());
    scene.artifact("registry.example.com/app:1", &root);
    scene.forge()
}

/// The text of a good manifest over the content of [`manifest`].
fn good_manifest() -> String {
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let layer = Descriptor::of(media_type::LAYER_TAR, b"a layer");
    json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]})
        .to_string()
}

/// The good manifest with a change, which must apply.
fn bent_manifest(from: &str, to: &str) -> Forge {
    let good = good_manifest();
    assert!(good.contains(from), "{from} in {good}");
    manifest(&good.replacen(from, to, 1))
}

/// Indexes nested so deep, each listing the next one twice.
fn nested(levels: usize) -> Forge {
    let mut scene = Scene::empty();
    let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
    let mut root = scene.image(&[&layer], &json!({}));
    for _ in 0..levels {
        root = scene.document(media_type::INDEX, json!({"manifests": [root, root]}));
    }
    scene.artifact("registry.example.com/app:1", &root);
    scene.forge()
}

const ATTACKS: &[Attack] = attacks! {
    // archive and format
    "good" "-" Accepted "the bundle that all others are made from"
        |_forge| ();
    "hostile-and-unsigned" "F01" SignatureInvalid "a climbing member in a bundle whose signature is broken: the tar is never reached"
        |forge| {
        rename(&mut forge, b"../evil");
        bend_file(&mut forge, &signature_path(), |bytes| bytes[0] ^= 1);
    };
    "path-climbs" "F02" TarPath "a member called ../evil"
        |forge| rename(&mut forge, b"../evil");
    "path-climbs-inside" "F02" TarPath "a member called blobs/sha256/../../x"
        |forge| rename(&mut forge, b"blobs/sha256/../../x");
    "path-absolute" "F03" TarPath "a member called /etc/x"
        |forge| rename(&mut forge, b"/etc/x");
    "path-drive" "F03" TarPath "a member called C:\\x"
        |forge| rename(&mut forge, b"C:\\x");
    "symlink" "F04" TarLink "a member is a symbolic link to /etc"
        |forge| retype(&mut forge, b'2', b"/etc");
    "hardlink" "F05" TarLink "a member is a hard link to ../../etc/passwd"
        |forge| retype(&mut forge, b'1', b"../../etc/passwd");
    "directory" "F06" TarDevice "a member is a folder"
        |forge| retype(&mut forge, b'5', b"");
    "character-device" "F07" TarDevice "a member is a character device"
        |forge| retype(&mut forge, b'3', b"");
    "block-device" "F07" TarDevice "a member is a block device"
        |forge| retype(&mut forge, b'4', b"");
    "fifo" "F07" TarDevice "a member is a fifo"
        |forge| retype(&mut forge, b'6', b"");
    "contiguous" "F07" TarDevice "a member is a contiguous file"
        |forge| retype(&mut forge, b'7', b"");
    "sparse" "F07" TarExtension "a member is a GNU sparse file"
        |forge| retype(&mut forge, b'S', b"");
    "unknown-type" "F07" TarMalformed "a member has the type Z"
        |forge| retype(&mut forge, b'Z', b"");
    "old-type" "F07" TarMalformed "a member has the type of the old format"
        |forge| retype(&mut forge, 0, b"");
    "set-user-id" "F08" TarMetadata "a member has the mode 06755"
        |forge| bend_header(&mut forge, |header| set(header, 100, 8, b"0006755"));
    "owner" "F08" TarMetadata "a member belongs to user 1000"
        |forge| bend_header(&mut forge, |header| set(header, 108, 8, b"0001750"));
    "time" "F08" TarMetadata "a member has a time"
        |forge| bend_header(&mut forge, |header| set(header, 136, 12, b"00000000001"));
    "pax-size" "F09" ZstdExpansion "a PAX header stands before a member: there is no room for it in the declared stream"
        |forge| extend(&mut forge, b'x', "PaxHeaders/x", b"11 size=99\n");
    "pax-header" "F09" TarExtension "a PAX header stands where a member must"
        |forge| retype(&mut forge, b'x', b"");
    "pax-global" "F10" TarExtension "a global PAX header stands where a member must"
        |forge| retype(&mut forge, b'g', b"");
    "gnu-long-name" "F10" TarExtension "a GNU long name stands where a member must"
        |forge| retype(&mut forge, b'L', b"");
    "duplicate-member" "F11" TarDuplicate "the member before comes once more"
        |forge| {
        let at = last(&forge);
        let name = forge.entries[at - 1].path.clone();
        rename(&mut forge, name.as_bytes());
    };
    "dotted-name" "F11" TarPath "a member called ./blobs/…"
        |forge| rename_to(&mut forge, |path| format!("./{path}"));
    "slash-name" "F11" TarPath "a member called blobs/…/"
        |forge| rename_to(&mut forge, |path| format!("{path}/"));
    "swapped-members" "F12" TarOrder "two members stand in the other order"
        |forge| {
        let name = forge.entries[last(&forge)].path.clone();
        let at = last(&forge) - 1;
        forge.entry(at).header(|header| set(header, 0, 100, name.as_bytes()));
    };
    "swapped-in-index" "F12" BundleIndexMismatch "bundle.json lists two members in the other order"
        |forge| with_index(&mut forge, |index| index.members.swap(2, 3));
    "extra-member" "F13" TarExtra "a valid member that is not listed, before the end"
        |forge| {
        let hidden = Digest::of(b"hidden").layout_path();
        forge.ends[1] = [pack(&stream(&hidden, b"hidden")), pack(&[0; 1024])].concat();
    };
    "renamed-member" "F13" TarExtra "a member that is not listed, in the place of another"
        |forge| rename_to(&mut forge, |_path| Digest::of(b"hidden").layout_path());
    "second-archive" "F14" TarTrailing "another archive after the end of the first"
        |forge| {
        let second = pack(&stream("oci-layout", layout::OCI_LAYOUT));
        forge.ends[1].extend(second);
    };
    "bytes-after-end" "F14" TarTrailing "the frame of the end holds more than two zero blocks"
        |forge| forge.ends[1] = pack(&[0; 1536]);
    "one-zero-block" "F15" TarEnd "only one zero block ends the archive"
        |forge| forge.ends[1] = pack(&[0; 512]);
    "member-after-zero-block" "F15" TarTrailing "a member hides behind a zero block"
        |forge| forge.ends[1] = pack(&[&[0; 512][..], &stream("oci-layout", b"{}")].concat());
    "end-missing" "F15" BundleIndexMismatch "a volume ends after its last member"
        |forge| forge.ends[1] = Vec::new();
    "end-not-zero" "F15" TarEnd "the second block of the end is not zero"
        |forge| forge.ends[1] = pack(&[&[0; 1023][..], &[1]].concat());
    "zero-block-for-member" "F15" TarEnd "zero blocks stand where a member must"
        |forge| { let at = last(&forge); forge.entry(at).stream.fill(0) };
    "volume-cut" "F16" Truncated "a volume ends inside its last member"
        |forge| bend_file(&mut forge, "volumes/0002.tar.zst", |bytes| bytes.truncate(100));
    "two-frames" "F17" ZstdFrame "two frames stand where one is declared"
        |forge| reframe(&mut forge, |frame| frame.extend(pack(b"more")));
    "two-half-frames" "F17" ZstdFrame "the stream of a member is cut into two frames"
        |forge| {
        let at = last(&forge);
        let stream = forge.entries[at].stream.clone();
        let (head, rest) = stream.split_at(512);
        forge.entry(at).frame = Some([pack(head), pack(rest)].concat());
    };
    "skippable-before" "F18" ZstdSkippable "a skippable frame before a member"
        |forge| reframe(&mut forge, |frame| { frame.splice(0..0, skippable(4, b"evil")); });
    "skippable-after" "F18" ZstdSkippable "a skippable frame after a member"
        |forge| reframe(&mut forge, |frame| frame.extend(skippable(4, b"evil")));
    "skippable-huge" "F18" ZstdSkippable "a skippable frame that says it has 4 GiB"
        |forge| reframe(&mut forge, |frame| { frame.splice(0..0, skippable(u32::MAX, b"")); });
    "skippable-at-end" "F18" ZstdSkippable "a skippable frame after the end of a volume"
        |forge| forge.ends[1].extend(skippable(4, b"evil"));
    "bit-flip" "F19" ChunkDamaged "one bit of a volume differs"
        |forge| bend_file(&mut forge, "volumes/0001.tar.zst", |bytes| bytes[200] ^= 4);
    "bit-flip-signed" "F19" ZstdMalformed "one bit of a frame differs, and the chunk hashes were made after it"
        |forge| reframe(&mut forge, |frame| { let middle = frame.len() - 6; frame[middle] ^= 4; });
    "no-checksum" "F19" ZstdMalformed "a frame carries no checksum"
        |forge| reframe(&mut forge, |frame| { frame[4] &= !4; frame.truncate(frame.len() - 4); });
    "dictionary" "F20" ZstdDictionary "a frame asks for a dictionary"
        |forge| reframe(&mut forge, |frame| { frame[4] |= 1; frame.insert(5, 7); });
    "legacy-frame" "F20" ZstdMalformed "a frame of zstd 0.7"
        |forge| reframe(&mut forge, |frame| frame[0] = 0x27);
    "magicless-frame" "F20" ZstdMalformed "a frame without magic number"
        |forge| reframe(&mut forge, |frame| { frame.drain(..4); });
    "reserved-bit" "F20" ZstdMalformed "a frame with a reserved bit set"
        |forge| reframe(&mut forge, |frame| frame[4] |= 8);
    "volume-grown" "F22" SizeMismatch "a volume has one byte more"
        |forge| bend_file(&mut forge, "volumes/0002.tar.zst", |bytes| bytes.push(0));
    "volume-slack" "F22" SizeMismatch "zeros after the end of a volume, as from the slack of a file system"
        |forge| bend_file(&mut forge, "volumes/0002.tar.zst", |bytes| bytes.extend([0; 4096]));
    "sums-grown" "F22" SignatureInvalid "SHA256SUMS has one byte more than was signed"
        |forge| bend_file(&mut forge, "SHA256SUMS", |bytes| bytes.push(b'\n'));
    "sums-crlf" "F22" SumsMalformed "SHA256SUMS has the line ends of Windows, and is signed so"
        |forge| with_sums(&mut forge, |text| *text = text.replace('\n', "\r\n"));
    "index-grown" "F22" BundleIndexMalformed "bundle.json ends with another line feed"
        |forge| with_json(&mut forge, |text| text.push('\n'));
    "recipe-damaged" "F22" FileDamaged "VERIFY.txt has one byte more"
        |forge| bend_file(&mut forge, "VERIFY.txt", |bytes| bytes.push(b'\n'));
    "inventory-damaged" "F22" FileDamaged "inventory.csv is cut"
        |forge| bend_file(&mut forge, "inventory.csv", |bytes| bytes.truncate(3));
    "gzip-volume" "F23" ZstdMalformed "a gzip stream stands in a volume"
        |forge| put_frame(&mut forge, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    "xz-volume" "F23" ZstdMalformed "an xz stream stands in a volume"
        |forge| put_frame(&mut forge, b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4F\0\0\0\0\x1c\xdfD!".to_vec());
    "volume-missing" "F24" VolumeMissing "a volume is not there"
        |forge| remove(&mut forge, "volumes/0002.tar.zst");
    "volume-doubled" "F24" VolumeOfOtherBundle "a volume was copied over another one"
        |forge| after(&mut forge, |files| { let first = files["volumes/0001.tar.zst"].clone(); files.insert("volumes/0002.tar.zst".into(), first); });
    "volume-too-many" "F24" FileExtra "there is a third volume of two"
        |forge| add(&mut forge, "volumes/0003.tar.zst", b"more".to_vec());
    "volume-renamed" "F24" FileExtra "a volume has another name"
        |forge| after(&mut forge, |files| { let second = files.remove("volumes/0002.tar.zst").unwrap(); files.insert("volumes/2.tar.zst".into(), second); });
    "volumes-swapped" "F25" VolumeOfOtherBundle "two volumes have each other's name"
        |forge| after(&mut forge, |files| {
        let first = files["volumes/0001.tar.zst"].clone();
        let second = files.insert("volumes/0002.tar.zst".into(), first).unwrap();
        files.insert("volumes/0001.tar.zst".into(), second);
    });
    "volume-foreign" "F25" ChunkDamaged "a volume of the same size from elsewhere"
        |forge| bend_file(&mut forge, "volumes/0001.tar.zst", |bytes| bytes.fill(7));
    "volume-backup" "F25" FileExtra "a stale copy of a volume lies beside it"
        |forge| add(&mut forge, "volumes/x0001.tar.zst.bak", b"old".to_vec());
    "other-sequence" "F26" BundleIndexMismatch "bundle.json is of another sequence than SHA256SUMS"
        |forge| forge.index.sequence = 41;
    "other-name" "F26" BundleIndexMismatch "bundle.json is of another bundle than SHA256SUMS"
        |forge| forge.index.name = "core".into();
    "name-nul" "F27" TarPath "a NUL inside a member's name"
        |forge| rename(&mut forge, b"index.json\0x");
    "name-line-feed" "F27" TarPath "a line feed inside a member's name"
        |forge| rename(&mut forge, b"a\nb");
    "name-not-utf8" "F27" TarPath "a member's name is not UTF-8"
        |forge| rename(&mut forge, b"\xff\xfe");
    "name-long" "F27" TarPath "a member's name uses the prefix field"
        |forge| bend_header(&mut forge, |header| set(header, 345, 155, b"blobs"));
    "size-base-256" "F28" TarSize "the size of a member is in base 256"
        |forge| bend_header(&mut forge, |header| header[124..136].fill(0xff));
    "size-other" "F28" TarSize "the header of a member gives another size"
        |forge| bend_header(&mut forge, |header| set(header, 124, 12, b"00000000001"));
    "size-impossible" "F28" BundleIndexMismatch "bundle.json gives a member 2^63 bytes"
        |forge| with_index(&mut forge, |index| index.members[5].size = 1 << 63);
    "checksum-wrong" "F28" TarMalformed "the checksum of a header is wrong"
        |forge| { let at = last(&forge); forge.entry(at).stream[150] ^= 1 };
    "header-garbage" "F28" TarMalformed "there is no header where a member must begin"
        |forge| { let at = last(&forge); forge.entry(at).stream[..512].fill(b'x') };
    "padding-not-zero" "F28" TarTrailing "the padding after a member's content is used"
        |forge| { let at = last(&forge); *forge.entry(at).stream.last_mut().unwrap() = 1 };
    "two-views" "F29" Accepted "a layer with a table of contents in an annotation: it is carried as bytes and never read"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"annotations\":{\"io.github.containers.zstd-chunked.manifest-checksum\":\"sha256:00\"},");
    "two-documents" "F30" BundleIndexMalformed "bundle.json holds two JSON values"
        |forge| with_json(&mut forge, |text| text.push_str("{}\n"));
    "byte-order-mark" "F30" BundleIndexMalformed "bundle.json begins with a byte order mark"
        |forge| with_json(&mut forge, |text| text.insert(0, '\u{feff}'));
    "comment" "F30" BundleIndexMalformed "bundle.json holds a comment"
        |forge| bend_json(&mut forge, "{\n", "{ // v1\n");
    "compact-json" "F30" BundleIndexMalformed "bundle.json is not in the one form"
        |forge| bend_json(&mut forge, "\"schema\": 1", "\"schema\":1");
    "sums-version-2" "F31" FormatVersion "SHA256SUMS is of format 2"
        |forge| bend_sums(&mut forge, "bundle 1\n", "bundle 2\n");
    "sums-version-0" "F31" FormatVersion "SHA256SUMS is of format 0"
        |forge| bend_sums(&mut forge, "bundle 1\n", "bundle 0\n");
    "schema-2" "F31" FormatVersion "bundle.json is of schema 2"
        |forge| bend_json(&mut forge, "\"schema\": 1", "\"schema\": 2");
    "schema-text" "F31" BundleIndexMalformed "the schema is a text"
        |forge| bend_json(&mut forge, "\"schema\": 1", "\"schema\": \"1\"");
    "schema-fraction" "F31" BundleIndexMalformed "the schema is 1.0"
        |forge| bend_json(&mut forge, "\"schema\": 1", "\"schema\": 1.0");
    "schema-missing" "F31" BundleIndexMalformed "there is no schema"
        |forge| bend_json(&mut forge, "  \"schema\": 1,\n", "");
    "faulty-encoder" "F32" DigestMismatch "a frame is valid and holds other content, as from a faulty encoder"
        |forge| { let at = last(&forge); forge.entry(at).stream[512] ^= 1 };
    "layout-marker" "F32" LayoutMalformed "oci-layout has another content"
        |forge| forge.entry(0).stream[520] ^= 1;
    "layout-index" "F32" LayoutMalformed "index.json gives an image another name than bundle.json"
        |forge| {
        let stream = &mut forge.entry(1).stream;
        let at = stream.windows(7).position(|word| word == b"library").unwrap();
        stream[at] = b'L';
    };

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
        files.insert(format!("signatures/{}.sig", "0".repeat(32)), stranger().sign(&sums).to_vec());
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

    // OCI and JSON
    "digest-path" "J01" BundleIndexMalformed "a digest is a path"
        |forge| with_json(&mut forge, |text| { let at = text.find("\"sha256:").unwrap() + 8; text.replace_range(at..at + 64, "../../../../etc/passwd"); });
    "both-shapes" "J03" OciAmbiguous "a manifest is image and index at once"
        |_forge| bent_manifest("\"layers\":", "\"manifests\":[],\"layers\":");
    "type-inside" "J03" OciAmbiguous "a manifest calls itself something else inside"
        |_forge| bent_manifest(media_type::MANIFEST, media_type::DOCKER_MANIFEST);
    "type-outside" "J03" OciAmbiguous "an index announces its child as another type"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let mut child = scene.image(&[&layer], &json!({}));
        child.media_type = media_type::DOCKER_MANIFEST.into();
        let root = scene.document(media_type::INDEX, json!({"manifests": [child]}));
        scene.artifact("registry.example.com/app:1", &root);
        scene.forge()
    };
    "no-type-inside" "J03" Accepted "a manifest without mediaType is legal"
        |_forge| manifest(&good_manifest().replace(&format!(",\"mediaType\":\"{}\"", media_type::MANIFEST), ""));
    "duplicate-key" "J04" BundleIndexMalformed "a key of bundle.json stands twice"
        |forge| bend_json(&mut forge, "  \"epoch\": 1,\n", "  \"epoch\": 1,\n  \"epoch\": 1,\n");
    "escaped-key" "J04" BundleIndexMalformed "a key of bundle.json is written with an escape"
        |forge| bend_json(&mut forge, "\"epoch\"", "\"\\u0065poch\"");
    "duplicate-key-oci" "J04" OciAmbiguous "a key of a manifest stands twice"
        |_forge| bent_manifest("\"layers\":", "\"layers\":[],\"layers\":");
    "duplicate-digest-oci" "J04" OciAmbiguous "a descriptor has two digests, one with an escape in the key"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"\\u0064igest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",");
    "unknown-key" "J05" BundleIndexMalformed "a key of bundle.json is not known"
        |forge| bend_json(&mut forge, "  \"epoch\": 1,\n", "  \"epoch\": 1,\n  \"more\": 1,\n");
    "key-case" "J05" BundleIndexMalformed "a key of bundle.json has another case"
        |forge| bend_json(&mut forge, "\"epoch\"", "\"Epoch\"");
    "key-case-oci" "J05" Accepted "a manifest has a key that only looks like digest: it is ignored"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"Digest\":\"sha256:00\",");
    "number-negative" "J06" BundleIndexMalformed "the sequence is negative"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": -42");
    "number-fraction" "J06" BundleIndexMalformed "the sequence is 42.0"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": 42.0");
    "number-exponent" "J06" BundleIndexMalformed "the sequence is 42e0"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": 42e0");
    "number-large" "J06" BundleIndexMalformed "the sequence is 2^64"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": 18446744073709551616");
    "number-text" "J06" BundleIndexMalformed "the sequence is a text"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": \"42\"");
    "number-oci" "J06" OciMalformed "a size in a manifest is 7.0"
        |_forge| bent_manifest("\"size\":7", "\"size\":7.0");
    "depth-json" "J07" BundleIndexMalformed "200 nested lists in bundle.json"
        |forge| with_json(&mut forge, |text| *text = text.replacen("\"epoch\": 1", &format!("\"epoch\": {}{}", "[".repeat(200), "]".repeat(200)), 1));
    "depth-oci" "J07" OciMalformed "200 nested lists in a manifest"
        |_forge| bent_manifest("\"layers\":", &format!("\"x\":{}{},\"layers\":", "[".repeat(200), "]".repeat(200)));
    "depth-index" "J07" OciLimit "five nested indexes"
        |_forge| nested(5);
    "graph-doubling" "J08" Accepted "four nested indexes that each list the next twice take linear time"
        |_forge| nested(4);
    "manifest-large" "J09" OciLimit "a manifest of more than 4 MiB"
        |forge| with_index(&mut forge, |index| index.blobs.iter_mut().find(|blob| media_type::is_manifest(&blob.media_type)).unwrap().size = (4 << 20) + 1);
    "manifest-long" "J09" OciLimit "a manifest with 10001 layers"
        |_forge| {
        let layer = json!(Descriptor::of(media_type::LAYER_TAR, b"a layer")).to_string();
        bent_manifest("\"layers\":[", &format!("\"layers\":[{}", format!("{layer},").repeat(10_000)))
    };
    "size-lie" "J10" OciMalformed "a descriptor gives its layer another size"
        |_forge| bent_manifest("\"size\":7", "\"size\":8");
    "size-lie-index" "J10" BundleIndexMismatch "bundle.json gives a blob another size than its member"
        |forge| with_index(&mut forge, |index| index.blobs[0].size += 1);
    "size-lie-both" "J10" ZstdFrame "bundle.json gives blob and member a size that the frame does not have"
        |forge| {
        let at = last(&forge);
        let path = forge.entries[at].path.clone();
        forge.entry(at).size += 512;
        forge.bend_index = Box::new(move |index| { index.blobs.iter_mut().find(|blob| path.ends_with(blob.digest.hex())).unwrap().size += 512; });
    };
    "size-lie-everywhere" "J10" DigestMismatch "manifest, bundle.json and member agree on a size that the digest does not have"
        |_forge| {
        let mut forge = bent_manifest("\"size\":7", "\"size\":8");
        let path = Digest::of(b"a layer").layout_path();
        let entry = forge.entries.iter_mut().find(|entry| entry.path == path).unwrap();
        *entry = Entry { volume: entry.volume, ..Entry::new(&path, b"a layer!") };
        forge.index.blobs.iter_mut().find(|blob| path.ends_with(blob.digest.hex())).unwrap().size = 8;
        forge
    };
    "child-missing" "J11" BlobMissing "an index names a child that is neither there nor listed as absent"
        |forge| with_index(&mut forge, |index| index.artifacts[0].absent.clear());
    "absent-invented" "J11" BundleIndexMismatch "a digest is listed as absent that no index names"
        |forge| with_index(&mut forge, |index| index.artifacts[1].absent.push(Digest::of(b"nobody")));
    "layer-missing" "J11" BlobMissing "a manifest names a layer that is not there"
        |_forge| bent_manifest("\"layers\":[", &format!("\"layers\":[{},", json!(Descriptor::of(media_type::LAYER_TAR, b"gone"))));
    "layer-absent" "J11" BundleIndexMismatch "a layer is listed as absent: only children of an index may be"
        |_forge| {
        let gone = Descriptor::of(media_type::LAYER_TAR, b"gone");
        let mut forge = bent_manifest("\"layers\":[", &format!("\"layers\":[{},", json!(gone)));
        forge.index.artifacts[0].absent.push(gone.digest);
        forge
    };
    "foreign-layer" "J12" BlobMissing "a layer is to be had from a URL only"
        |_forge| {
        let mut gone = Descriptor::of(media_type::LAYER_TAR, b"gone");
        gone.urls = vec!["http://169.254.169.254/".into()];
        bent_manifest("\"layers\":[", &format!("\"layers\":[{},", json!(gone)))
    };
    "referrer-of-other" "J13" BundleIndexMismatch "a referrer is listed for another subject than it names"
        |forge| with_index(&mut forge, |index| index.artifacts[0].referrers[0].subject = index.artifacts[0].root.digest.clone());
    "referrer-of-nothing" "J13" BundleIndexMismatch "a referrer is about nothing in its artifact"
        |forge| with_index(&mut forge, |index| index.artifacts[0].referrers[0].subject = Digest::of(b"nothing"));
    "descriptor-data" "J16" DescriptorData "data embedded in a descriptor differ from its digest"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"data\":\"YSBsYXllUg==\",");
    "name-climbs" "J17" NameMalformed "an artifact is called registry.example.com/../x:1"
        |forge| forge.index.artifacts[0].name = "docker.io/../x:1".into();
    "name-upper-case" "J17" NameMalformed "an artifact's name has capitals"
        |forge| forge.index.artifacts[0].name = "docker.io/library/Tool:2".into();
    "tag-long" "J17" NameMalformed "an artifact's tag has 129 letters"
        |forge| forge.index.artifacts[0].name = format!("docker.io/library/tool:{}", "x".repeat(129));
    "bundle-name-climbs" "J21" SumsMalformed "the bundle is called ../x"
        |forge| bend_sums(&mut forge, "name=edge", "name=../x");
    "unreferenced" "F13" BlobUnreferenced "the bundle carries content that no artifact needs"
        |_forge| {
        let mut scene = Scene::good();
        scene.blob(media_type::LAYER_TAR, b"stowaway");
        scene.forge()
    };
    "encoding-unknown" "F31" EncodingUnknown "a blob has an encoding that is not known"
        |forge| forge.index.blobs[0].encoding = Encoding::Unknown("delta".into());
    "chunks-short" "F22" ChunkListMalformed "chunks.bin has one hash too few"
        |forge| forge.bend_chunks = Box::new(|chunks| chunks.truncate(32));
    "chunks-long" "F22" ChunkListMalformed "chunks.bin has one hash too many"
        |forge| forge.bend_chunks = Box::new(|chunks| chunks.extend([0; 32]));
    "chunks-wrong" "F19" ChunkDamaged "chunks.bin has a wrong hash"
        |forge| forge.bend_chunks = Box::new(|chunks| chunks[0] ^= 1);
    "chunks-damaged" "F19" FileDamaged "a bit of chunks.bin differs from what was signed"
        |forge| bend_file(&mut forge, "chunks.bin", |bytes| bytes[0] ^= 1);

    // resource exhaustion
    "expansion" "X01" ZstdExpansion "a frame says that it holds 1 GiB"
        |forge| put_frame(&mut forge, [&0xfd2f_b528u32.to_le_bytes()[..], &[0x84, 0x48], &(1u32 << 30).to_le_bytes()[..], &[1, 0, 0]].concat());
    "window" "X02" ZstdWindow "a frame asks for a window of 2 GiB"
        |forge| put_frame(&mut forge, [&0xfd2f_b528u32.to_le_bytes()[..], &[0x84, 0xa8], &1024u32.to_le_bytes()[..], &[1, 0, 0]].concat());
    "more-members" "X03" BundleIndexMismatch "bundle.json lists a member more than the blobs need"
        |forge| forge.entries.push(Entry { volume: 2, ..Entry::new("oci-layout", b"") });
};

#[test]
fn every_attack_ends_as_expected() {
    let update = std::env::var_os("UPDATE_TESTDATA").is_some();
    let folder = root().join("testdata/attacks");
    let mut wrong = Vec::new();
    if update {
        for old in fs::read_dir(&folder).unwrap().map(Result::unwrap).filter(|old| old.path().is_dir()) {
            fs::remove_dir_all(old.path()).unwrap();
        }
    }
    for attack in ATTACKS {
        let dir = folder.join(attack.name);
        let made = (attack.make)();
        let code = attack.reason.map_or(0, |reason| reason.class().code());
        let expect = format!(
            "# {}\nrow = \"{}\"\ncode = {code}\nreason = \"{}\"\n",
            attack.about,
            attack.row,
            attack.reason.map_or("", Reason::text)
        );
        let bundle = dir.join("bundle");
        if update {
            lay_out(&bundle, &made);
            fs::write(dir.join("expect.toml"), &expect).unwrap();
        }
        assert_eq!(
            fs::read_to_string(dir.join("expect.toml")).unwrap_or_default(),
            expect,
            "{}",
            attack.name
        );
        assert!(files(&bundle) == made, "{}: the committed bytes are not what the table makes", attack.name);
        let (found, reasons) = match judge(&bundle) {
            Ok(_) => (0, Vec::new()),
            Err(failures) => {
                (failures.code(), failures.list().iter().map(|failure| failure.reason).collect())
            }
        };
        if found != code || !attack.reason.is_none_or(|reason| reasons.contains(&reason)) {
            wrong.push(format!(
                "{}: expected {code} {:?}, found {found} {reasons:?}",
                attack.name, attack.reason
            ));
        }
        assert!(files(&bundle) == made, "{}: something was written", attack.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let folders: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<String> = ATTACKS.iter().map(|attack| attack.name.to_owned()).collect();
    assert_eq!(folders, names);
    assert_eq!(names.len(), ATTACKS.len(), "two attacks have one name");
}

/// What a site shows and keeps: names, receipts, contents, and what is left under way.
fn site(store: &Store) -> (Vec<String>, Vec<String>, Files) {
    let mut kept = files(store.home());
    kept.retain(|path, _| !path.starts_with("sealift.db"));
    (store.repositories(None, 99).unwrap(), store.receipts().unwrap(), kept)
}

fn import(bundle: &Path, store: &Store) -> Result<(), Failures> {
    let options = import::Options {
        destination: import::Destination::Home(store.clone()),
        platforms: Vec::new(),
        names: Vec::new(),
        mapping: import::Mapping::default(),
        files_to: None,
        dry_run: false,
        workers: 2,
        now: Timestamp::from_seconds(0).unwrap(),
    };
    import::run(&verify::open(bundle, &[key().public().clone()])?, &options, &Silent).map(drop)
}

/// The code that `verify` gives for an attack.
fn code(attack: &Attack) -> u8 {
    attack.reason.map_or(0, |reason| reason.class().code())
}

#[test]
fn import_gives_the_verdict_of_verify() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for attack in ATTACKS {
        let bundle = root().join("testdata/attacks").join(attack.name).join("bundle");
        let store = Store::open(&dir.path().join(attack.name)).unwrap();
        let found = import(&bundle, &store).map_or_else(|failures| failures.code(), |()| 0);
        if found != code(attack) {
            wrong.push(format!("{}: verify gives {}, import {found}", attack.name, code(attack)));
        }
        let (shown, receipts, kept) = site(&store);
        if attack.reason.is_some() && !(shown.is_empty() && receipts.is_empty()) {
            wrong.push(format!("{}: something was published", attack.name));
        }
        if let Some(left) = kept.keys().find(|path| path.starts_with("staging")) {
            wrong.push(format!("{}: {left} was left", attack.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever a bundle says about content that a site has published: the site keeps every byte of it.
#[test]
fn no_attack_takes_anything_from_a_site() {
    let folder = root().join("testdata/attacks");
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    import(&folder.join("good/bundle"), &store).unwrap();
    let (shown, _, kept) = site(&store);
    for attack in ATTACKS.iter().filter(|attack| attack.reason.is_some()) {
        let receipts = store.receipts().unwrap().len();
        let found = import(&folder.join(attack.name).join("bundle"), &store);
        // Content that the site has is not read again, so damage to it alone goes unnoticed.
        let found = found.map_or_else(|failures| failures.code(), |()| 0);
        assert!(found == code(attack) || found == 0, "{}: {found}", attack.name);
        let now = site(&store);
        assert_eq!(now.0, shown, "{}", attack.name);
        assert_eq!(now.1.len(), receipts + usize::from(found == 0), "{}", attack.name);
        for (path, bytes) in &kept {
            assert!(now.2.get(path) == Some(bytes), "{}: {path} is gone", attack.name);
        }
    }
}
