//! What is thrown at a site and its registry, and at who works there.

use super::Row;

pub(super) const SITE: &[Row] = &[
    ("R01", "media change between checking and use", &[]),
    ("R02", "the medium goes away while it is read", &["tampering::later_changes_are_found"]),
    ("R03", "an import is interrupted anywhere", &[]),
    ("R04", "two imports at once", &[]),
    ("R05", "an import while content is taken away or pushed", &[]),
    ("R06", "content is counted as unused because something could not be read", &[]),
    ("R07", "the database knows content that the disk has not", &[]),
    ("R08", "a deletion is not seen, or what was deleted comes back", &[]),
    ("R09", "a piece of a push comes twice, or out of order, or is cut", &[]),
    (
        "R10",
        "somebody goes on with a push of another repository, or of somebody else",
        &["records::an_upload_of_another_is_unknown"],
    ),
    (
        "R11",
        "content is read through another repository",
        &[
            "registry_api::a_blob_is_served_only_where_it_is_published",
            "registry::tests::a_blob_is_mounted_only_from_where_it_may_be_pulled",
        ],
    ),
    (
        "R12",
        "who may only push moves a tag",
        &["registry::tests::who_may_only_push_moves_no_tag_and_who_may_only_tag_brings_nothing"],
    ),
    (
        "R13",
        "something is pushed or deleted where that is switched off",
        &[
            "registry_push::a_sandbox_ends_at_its_name",
            "registry::tests::where_nobody_may_delete_nothing_is_deleted_in_any_way",
            "registry::tests::every_route_asks_for_its_right",
        ],
    ),
    (
        "R16",
        "a tag that never moves is moved, or goes, by one way of several",
        &[
            "store::rules::tests::an_immutable_tag_neither_moves_nor_goes",
            "registry::tests::an_immutable_tag_stays_whoever_asks",
            "access::an_import_names_every_tag_that_stays_and_changes_none",
        ],
    ),
    (
        "R17",
        "an answer, or how long it takes, tells of a repository that is not shown, or of an account",
        &[
            "login::who_is_there_cannot_be_told_from_the_answer",
            "base::password::tests::nobodys_hash_costs_what_others_cost",
            "registry::tests::nobody_learns_whether_a_repository_exists_that_is_not_shown",
            "registry::tests::the_catalog_shows_what_may_be_pulled_in_whole_pages",
        ],
    ),
    (
        "R19",
        "a right that was taken away, or a token for something else or one that lies about itself, still opens",
        &[
            "registry::login::token::tests::tokens_do_not_choose_how_they_are_checked",
            "registry::login::tests::what_is_taken_away_is_gone_with_the_next_request",
            "login::tokens_are_given_for_what_is_asked_and_held",
            "registry::tests::a_right_that_is_taken_away_is_gone_with_the_next_request",
            "registry::access::tests::a_token_narrows_and_never_widens",
            "access::rules_hold_for_a_registry_that_is_serving",
        ],
    ),
    (
        "R18",
        "an account that everybody knows",
        &["login::a_new_registry_knows_nobody", "login::accounts_are_made_on_the_command_line"],
    ),
    ("R25", "many write one tag at once", &[]),
    ("R26", "an import where something else stands under the name", &[]),
    (
        "R20",
        "a ledger comes with the media, or is mixed with one",
        &["ledger::tests::a_rewritten_ledger_fails_at_the_next_checkpoint"],
    ),
    (
        "R21",
        "a ledger is edited, cut, put back, or text from outside breaks its lines",
        &[
            "ledger::tests::every_manipulation_is_named",
            "ledger::tests::a_cut_tail_and_a_fork_need_a_head_from_elsewhere",
            "ledger::tests::no_change_goes_unseen",
        ],
    ),
    (
        "R22",
        "something is done and the ledger cannot be written",
        &[
            "records::where_the_ledger_cannot_be_written_nothing_is_done",
            "records::what_is_lost_at_the_end_is_told",
        ],
    ),
    ("R24", "what admits one bundle admits another, or the same twice", &[]),
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
        "a medium that cannot hold names or sizes",
        &[
            "doctor::media::tests::media_are_judged_before_four_gigabytes_are_written",
            "base::path::tests::media_names",
        ],
    ),
    ("C08", "what is under way lies on another file system", &[]),
    ("C10", "a medium taken out before it has everything", &[]),
    ("C11", "a medium that only says that it keeps what is written", &[]),
    ("C14", "a file system made to attack the kernel", &[]),
    ("C13", "what repairs a medium is believed", &[]),
    ("C12", "a medium that rots", &["tampering::every_flipped_byte_is_found"]),
    (
        "C15",
        "special files on the medium",
        &[
            "tampering::special_files_are_refused_without_touching_them",
            "base::fs::tests::links_and_fifos_are_refused_at_once",
        ],
    ),
    (
        "C17",
        "the clock steps back, or stands in 1970, 2038, 2106",
        &[
            "trust::tests::sequences::clocks_change_what_is_said_and_not_what_is_done",
            "base::clock::tests::the_floor_rises_slowly_and_never_falls",
            "doctor::tests::a_clock_that_cannot_be_right_is_told",
        ],
    ),
    ("C22", "a home or key that others can read", &["base::fs::tests::folders_are_made_to_their_depth"]),
    ("C16", "paths so deep that cleaning up fails", &[]),
    ("C18", "the place of the ledger is full or read-only", &[]),
    ("C19", "a backup of the state is restored", &[]),
    ("C20", "a home is copied to another machine", &[]),
    ("C21", "more files than a folder holds well", &[]),
    ("X01", "a megabyte that expands to gigabytes", &[]),
    ("X02", "a window larger than memory", &[]),
    ("X03", "members without end", &[]),
    ("X06", "connections without end", &[]),
    (
        "X07",
        "connections that only sit there, and uploads that nobody ends",
        &[
            "registry::door::tests::who_says_nothing_makes_room",
            "registry::door::tests::who_does_not_get_through_the_handshake_makes_room",
            "registry::body::tests::a_trickle_is_put_out_and_a_short_one_is_taken",
            "registry::parked::tests::abandoned_pushes_go_though_they_are_open",
        ],
    ),
    ("X08", "names without end make metrics grow", &[]),
    (
        "X09",
        "a pattern or a set of rules that takes long to decide",
        &["rules::tests::the_worst_rules_decide_in_no_time", "rules::pattern::tests::fast_and_naive_agree"],
    ),
    (
        "X13",
        "signatures that take long to check",
        &["trust::tests::counting::the_worst_signatures_are_counted_in_no_time"],
    ),
    (
        "X14",
        "passwords are guessed, or compared without end",
        &[
            "login::who_guesses_passwords_has_to_wait",
            "registry::login::throttle::tests::its_memory_is_bounded",
            "registry::login::passwords::tests::what_was_right_is_remembered_for_a_while",
        ],
    ),
    (
        "X15",
        "refusals without end fill the ledger",
        &[
            "records::a_flood_of_refusals_fills_no_disk",
            "registry::batch::tests::a_flood_of_refusals_stays_small",
            "registry::batch::tests::many_sources_are_one",
        ],
    ),
    ("H03", "a bundle between is missing", &["trust::tests::sequences::near_misses_are_accepted"]),
    ("H02", "somebody tries force", &["pipeline::nothing_is_trusted_without_the_right_key"]),
    ("H01", "the wrong stick", &["trust::tests::sequences::every_rule_refuses_and_one_override_lifts_it"]),
    ("H10", "a receipt tells more than it should, or grows", &[]),
    (
        "H05",
        "text from outside controls the terminal",
        &["base::text::tests::hostile_text_is_made_visible", "remote::attacks::words_of_a_server_are_tamed"],
    ),
    ("H07", "somebody is brought to sign what he has not seen", &[]),
    ("H08", "one of the root keys is lost", &["trust::tests::rotation::both_thresholds_sign_every_step"]),
    (
        "H09",
        "a builder's clock stands far ahead",
        &["base::clock::tests::the_floor_rises_slowly_and_never_falls"],
    ),
];
