use super::*;
use crate::bundle::{ArtifactKind, Member, Referrer, Volume};

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

type Bend = fn(&mut BundleIndex);
type BendHeader = fn(&mut SumsHeader);

/// An image of a manifest and two layers, in two volumes. Nothing of it exists: this is arithmetic.
fn good() -> BundleIndex {
    let manifest = Descriptor::new(media_type::MANIFEST.to_owned(), digest("manifest"), 300);
    let artifact = Artifact {
        kind: ArtifactKind::Image,
        name: "registry.example.com/app:1".to_owned(),
        source: String::new(),
        root: manifest.clone(),
        platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
        absent: vec![],
        referrers: vec![],
    };
    let mut blobs: Vec<Blob> = [("one", 1000), ("two", 2000)]
        .map(|(name, size)| Blob {
            digest: digest(name),
            size,
            media_type: media_type::LAYER_TAR.to_owned(),
            encoding: Encoding::Raw,
        })
        .into();
    blobs.push(Blob {
        digest: manifest.digest.clone(),
        size: manifest.size,
        media_type: manifest.media_type,
        encoding: Encoding::Raw,
    });
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    let mut index = BundleIndex {
        schema: SCHEMA,
        name: "edge".to_owned(),
        version: "1".to_owned(),
        channel: "prod".to_owned(),
        epoch: 1,
        sequence: 42,
        created: "2026-11-21T00:00:00Z".to_owned(),
        description: None,
        tool: "test".to_owned(),
        artifacts: vec![artifact],
        blobs,
        members: Vec::new(),
        volumes: Vec::new(),
    };
    let layout = layout::layout_index(&index.artifacts).len() as u64;
    let mut members =
        vec![("oci-layout".to_owned(), OCI_LAYOUT.len() as u64), ("index.json".to_owned(), layout)];
    let blobs = layout::member_order(&index.blobs).into_iter();
    members.extend(blobs.map(|blob| (layout::member_path(&blob.digest, None), blob.size)));
    index.members = members
        .into_iter()
        .map(|(path, size)| Member { path, size, volume: 1, offset: 0, frames: vec![100] })
        .collect();
    index.members[4].volume = 2;
    fit(&mut index);
    index
}

/// Makes offsets and volumes fit the members, with frames as long as they are.
fn fit(index: &mut BundleIndex) {
    let count = index.members.last().map_or(0, |member| member.volume);
    index.volumes.clear();
    for number in 1..=count {
        let (mut offset, mut content) = (0, header::END);
        for member in index.members.iter_mut().filter(|member| member.volume == number) {
            member.offset = offset;
            offset += member.frames.iter().sum::<u64>();
            content += header::stream_length(member.size);
        }
        index.volumes.push(Volume { path: sums::volume_path(number), size: offset + 1, content });
    }
}

/// What is said of the text of a good index with a change.
fn told(bend: impl FnOnce(&mut BundleIndex)) -> String {
    let mut index = good();
    bend(&mut index);
    match BundleIndex::parse(index.to_text().as_bytes()) {
        Ok(parsed) => {
            assert_eq!(parsed, index);
            String::new()
        }
        Err(failure) => format!("{:?}: {}", failure.reason, failure.message),
    }
}

/// The layer of so many bytes in parts of these lengths, each in a volume of its own.
fn split(index: &mut BundleIndex, size: u64, parts: &[u64]) {
    let last = index.members.pop().unwrap();
    let blob = index.blobs.iter_mut().find(|blob| last.path.ends_with(blob.digest.hex())).unwrap();
    blob.size = size;
    for (number, size) in (1..).zip(parts) {
        let path = layout::member_path(&blob.digest, Some(number));
        index.members.push(Member { path, size: *size, volume: 1 + number, offset: 0, frames: vec![100] });
    }
    fit(index);
}

