//! `docs/threats.md`: every threat that the code names, and what shows the answer today.
//!
//! Attacks say their row in `expect.toml`, and tests that name a row count for it; others are listed here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use crate::{architecture::walk, docs::pages, reference::page};

/// Code, what happens, and tests that show the answer without naming the row.
type Row = (&'static str, &'static str, &'static [&'static str]);

const BUNDLE: &[Row] = &[
    ("F01", "a hostile archive is unpacked before its signature is checked", &[]),
    ("F02", "a member climbs out with `../`", &[]),
    ("F03", "a member has an absolute path, or a drive", &[]),
    (
        "F04",
        "a symbolic link, then a file through it",
        &["tampering::special_files_are_refused_without_touching_them"],
    ),
    ("F05", "a hard link leads outside", &[]),
    ("F06", "a folder entry changes the mode of what a link leads to", &[]),
    ("F07", "devices, fifos, sparse files, unknown types", &[]),
    ("F08", "modes, owners and times that the format does not have", &[]),
    ("F09", "a PAX header gives another size than the ustar one", &[]),
    ("F10", "a malformed or global PAX header is skipped in silence", &[]),
    ("F11", "a member stands twice", &[]),
    ("F12", "members stand in another order than listed", &[]),
    ("F13", "more is carried than is listed", &[]),
    ("F14", "data after the end of an archive", &[]),
    ("F15", "one zero block, or none, ends an archive", &[]),
    ("F16", "a member ends early and the reader is content", &[]),
    ("F17", "more frames than declared", &[]),
    ("F18", "skippable frames, which decompressors drop in silence", &[]),
    ("F19", "a flipped bit decodes to other content", &["tampering::every_flipped_byte_is_found"]),
    ("F20", "dictionaries, old and nameless frames", &[]),
    ("F21", "cut anywhere", &["tampering::every_cut_is_found"]),
    ("F22", "bytes after the end of a file", &[]),
    ("F23", "another compression is guessed from its magic", &[]),
    ("F24", "volumes missing, doubled, renumbered", &[]),
    ("F25", "volumes of two bundles mixed", &[]),
    ("F26", "content and signed text are of different bundles", &[]),
    ("F27", "member names with NUL, line feeds, other than UTF-8, too long", &[]),
    (
        "F28",
        "sizes that are negative, in base 256, or too large",
        &["bundle::header::tests::the_tar_crate_reads_our_headers"],
    ),
    ("F29", "one layer, two views of it", &[]),
    ("F30", "a document that is two", &[]),
    ("F31", "unknown versions and encodings", &[]),
    ("F32", "the compressor is wrong", &[]),
];

const TRUST: &[Row] = &[
    ("T01", "no signature, and the tool goes on", &["pipeline::nothing_is_trusted_without_the_right_key"]),
    ("T02", "an empty signature counts as good", &[]),
    ("T03", "one key counts twice", &["trust::quorum::tests::only_keys_of_the_rule_count"]),
    (
        "T05",
        "something validly signed is taken for something else",
        &[
            "cosign::tests::validly_signed_nonsense_and_other_statements_are_refused",
            "cosign::dsse::tests::an_envelope_holds_one_signature_over_one_type",
        ],
    ),
    (
        "T06",
        "what cannot be parsed counts as good",
        &["cosign::tests::validly_signed_nonsense_and_other_statements_are_refused"],
    ),
    ("T07", "the bytes checked are not the bytes used", &["tampering::later_changes_are_found"]),
    (
        "T08",
        "the key id of a signature decides who signed",
        &["trust::quorum::tests::only_keys_of_the_rule_count"],
    ),
    (
        "T09",
        "the signature chooses its algorithm, or brings its key",
        &["cosign::tests::hints_and_keys_that_come_along_choose_nothing"],
    ),
    (
        "T10",
        "a key for which any signature holds",
        &["trust::private_key::tests::weak_keys_are_refused_at_the_door"],
    ),
    (
        "T11",
        "ECDSA numbers out of range, and encodings in another form",
        &[
            "trust::public_key::tests::ecdsa_signatures_have_one_form_and_numbers_in_range",
            "trust::public_key::tests::low_and_high_s_are_both_accepted",
            "trust::raw::tests::raw_signatures_become_der_of_one_form",
        ],
    ),
    ("T12", "more signatures than anybody needs", &[]),
    (
        "T21",
        "certificates and timestamps of keyless signatures with holes",
        &["cosign::tests::nothing_of_a_keyless_signature_may_be_missing_or_of_another"],
    ),
    (
        "T22",
        "a log entry of another signature stands for this one",
        &["cosign::tests::nothing_of_a_keyless_signature_may_be_missing_or_of_another"],
    ),
    ("T24", "signatures of strangers beside a trusted one", &[]),
    (
        "T28",
        "too much is signed for stock tools",
        &["tampering::special_files_are_refused_without_touching_them"],
    ),
    ("T29", "`sha256sum -c` is content with less than all", &[]),
    (
        "T30",
        "short digests, other algorithms, capitals",
        &["base::digest::tests::only_the_exact_grammar_parses"],
    ),
    (
        "T31",
        "a passphrase or PIN shows up where others read",
        &["token::uri::tests::a_pin_in_the_uri_is_refused_and_never_repeated"],
    ),
];

