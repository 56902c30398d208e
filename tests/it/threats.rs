//! The list of abuses and the list of bad inputs that the server was designed against, and which test holds each.
//!
//! A row is its number, what is tried, and the tests that hold it, wherever they stand: each is named by what it promises.
//! A row without a test, or with one that is not there, fails here.

use std::{collections::HashSet, fs, path::Path};

type Row = (usize, &'static str, &'static [&'static str]);

/// What somebody does on purpose.
const ABUSES: &[Row] = &[
    (
        1,
        "reads another's history, title or export by id",
        &[
            "p4_anothers_session_a_deleted_one_and_one_that_never_was_give_the_same_bytes",
            "an_export_is_everything_of_the_callers_as_json_lines_and_nothing_else",
        ],
    ),
    (2, "posts into, renames or deletes another's session", &["p4_every_route_answers_every_caller_as_the_table_says"]),
    (
        3,
        "opens, resumes or stops another's stream or reply",
        &[
            "p4_every_route_answers_every_caller_as_the_table_says",
            "p4_every_spelling_of_an_id_has_one_decision_with_a_cold_and_a_warm_cache",
        ],
    ),
    (
        4,
        "shows no token, a malformed, expired or ended one, or that of a deleted user",
        &[
            "p4_whoever_proves_nothing_gets_nothing_from_any_route_with_a_cold_and_a_warm_cache",
            "a_stream_ends_with_its_user_and_with_a_password_that_was_changed_elsewhere",
        ],
    ),
    (
        5,
        "sets role, user_id or owner in a body",
        &[
            "p8_a_body_that_is_not_what_was_asked_for_is_refused_and_the_connection_stays",
            "p4_a_change_of_role_or_of_owner_decides_from_the_next_request_on_whatever_the_cache_knew",
        ],
    ),
    (
        6,
        "guesses passwords, at one account or at many",
        &[
            "repeated_failures_delay_their_account_and_no_other",
            "an_address_that_fails_everywhere_is_delayed_for_every_account",
            "tries_at_once_pass_no_more_often_than_tries_one_by_one",
        ],
    ),
    (
        7,
        "finds out who has an account",
        &[
            "an_unknown_user_a_wrong_password_and_a_shut_account_give_the_same_bytes",
            "p4_a_login_does_the_same_work_for_a_name_that_is_there_that_is_shut_and_that_is_not",
        ],
    ),
    (
        8,
        "floods the logins",
        &[
            "p6_a_flood_of_logins_costs_bounded_memory_and_neither_chat_nor_the_right_password",
            "p6_a_flood_of_logins_is_refused_within_seconds_while_chat_goes_on",
        ],
    ),
    (
        9,
        "posts from another site with the cookie",
        &[
            "with_the_cookie_only_a_page_of_ours_may_change_anything",
            "another_sites_page_can_neither_register_nor_log_in",
            "a_body_of_another_type_is_415_and_json_is_json_in_any_spelling",
        ],
    ),
    (10, "points another name at the server", &["a_name_that_is_not_the_servers_is_421_everywhere_but_at_health"]),
    (
        11,
        "stores a script in a message, a name or a title",
        &[
            "every_text_comes_back_byte_for_byte",
            "whatever_a_client_would_rather_have_it_gets_json",
            "p4_every_answer_forbids_a_browser_to_run_anything_of_it",
        ],
    ),
    (
        12,
        "asks the model for its instructions or for others' chats",
        &[
            "a_model_is_told_only_what_was_said_and_stayed",
            "a_model_is_told_the_newest_whole_turns_that_it_has_room_for",
        ],
    ),
    (
        13,
        "costs: long contexts, many replies at once, retries",
        &[
            "p6_a_user_who_sends_too_much_is_refused_before_anything_is_stored",
            "long_instructions_leave_less_room_and_never_none_for_the_message",
            "p6_with_one_slot_and_a_short_line_every_send_is_stored_whole_or_not_at_all",
        ],
    ),
    (
        14,
        "is slow on purpose, opens connections, sends endless heads",
        &[
            "p6_slow_heads_slow_bodies_and_slow_readers_are_reaped_while_others_are_served",
            "p6_connections_over_the_cap_cost_nothing_and_who_is_in_is_served",
            "p6_heads_that_never_end_are_cut_off_at_their_bound",
        ],
    ),
    (
        15,
        "is a model's server that redirects, never ends, compresses or lies",
        &[
            "s_u1_a_key_goes_to_its_own_server_and_a_redirect_is_not_followed",
            "a_reply_without_end_is_cut_and_its_server_is_let_go",
            "p5_every_failure_is_told_recorded_and_mended",
        ],
    ),
    (
        16,
        "does two opposite things at once",
        &[
            "an_account_that_is_deleted_while_it_is_used_leaves_no_ghost",
            "p4_a_login_that_ends_is_over_for_every_request_that_begins_afterwards",
            "of_fifty_registrations_of_one_name_at_once_one_gets_it",
        ],
    ),
    (17, "replays a send", &["p5_the_same_key_and_body_is_the_same_message_also_after_a_restart_and_a_kill"]),
    (
        18,
        "reads the directory as another user of the machine",
        &["everything_is_for_its_owner_alone_whatever_the_umask"],
    ),
    (
        19,
        "writes into the log or the terminal of the operator",
        &[
            "a_line_cannot_be_forged_by_what_it_says",
            "p8_no_secret_is_in_the_log_on_the_command_line_or_in_a_file",
            "p4_what_one_user_says_and_knows_is_in_no_answer_to_another_and_in_no_line",
        ],
    ),
    (
        20,
        "names an address that is not its own",
        &["only_a_trusted_proxy_says_where_a_client_is_and_that_the_way_is_safe"],
    ),
];

const BAD_BODY: &[&str] = &["p8_a_body_that_is_not_what_was_asked_for_is_refused_and_the_connection_stays"];
const BAD_LENGTH: &[&str] = &["a_body_whose_length_is_in_doubt_stores_nothing"];
const BAD_HEAD: &[&str] = &["a_head_that_is_no_good_http_is_refused"];

/// What somebody sends, on purpose or not.
const INPUTS: &[Row] = &[
    (1, "an empty body", BAD_BODY),
    (2, "half a body, or more than one", BAD_BODY),
    (3, "JSON that is 10,000 deep", BAD_BODY),
    (4, "a key twice", BAD_BODY),
    (5, "an unknown field", BAD_BODY),
    (6, "a value of another type", BAD_BODY),
    (7, "a lone surrogate", BAD_BODY),
    (8, "bytes that are not UTF-8", BAD_BODY),
    (9, "a byte order mark, UTF-16", BAD_BODY),
    (10, "text that shows nothing", BAD_BODY),
    (11, "text with control characters, marks, conjuncts", &["every_text_comes_back_byte_for_byte"]),
    (12, "text at its bound and over it", &["lengths_count_characters_and_the_body_counts_bytes"]),
    (13, "a length that is more than comes", BAD_LENGTH),
    (14, "a length that is less than comes", BAD_LENGTH),
    (15, "no length", BAD_LENGTH),
    (16, "two lengths, two framings, a length that is no number", BAD_LENGTH),
    (17, "chunks of an impossible size", BAD_LENGTH),
    (18, "a gigabyte, announced", &["a_body_of_a_gigabyte_is_refused_before_it_is_sent"]),
    (19, "an expectation of 100 with what is refused anyway", &["a_body_of_a_gigabyte_is_refused_before_it_is_sent"]),
    (20, "a compressed body", &["a_body_of_another_type_is_415_and_json_is_json_in_any_spelling"]),
    (21, "a body of another type", &["a_body_of_another_type_is_415_and_json_is_json_in_any_spelling"]),
    (22, "a wish for HTML, or for nothing", &["whatever_a_client_would_rather_have_it_gets_json"]),
    (
        23,
        "heads too long, with too many lines, with bad names",
        &[
            "a_head_that_is_no_good_http_is_refused",
            "lines_may_end_without_a_carriage_return_and_are_one_request_all_the_same",
        ],
    ),
    (24, "a request line of 64 KiB", BAD_HEAD),
    (25, "another version, TLS, noise", BAD_HEAD),
    (26, "the preface of HTTP/2", BAD_HEAD),
    (
        27,
        "no host, two, one that is none, one that is not ours",
        &["a_head_that_is_no_good_http_is_refused", "a_name_that_is_not_the_servers_is_421_everywhere_but_at_health"],
    ),
    (28, "paths that climb", &["a_path_is_matched_as_it_came_and_never_as_a_file"]),
    (29, "paths in other spellings", &["a_path_is_matched_as_it_came_and_never_as_a_file"]),
    (
        30,
        "numbers that are none, or out of bounds",
        &["a_limit_is_a_number_from_1_to_200", "what_bounds_a_page_is_a_whole_number_and_the_answer_says_so"],
    ),
    (
        31,
        "a cursor that is forged, another's, of what is gone",
        &[
            "p4_a_cursor_of_somebody_else_or_of_ones_own_making_shows_only_what_is_the_callers",
            "a_cursor_comes_back_as_it_was_given_and_no_other_is_taken",
        ],
    ),
    (
        32,
        "ids that are none, or in other spellings",
        &[
            "p4_every_spelling_of_an_id_has_one_decision_with_a_cold_and_a_warm_cache",
            "p4_anothers_session_a_deleted_one_and_one_that_never_was_give_the_same_bytes",
        ],
    ),
    (
        33,
        "methods that a path does not have",
        &["a_method_that_a_path_does_not_have_is_405_with_those_that_it_has", "a_head_that_is_no_good_http_is_refused"],
    ),
    (
        34,
        "HEAD of everything",
        &[
            "p4_every_route_answers_every_caller_as_the_table_says",
            "head_of_a_stream_has_its_headers_and_leaves_no_stream_behind",
        ],
    ),
    (35, "a range, another's entity tag", &["p4_a_range_is_ignored_and_anothers_entity_tag_tells_nothing"]),
    (
        36,
        "what is no bearer token",
        &[
            "what_is_no_token_is_refused_without_a_look_at_any_account",
            "a_token_and_a_password_that_are_far_too_long_cost_nothing",
        ],
    ),
    (
        37,
        "many cookies, two logins, a planted one",
        &[
            "the_cookie_is_for_this_site_alone_and_another_token_beside_it_is_refused",
            "over_tls_only_the_host_bound_cookie_counts",
        ],
    ),
    (
        38,
        "user names that look like others, or like paths",
        &["names_that_differ_only_in_case_or_composition_are_one_name"],
    ),
    (
        39,
        "passwords too short, too long, too well known",
        &[
            "a_password_is_neither_short_nor_endless_nor_easily_guessed",
            "a_token_and_a_password_that_are_far_too_long_cost_nothing",
        ],
    ),
    (40, "a stored hash that asks for 4 GiB", &["a_damaged_or_hostile_hash_is_refused_before_any_work"]),
    (41, "one name from 50 connections at once", &["of_fifty_registrations_of_one_name_at_once_one_gets_it"]),
    (42, "one key from many connections at once", &["p5_twenty_sends_with_one_key_at_the_same_moment_are_one_message"]),
    (43, "a key with another body", &["p5_the_same_key_and_body_is_the_same_message_also_after_a_restart_and_a_kill"]),
    (44, "a message to what is being deleted", &["a_session_that_is_deleted_while_it_is_sent_to_leaves_no_ghost"]),
    (
        45,
        "a message while a reply is made",
        &["p2_messages_that_come_at_once_are_all_taken_and_answered_one_after_the_other"],
    ),
    (
        46,
        "the end of what a client says, before its answer",
        &["who_has_said_everything_may_still_listen_and_who_hangs_up_stops_nothing"],
    ),
    (
        47,
        "a reset at each byte of the answer",
        &[
            "p6_an_answer_that_is_reset_at_any_byte_leaves_no_slot_taken",
            "p4_clients_that_drop_at_random_bytes_get_nothing_of_others_and_leave_nothing_taken",
        ],
    ),
    (48, "a place in a stream that is none", &["p4_a_last_event_id_is_a_place_in_the_callers_own_stream_or_refused"]),
    (
        49,
        "1,000 streams of one user",
        &["p6_of_a_thousand_streams_at_once_by_one_user_the_limit_is_open_and_others_are_served"],
    ),
    (
        50,
        "1,200 requests in one go, with a bad one among them",
        &["pipelined_requests_are_answered_in_order_up_to_the_bad_one"],
    ),
    (
        51,
        "a bad configuration",
        &[
            "p8_a_bad_configuration_is_named_in_full_and_nothing_is_made_of_it",
            "a_data_directory_that_is_none_is_refused_in_one_clear_line",
            "s_u1_a_key_that_others_can_read_is_not_taken_and_not_shown",
        ],
    ),
    (
        52,
        "a damaged directory",
        &[
            "a_damaged_journal_is_refused_by_segment_and_offset",
            "a_damaged_index_is_rebuilt_before_anyone_sees_it",
            "an_end_that_is_cut_anywhere_loses_the_last_frame_and_nothing_else",
            "a_read_only_directory_is_refused_by_its_name",
        ],
    ),
];

/// The names of all tests below `dir`.
fn tests_in(dir: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if let Some((name, _)) =
                line.trim_start_matches("async ").strip_prefix("fn ").and_then(|l| l.split_once('('))
            {
                if is_test {
                    found.insert(name.to_owned());
                }
                is_test = false;
            } else if !line.starts_with("#[ignore") {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
            }
        }
    }
}

#[test]
fn every_abuse_and_every_bad_input_is_held_by_a_test() {
    let mut tests = HashSet::new();
    for dir in ["src", "tests"] {
        tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut tests);
    }
    assert!(tests.len() > 300 && tests.contains("every_abuse_and_every_bad_input_is_held_by_a_test"));
    for (rows, count) in [(ABUSES, 20), (INPUTS, 52)] {
        assert!(rows.iter().map(|(number, ..)| *number).eq(1..=count), "no number is left out");
        for (number, what, names) in rows {
            assert!(!names.is_empty(), "{number}: {what}");
            for name in *names {
                assert!(tests.contains(*name), "{number}: {what}: there is no test {name}");
            }
        }
    }
}