#[test]
fn every_byte_of_every_volume_is_accounted_for() {
    assert_eq!(told(|_| ()), "");
    assert_eq!(told(|index| index.volumes[0].size += 7), "");
    let cases: [(Bend, &str); 14] = [
        (|index| index.volumes.clear(), "oci-layout names volume 1"),
        (|index| drop(index.volumes.pop()), "names volume 2"),
        (
            |index| index.volumes[1].path = "volumes/0003.tar.zst".into(),
            "volume 2 is called `volumes/0003.tar.zst`",
        ),
        (|index| index.volumes[0].size -= 1, "members and size of volumes/0001.tar.zst do not fit together"),
        (|index| index.volumes[0].size -= 2, "members and size of volumes/0001.tar.zst do not fit together"),
        (
            |index| index.volumes[1].content += 512,
            "members and size of volumes/0002.tar.zst do not fit together",
        ),
        (
            |index| index.volumes[1].content -= 512,
            "members and size of volumes/0002.tar.zst do not fit together",
        ),
        (
            |index| index.volumes.push(Volume { path: sums::volume_path(3), size: 9, content: header::END }),
            "members and size of volumes/0003.tar.zst do not fit together",
        ),
        (|index| index.members[1].offset += 1, "index.json does not begin where the one before ends"),
        (|index| index.members[4].offset += 1, "does not begin where the one before ends"),
        (|index| index.members[3].volume = 2, "members and size of volumes/0001.tar.zst do not fit together"),
        (|index| index.members[2].volume = 7, "members and size of volumes/0001.tar.zst do not fit together"),
        (
            |index| {
                index.members.pop();
                fit(index);
            },
            "there is no member, or not all, for sha256:",
        ),
        (
            |index| {
                index.members.truncate(1);
                fit(index);
            },
            "there is no member, or not all, for index.json",
        ),
    ];
    for (bend, expected) in cases {
        let found = told(bend);
        assert!(
            found.starts_with("BundleIndexMismatch") && found.contains(expected),
            "{found} for {expected}"
        );
    }
}

#[test]
fn members_come_as_prescribed() {
    let cases: [(Bend, &str); 7] = [
        (
            |index| index.members[0].path = "oci-layouts".into(),
            "expected the member oci-layout, found oci-layouts",
        ),
        (|index| index.members[0].size += 1, "expected the member oci-layout, found oci-layout of 31 bytes"),
        (|index| index.members[1].size -= 1, "expected the member index.json, found index.json of"),
        (|index| index.members[3].size += 1, "expected the member blobs/sha256/"),
        (|index| index.members.swap(2, 3), "expected the member blobs/sha256/"),
        (|index| index.members[4].path += ".part-0001", ".part-0001, found blobs/sha256/"),
        (
            |index| {
                let again = index.members[4].clone();
                index.members.push(again);
            },
            "expected the member to be the last, found blobs/sha256/",
        ),
    ];
    for (bend, expected) in cases {
        let found = told(|index| {
            bend(index);
            fit(index);
        });
        assert!(
            found.starts_with("BundleIndexMismatch") && found.contains(expected),
            "{found} for {expected}"
        );
    }
}

#[test]
fn parts_are_whole_together() {
    let parts = |size: u64, parts: &[u64]| told(|index| split(index, size, parts));
    assert_eq!(parts(2000, &[1500, 500]), "");
    assert_eq!(parts(2000, &[1, 1, 1998]), "");
    for wrong in [&[2000][..], &[1500, 501], &[1500, 0, 500], &[0, 2000], &[2001]] {
        let found = parts(2000, wrong);
        assert!(found.contains("expected the member blobs/sha256/"), "{wrong:?}: {found}");
    }
    assert!(parts(2000, &[1500, 499]).contains("there is no member, or not all, for sha256:"));
    assert!(parts(2000, &[1500, 500, 1]).contains("expected the member to be the last"));
    // Numbers have four digits.
    let blob = good().blobs.remove(0);
    let count = |last: usize| {
        let blob = Blob { size: 10_001, ..blob.clone() };
        let mut wanted = Wanted { blobs: vec![&blob].into_iter(), fixed: vec![].into_iter(), split: None };
        (1..=last).try_for_each(|part| wanted.check(&layout::member_path(&blob.digest, Some(part)), 1))
    };
    assert!(count(9999).is_ok());
    assert!(count(10_000).is_err());
}