const CONTENT: &[Row] = &[
    ("J01", "a digest is used as a path", &["base::digest::tests::only_the_exact_grammar_parses"]),
    (
        "J02",
        "links and fifos in an image layout",
        &[
            "layout::links_and_special_files_in_a_layout_are_refused",
            "layout::links_for_blobs_in_an_archive_are_refused",
        ],
    ),
    (
        "J03",
        "a manifest that is an index too, or calls itself another type",
        &["oci::image::tests::ambiguity_is_refused"],
    ),
    ("J04", "a JSON key stands twice", &["oci::image::tests::ambiguity_is_refused"]),
    ("J05", "unknown keys, and keys in other case", &[]),
    (
        "J06",
        "numbers that are negative, fractions, too large, texts",
        &["oci::image::tests::numbers_digests_and_data_are_exact"],
    ),
    ("J07", "nesting without end", &[]),
    (
        "J08",
        "a small graph with endless paths",
        &["oci::graph::tests::a_graph_of_two_to_the_forty_paths_is_walked_in_no_time"],
    ),
    ("J09", "manifests without end", &[]),
    ("J10", "a descriptor lies about the size", &["layout::lies_about_size_digest_and_presence_are_told"]),
    (
        "J11",
        "children that are missing, or wrongly absent",
        &["import::tests::what_is_not_whole_publishes_nothing"],
    ),
    ("J12", "layers to be had elsewhere", &[]),
    (
        "J13",
        "referrers of the wrong thing, or too many",
        &["registry_api::referrers_are_always_a_valid_index"],
    ),
    ("J14", "a config that asks for power when it runs", &[]),
    (
        "J15",
        "the digest of an uncompressed layer is claimed",
        &["layout::docker_archives_that_lie_are_refused"],
    ),
    (
        "J16",
        "data inside a descriptor differ from its digest",
        &["oci::image::tests::numbers_digests_and_data_are_exact"],
    ),
    (
        "J17",
        "names and tags outside the grammar",
        &["oci::reference::tests::the_grammar_is_exact", "registry::endpoint::tests::the_grammar_is_strict"],
    ),
    ("J18", "a bundle brings names that its sender should not give", &[]),
    ("J19", "names that differ in case only", &["oci::reference::tests::the_grammar_is_exact"]),
    ("J20", "charts as bombs, links, paths", &["chart::archive::tests::traps_are_refused"]),
    (
        "J21",
        "names become paths of the host",
        &[
            "chart::metadata::tests::names_and_versions_must_fit_a_reference",
            "base::path::tests::media_names",
        ],
    ),
    ("J22", "a browser takes content for a page", &["registry_api::blobs_come_whole_or_in_ranges"]),
    ("J23", "control characters in names", &["base::text::tests::hostile_text_is_made_visible"]),
];

