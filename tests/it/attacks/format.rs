//! Volumes, frames, tar, files; and what takes up too much.

use sealift::{
    base::digest::Digest,
    bundle::{Encoding, layout},
    oci::media_type,
};

use super::{Attack, attacks};
use crate::forge::{
    Entry, Scene, add, after, bend_file, bend_header, bend_json, bend_sums, extend, last, pack, put_frame,
    reframe, remove, rename, rename_to, retype, set, signature_path, skippable, stream, with_index,
    with_json, with_sums,
};

pub(super) const ATTACKS: &[Attack] = attacks! {
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