#[test]
fn frames_can_hold_their_member() {
    let frames = |size: u64, frames: &[u64]| {
        let frames = frames.to_vec();
        check_frames(&Member { path: "x".into(), size, volume: 1, offset: 0, frames }).ok()
    };
    let (full, small) = (frame::piece_bound(limits::FRAME_BYTES), frame::piece_bound(1024));
    assert_eq!(frames(1, &[1]), Some(1));
    assert_eq!(frames(1, &[small]), Some(small));
    for wrong in [&[][..], &[0], &[small + 1], &[1, 1]] {
        assert_eq!(frames(1, wrong), None, "{wrong:?}");
    }
    // Header and content fill one frame, and with one byte more there are two.
    let one = limits::FRAME_BYTES - header::BLOCK;
    assert_eq!(frames(one, &[full]), Some(full));
    assert_eq!(frames(one, &[full + 1]), None);
    assert_eq!(frames(one + 1, &[full]), None);
    assert_eq!(frames(one + 1, &[full, 7]), Some(full + 7));
    // A member of 8 GiB less a byte is the largest.
    let largest = |size: u64| {
        told(|index| {
            let pieces = header::stream_length(size).div_ceil(limits::FRAME_BYTES);
            let member = index.members.last_mut().unwrap();
            member.size = size;
            member.frames = vec![100; usize::try_from(pieces).unwrap()];
            let blob = index.blobs.iter_mut().find(|blob| member.path.ends_with(blob.digest.hex())).unwrap();
            blob.size = size;
            fit(index);
        })
    };
    assert_eq!(largest((8 << 30) - 1), "");
    assert!(largest(8 << 30).contains("is larger than a member may be"));
}

#[test]
fn artifacts_and_blobs_are_written_in_one_way() {
    fn referrer(name: &str) -> Referrer {
        let root = Descriptor::new(media_type::MANIFEST.to_owned(), digest(name), 10);
        Referrer { root, subject: digest("manifest"), tag: None }
    }
    fn artifact(index: &mut BundleIndex) -> &mut Artifact {
        &mut index.artifacts[0]
    }
    let cases: [(Bend, &str); 19] = [
        (|index| artifact(index).platforms[0] = "Linux/amd64".into(), "`Linux/amd64` is no platform"),
        (|index| artifact(index).platforms[0] = "linux".into(), "`linux` is no platform"),
        (|index| artifact(index).platforms.reverse(), "platforms are not sorted"),
        (
            |index| artifact(index).platforms[1] = "linux/amd64".into(),
            "platforms are not sorted, or one stands twice",
        ),
        (|index| artifact(index).absent = vec![digest("x"), digest("x")], "absent digests are not sorted"),
        (|index| artifact(index).referrers = vec![referrer("x"), referrer("x")], "referrers are not sorted"),
        (
            |index| artifact(index).root.media_type = media_type::LAYER_TAR.into(),
            "is not the bare descriptor of a manifest",
        ),
        (
            |index| artifact(index).root.urls = vec!["http://x".into()],
            "is not the bare descriptor of a manifest",
        ),
        (
            |index| {
                let mut other = referrer("x");
                other.root.media_type = media_type::LAYER_TAR.into();
                artifact(index).referrers = vec![other];
            },
            "is not the bare descriptor of a manifest",
        ),
        (
            |index| artifact(index).referrers = vec![Referrer { tag: Some("-x".into()), ..referrer("x") }],
            "NameMalformed: `-x` is no tag",
        ),
        (
            |index| index.artifacts.push(index.artifacts[0].clone()),
            "artifacts are not sorted, or one stands twice",
        ),
        (|index| index.blobs.swap(0, 1), "blobs are not sorted, or one stands twice"),
        (|index| index.blobs[0].encoding = Encoding::Unknown("delta".into()), "EncodingUnknown: sha256:"),
        (|index| index.name = "Edge".into(), "NameMalformed: the name must be"),
        (|index| index.version = String::new(), "NameMalformed: the version must be"),
        (|index| index.channel = "../x".into(), "NameMalformed: the channel must be"),
        (|index| index.created = "yesterday".into(), "created is not a time"),
        (|index| index.schema = 2, "FormatVersion: expected schema 1, found 2"),
        (
            |index| {
                let manifest = index.blobs.iter_mut().find(|blob| blob.digest == digest("manifest")).unwrap();
                manifest.size = limits::OCI_MANIFEST_BYTES + 1;
            },
            "OciLimit: the manifest sha256:",
        ),
    ];
    for (bend, expected) in cases {
        let found = told(bend);
        assert!(found.contains(expected), "{found} for {expected}");
    }
    // A tag leads to one thing: referrers have theirs beside that of the artifact.
    let tagged = |tag: &str| {
        let mut index = good();
        artifact(&mut index).referrers = vec![Referrer { tag: Some(tag.into()), ..referrer("x") }];
        index.check_content().map_or_else(|failure| failure.message, |()| String::new())
    };
    assert_eq!(tagged("other"), "");
    assert!(
        tagged("1").contains("registry.example.com/app:1 would lead to it and to something of"),
        "{}",
        tagged("1")
    );
    let mut typed = good();
    typed.artifacts[0].root.artifact_type = Some("application/x".into());
    assert!(check_artifact(&typed.artifacts[0]).is_ok());
    let blob = |media_type: &str, size: u64| {
        check_blob(&Blob {
            digest: digest("x"),
            size,
            media_type: media_type.into(),
            encoding: Encoding::Raw,
        })
    };
    assert!(blob(media_type::INDEX, limits::OCI_MANIFEST_BYTES).is_ok());
    assert!(blob(media_type::INDEX, limits::OCI_MANIFEST_BYTES + 1).is_err());
    assert!(blob(media_type::LAYER_TAR, u64::MAX).is_ok());
}