const NETWORK: &[Row] = &[
    (
        "N01",
        "a registry sends credentials to a token server of its choice",
        &[
            "remote::auth::a_strange_token_server_gets_no_credentials_but_may_give_a_token",
            "remote::challenge::tests::realms_are_judged",
        ],
    ),
    ("N02", "an upload is sent to another host", &[]),
    ("N03", "credentials follow a redirect", &[]),
    ("N04", "TLS is given up", &["remote::attacks::tls_is_never_given_up"]),
    (
        "N05",
        "other bytes than asked for",
        &[
            "remote::pull::ranges_that_are_ignored_or_wrong_do_no_harm",
            "remote::pull::a_damaged_earlier_run_is_begun_anew",
        ],
    ),
    (
        "N06",
        "a digest is believed because a header says so",
        &["remote::attacks::the_digest_is_that_of_the_bytes"],
    ),
    ("N07", "a tag moves while a bundle is made", &[]),
    ("N08", "answers without end, or a byte a minute", &["remote::body::tests::a_trickle_is_too_slow"]),
    ("N09", "pages without end", &[]),
    (
        "N10",
        "429, 500, cut connections",
        &["remote::pull::retry_after_is_obeyed", "remote::pull::a_cut_blob_goes_on_where_it_broke_off"],
    ),
    ("N11", "a part is reported as the whole", &[]),
    ("N12", "an answer expands on the wire", &[]),
    (
        "N13",
        "a proxy of the environment on the disconnected side",
        &["architecture::what_works_offline_knows_no_client"],
    ),
    ("N14", "checking calls home", &["architecture::what_works_offline_knows_no_client"]),
    (
        "N15",
        "signatures and attestations of upstream that are malformed or of something else",
        &[
            "upstream_signatures::unsigned_and_wrongly_signed_images_enter_no_lock_and_no_bundle",
            "cosign::tests::both_forms_of_real_cosign_hold_for_their_image_and_key_alone",
        ],
    ),
    ("N16", "a client abuses HTTP/2", &[]),
];

const SITE: &[Row] = &[
    ("R01", "media change between checking and use", &[]),
    ("R03", "an import is interrupted anywhere", &[]),
    ("R04", "two imports at once", &[]),
    ("R07", "the database knows content that the disk has not", &[]),
    (
        "R11",
        "content is read through another repository",
        &["registry_api::a_blob_is_served_only_where_it_is_published"],
    ),
    (
        "R27",
        "stored content rots",
        &[
            "registry_api::rot_on_disk_never_leaves_as_a_complete_answer",
            "store::blobs::tests::damage_on_disk_is_found_and_removed",
        ],
    ),
    ("C01", "a file without content after a crash", &[]),
    ("C02", "the disk is full", &[]),
    ("C03", "what is acknowledged is not on the disk yet", &[]),
    ("C04", "a failed sync, then a good one", &[]),
    ("C05", "the database is written in part", &[]),
    ("C06", "a killed process leaves its lock", &[]),
    ("C07", "what killed runs leave fills the disk", &[]),
    (
        "C09",
        "a medium that cannot hold large files",
        &["doctor::media::tests::media_are_judged_before_four_gigabytes_are_written"],
    ),
    ("C11", "a medium that only says that it keeps what is written", &[]),
    (
        "C15",
        "special files on the medium",
        &[
            "tampering::special_files_are_refused_without_touching_them",
            "base::fs::tests::links_and_fifos_are_refused_at_once",
        ],
    ),
    ("C17", "the clock is wrong", &["doctor::tests::a_clock_that_cannot_be_right_is_told"]),
    ("C22", "others may read or change what is the site's", &[]),
    ("X01", "a megabyte that expands to gigabytes", &[]),
    ("X02", "a window larger than memory", &[]),
    ("X03", "members without end", &[]),
    ("X06", "connections without end", &[]),
    ("X07", "connections that only sit there", &["registry::door::tests::who_says_nothing_makes_room"]),
    (
        "H05",
        "text from outside controls the terminal",
        &["base::text::tests::hostile_text_is_made_visible", "remote::attacks::words_of_a_server_are_tamed"],
    ),
    ("H07", "somebody is brought to sign what he has not seen", &[]),
];

const PARTS: &[(&str, &[Row])] = &[
    ("Archive and format", BUNDLE),
    ("Signatures", TRUST),
    ("OCI, JSON and charts", CONTENT),
    ("Network", NETWORK),
    ("The site", SITE),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Codes of threats in a text.
fn codes(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            word.len() == 3 && word.starts_with(|c| "FTJNRCXH".contains(c)) && word[1..].parse::<u8>().is_ok()
        })
        .map(str::to_owned)
        .collect()
}

