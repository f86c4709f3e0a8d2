//! Every threat that the code names, in the words of the page.

mod site;

use self::site::SITE;

/// Code, what happens, and tests that show the answer without naming the row.
pub(crate) type Row = (&'static str, &'static str, &'static [&'static str]);

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
    (
        "T01",
        "no signature, and the tool goes on",
        &[
            "pipeline::nothing_is_trusted_without_the_right_key",
            "trust::tests::counting::nothing_is_not_enough",
        ],
    ),
    ("T02", "an empty signature counts as good", &["trust::tests::counting::other_signatures_do_no_harm"]),
    (
        "T03",
        "one key counts twice",
        &[
            "trust::quorum::tests::one_person_counts_once",
            "trust::tests::counting::one_person_does_not_fill_two_roles",
            "trust::tests::rotation::two_root_keys_of_one_holder_are_one",
            "trust::tests::documents::keys_stand_once_and_sorted",
        ],
    ),
    (
        "T04",
        "a threshold of nothing, of more than there are, negative, huge",
        &[
            "trust::tests::documents::thresholds_are_at_least_one_and_can_be_met",
            "trust::tests::documents::numbers_are_whole_and_not_negative",
            "trust::quorum::tests::nothing_asked_is_nothing_met",
        ],
    ),
    (
        "T05",
        "something validly signed is taken for something else",
        &[
            "trust::tests::orders::one_kind_is_not_another",
            "trust::tests::documents::other_documents_are_no_trust_documents",
            "trusted::another_signed_document_is_no_bundle",
            "cosign::tests::validly_signed_nonsense_and_other_statements_are_refused",
            "cosign::dsse::tests::an_envelope_holds_one_signature_over_one_type",
        ],
    ),
    (
        "T06",
        "what cannot be parsed counts as good",
        &[
            "trust::note::tests::every_other_form_is_refused",
            "trust::tests::orders::hostile_words_are_refused_whoever_signed",
            "cosign::tests::validly_signed_nonsense_and_other_statements_are_refused",
        ],
    ),
    (
        "T07",
        "the bytes checked are not the bytes used",
        &[
            "tampering::later_changes_are_found",
            "trusted::evidence_is_read_as_it_was_signed",
            "trust::note::tests::every_other_form_is_refused",
        ],
    ),
    (
        "T08",
        "the key id of a signature decides who signed",
        &[
            "trust::tests::counting::a_borrowed_id_does_not_count",
            "trust::tests::documents::keys_are_what_their_records_say",
        ],
    ),
    (
        "T09",
        "the signature chooses its algorithm, or brings its key",
        &[
            "trust::tests::keys::a_signature_does_not_choose_its_algorithm",
            "trust::tests::documents::keys_are_what_their_records_say",
            "cosign::tests::hints_and_keys_that_come_along_choose_nothing",
        ],
    ),
    (
        "T10",
        "a key for which any signature holds",
        &[
            "trust::private_key::tests::weak_keys_are_refused_at_the_door",
            "trust::tests::keys::ed25519_signatures_are_canonical",
            "trust::tests::documents::keys_are_what_their_records_say",
        ],
    ),
    (
        "T11",
        "values of ECDSA at the edge, other encodings of a signature",
        &[
            "trust::public_key::tests::ecdsa_signatures_have_one_form_and_numbers_in_range",
            "trust::public_key::tests::low_and_high_s_are_both_accepted",
            "trust::raw::tests::raw_signatures_become_der_of_one_form",
            "cosign::tests::values_at_the_edge_of_the_curve_are_no_signatures",
        ],
    ),
    (
        "T12",
        "more signatures than anybody needs",
        &[
            "trust::tests::counting::sixty_four_signatures_are_counted",
            "trust::note::tests::every_other_form_is_refused",
            "trust::tests::documents::the_number_of_keys_is_bounded",
        ],
    ),
    (
        "T13",
        "an older bundle, truly signed",
        &[
            "trust::tests::sequences::every_rule_refuses_and_one_override_lifts_it",
            "trust::tests::sequences::no_stream_of_bundles_moves_a_site_back",
        ],
    ),
    (
        "T14",
        "another bundle with the number of a known one",
        &[
            "trust::tests::sequences::every_rule_refuses_and_one_override_lifts_it",
            "trust::tests::sequences::two_broken_rules_take_two_overrides",
        ],
    ),
    (
        "T15",
        "a bundle so far ahead that none can follow",
        &[
            "trust::tests::sequences::every_rule_refuses_and_one_override_lifts_it",
            "trust::tests::sequences::near_misses_are_accepted",
            "trust::tests::rotation::an_epoch_never_falls",
        ],
    ),
    (
        "T16",
        "what was refused is remembered all the same",
        &[
            "trust::tests::rotation::both_thresholds_sign_every_step",
            "trust::tests::sequences::no_stream_of_bundles_moves_a_site_back",
        ],
    ),
    (
        "T17",
        "the chain of trust documents skips a version, or is signed by one side only",
        &[
            "trust::tests::rotation::both_thresholds_sign_every_step",
            "trust::tests::rotation::versions_come_one_after_the_other",
            "trust::tests::rotation::carried_documents_continue_what_is_known",
            "trusted::forged_documents_on_the_media_help_nobody",
        ],
    ),
    (
        "T18",
        "a second way in is checked less than the first",
        &[
            "trusted::forged_documents_on_the_media_help_nobody",
            "trust::tests::rotation::carried_documents_hold_together",
            "attacks::importing::import_gives_the_verdict_of_verify",
        ],
    ),
    (
        "T19",
        "a revoked key is still accepted",
        &[
            "trusted::revocations_travel_with_the_bundle",
            "trust::tests::counting::revoked_keys_do_not_count",
            "trust::tests::rotation::a_revocation_is_for_ever",
        ],
    ),
    ("T20", "the courier keeps a revocation back", &["trusted::revocations_travel_with_the_bundle"]),
    (
        "T21",
        "holes in what is bound to a time or a window",
        &[
            "trust::tests::counting::windows_are_inclusive",
            "trust::tests::documents::windows_of_sequences",
            "cosign::tests::nothing_of_a_keyless_signature_may_be_missing_or_of_another",
        ],
    ),
    (
        "T22",
        "one witness counts for several, or for something else",
        &[
            "trust::tests::counting::one_person_does_not_fill_two_roles",
            "cosign::tests::nothing_of_a_keyless_signature_may_be_missing_or_of_another",
        ],
    ),
    (
        "T23",
        "one of two signatures is taken away",
        &[
            "trust::tests::counting::release_and_approver_must_both_sign",
            "trusted::a_bundle_takes_release_and_approver",
        ],
    ),
    (
        "T24",
        "signatures of strangers beside a trusted one",
        &[
            "trust::tests::counting::other_signatures_do_no_harm",
            "trusted::a_bundle_takes_release_and_approver",
        ],
    ),
    (
        "T25",
        "a key of another role signs",
        &[
            "trust::tests::counting::other_roles_and_channels_do_not_count",
            "trust::tests::documents::a_key_has_one_role",
            "trust::tests::rotation::only_root_keys_sign_documents",
            "trusted::a_bundle_takes_release_and_approver",
        ],
    ),
    (
        "T26",
        "a bundle for another channel or another site",
        &[
            "trust::tests::sequences::every_rule_refuses_and_one_override_lifts_it",
            "trust::tests::counting::other_roles_and_channels_do_not_count",
            "trusted::a_bundle_of_another_channel_is_refused",
        ],
    ),
    (
        "T27",
        "nothing to check counts as checked",
        &[
            "trust::tests::counting::nothing_is_not_enough",
            "trust::quorum::tests::nothing_asked_is_nothing_met",
            "tampering::without_the_right_key_nothing_is_opened",
        ],
    ),
    (
        "T28",
        "too much is signed for stock tools",
        &["tampering::special_files_are_refused_without_touching_them"],
    ),
    (
        "T29",
        "`sha256sum -c` is content with less than all",
        &["bundle::sums::tests::every_other_form_is_refused"],
    ),
    (
        "T30",
        "short digests, other algorithms, capitals",
        &["base::digest::tests::only_the_exact_grammar_parses"],
    ),
    (
        "T31",
        "a private key, passphrase or PIN shows up where others read",
        &[
            "token::uri::tests::a_pin_in_the_uri_is_refused_and_never_repeated",
            "connected::credentials_are_used_and_appear_nowhere",
            "remote::credentials::tests::faults_are_told_without_secrets",
            "base::redact::tests::urls_lose_their_secrets",
        ],
    ),
    (
        "T32",
        "the key of the build machine is stolen",
        &[
            "trusted::a_bundle_takes_release_and_approver",
            "trust::tests::counting::release_and_approver_must_both_sign",
            "trust::tests::counting::one_person_does_not_fill_two_roles",
        ],
    ),
    (
        "T33",
        "the media bring the root of trust",
        &[
            "trusted::the_media_do_not_bring_their_own_root",
            "trust::tests::rotation::the_first_document_is_pinned_by_its_fingerprint",
        ],
    ),
    (
        "T34",
        "signatures for cosign that other versions of it refuse",
        &["cosign::tests::both_forms_of_real_cosign_hold_for_their_image_and_key_alone"],
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

/// The rows, by the part of the page.
pub(crate) const PARTS: &[(&str, &[Row])] = &[
    ("Archive and format", BUNDLE),
    ("Keys, signatures and order", TRUST),
    ("OCI, JSON and charts", CONTENT),
    ("Network", NETWORK),
    ("The site", SITE),
];