#[test]
fn one_text_has_one_reading() {
    let text = good().to_text();
    for wrong in [
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!(" {text}"),
        text.replacen("\"epoch\": 1", "\"epoch\":  1", 1),
        text.replacen("edge", "\\u0065dge", 1),
    ] {
        let failure = BundleIndex::parse(wrong.as_bytes()).unwrap_err();
        assert_eq!(failure.reason, Reason::BundleIndexMalformed);
    }
}

#[test]
fn what_sha256sums_says_is_compared_word_for_word() {
    let index = good();
    let header = SumsHeader {
        name: index.name.clone(),
        version: index.version.clone(),
        channel: index.channel.clone(),
        epoch: index.epoch,
        sequence: index.sequence,
        created: crate::base::clock::Timestamp::parse(&index.created).unwrap(),
        previous: None,
        site: None,
        trust: 0,
        expires: None,
    };
    assert!(index.check_header(&header, 2).is_ok());
    let told = |bend: BendHeader, volumes: usize| {
        let mut header = header.clone();
        bend(&mut header);
        index.check_header(&header, volumes).unwrap_err().message
    };
    let cases: [(BendHeader, usize, &str); 7] = [
        (|header| header.name = "core".into(), 2, "name is `edge` here and `core` in SHA256SUMS"),
        (|header| header.version = "2".into(), 2, "version is `1` here and `2` in SHA256SUMS"),
        (|header| header.channel = "dev".into(), 2, "channel is `prod` here and `dev` in SHA256SUMS"),
        (|header| header.epoch = 2, 2, "epoch is `1` here and `2` in SHA256SUMS"),
        (|header| header.sequence = 43, 2, "sequence is `42` here and `43` in SHA256SUMS"),
        (
            |header| header.created = crate::base::clock::Timestamp::parse("2026-11-22T00:00:00Z").unwrap(),
            2,
            "created is `2026-11-21T00:00:00Z` here and `2026-11-22T00:00:00Z` in SHA256SUMS",
        ),
        (|_| (), 3, "number of volumes is `2` here and `3` in SHA256SUMS"),
    ];
    for (bend, volumes, expected) in cases {
        assert_eq!(told(bend, volumes), expected);
    }
}