/// Whether there is a test of this name, as `cargo test` prints it.
fn exists(test: &str) -> bool {
    let (modules, name) = test.rsplit_once("::").unwrap();
    let tests = format!("tests/it/{}", modules.replace("::", "/"));
    let unit = format!("src/{}", modules.trim_end_matches("::tests").replace("::", "/"));
    let unit_file = format!("src/{}", modules.replace("::", "/"));
    [tests, unit, unit_file].iter().any(|path| {
        [format!("{path}.rs"), format!("{path}/mod.rs")].iter().any(|file| {
            let code = fs::read_to_string(root().join(file)).unwrap_or_default();
            code.contains(&format!("fn {name}("))
        })
    })
}

/// Who names which threat: attack folders and test files by code.
fn shown_by() -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut attacks: Vec<_> =
        fs::read_dir(root().join("testdata/attacks")).unwrap().map(Result::unwrap).collect();
    attacks.sort_by_key(fs::DirEntry::file_name);
    for attack in attacks.iter().filter(|attack| attack.path().is_dir()) {
        for code in codes(&fs::read_to_string(attack.path().join("expect.toml")).unwrap()) {
            shown.entry(code).or_default().push(attack.file_name().into_string().unwrap());
        }
    }
    let tests = root().join("tests/it");
    let mut files: Vec<(String, String)> = Vec::new();
    walk(&tests, &mut |path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        if !name.starts_with("tests/it/attacks/") && name != "tests/it/threats.rs" {
            files.push((name, fs::read_to_string(path).unwrap()));
        }
    });
    for script in fs::read_dir(root().join("tests/interop")).unwrap() {
        let path = script.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    for (name, text) in files {
        for code in codes(&text) {
            shown.entry(code).or_default().push(format!("`{name}`"));
        }
    }
    shown
}

#[test]
fn every_threat_is_listed_with_what_shows_its_answer() {
    let shown = shown_by();
    let mut text = String::from(
        "# Threats\n\n\
         What can be thrown at sealift: the codes that comments in `src/`, attacks in\n\
         [`testdata/attacks`](../testdata/attacks/README.md) and tests name, and what shows the answer today. Plain words are\n\
         folders of `testdata/attacks`; names with `::` are tests, as `cargo test` takes them. **Not shown** means that no test\n\
         shows it yet, whatever the code does. What is promised stands in [threat-model.md](threat-model.md).\n\n\
         Written by a test from the table in `tests/it/threats.rs`.\n",
    );
    let mut listed = BTreeSet::new();
    for (title, rows) in PARTS {
        write!(text, "\n## {title}\n\n| | threat | shown by |\n|---|---|---|\n").unwrap();
        for (code, threat, tests) in *rows {
            assert!(listed.insert((*code).to_owned()), "{code} stands twice");
            for test in *tests {
                assert!(exists(test), "{code}: there is no test {test}");
            }
            let mut by = shown.get(*code).cloned().unwrap_or_default();
            by.extend(tests.iter().map(|test| format!("`{test}`")));
            let by = if by.is_empty() { "**not shown**".to_owned() } else { by.join(", ") };
            writeln!(text, "| {code} | {threat} | {by} |").unwrap();
        }
    }
    let mut named: BTreeSet<String> = shown.into_keys().collect();
    walk(&root().join("src"), &mut |path| {
        let comments = fs::read_to_string(path).unwrap();
        named.extend(comments.lines().filter(|line| line.contains("//")).flat_map(codes));
    });
    let unknown: Vec<&String> = named.difference(&listed).collect();
    assert!(unknown.is_empty(), "threats without a row in tests/it/threats.rs: {unknown:?}");
    page("threats.md", &text);
}

#[test]
fn every_test_that_a_page_names_exists() {
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let (modules, name) = word.rsplit_once("::").unwrap_or_default();
            let is_name = |text: &str| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b"_:".contains(&b))
            };
            if is_name(modules) && is_name(name) {
                assert!(exists(word), "{}: there is no test {word}", path.display());
            }
        }
    }
}
