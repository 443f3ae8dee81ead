//! The rows of the reference, what happens here in each, and which tests hold it: `docs/git.md` is made of this table.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// A case of the reference.
struct Row {
    id: &'static str,
    /// What happens here.
    here: &'static str,
    /// Why it is not as the reference has it.
    otherwise: Option<&'static str>,
    /// The names of the tests that hold it.
    tests: &'static [&'static str],
}

const fn held(id: &'static str, here: &'static str, tests: &'static [&'static str]) -> Row {
    Row { id, here, otherwise: None, tests }
}

const fn otherwise(id: &'static str, here: &'static str, why: &'static str, tests: &'static [&'static str]) -> Row {
    Row { id, here, otherwise: Some(why), tests }
}

#[test]
fn every_row_is_held_by_tests_that_there_are() {
    let sources = [sources(&root().join("tests")), sources(&root().join("src"))].concat();
    let known: BTreeSet<_> = sources.iter().flat_map(|source| tests_of(source)).map(|(name, _)| name).collect();
    for row in ROWS {
        assert!(!row.tests.is_empty(), "{} is held by nothing", row.id);
        for test in row.tests {
            assert!(known.contains(*test), "{} names {test}, which is no test", row.id);
        }
    }
    let ids: Vec<_> = ROWS.iter().map(|row| row.id.to_owned()).collect();
    let all = (1..=62).chain(70..=79).flat_map(|number| match number {
        19 => vec!["G-19".to_owned(), "G-19b".into(), "G-19c".into()],
        _ => vec![format!("G-{number:02}")],
    });
    assert_eq!(ids, all.chain((1..=10).map(|number| format!("L-{number}"))).collect::<Vec<_>>());
}

/// Whatever a test does, it ends in the search for secrets in all that anybody heard: of the world, or of a pair of hosts.
#[test]
fn every_test_ends_with_the_search_for_secrets() {
    let mut without: Vec<_> = sources(&root().join("tests/git"))
        .iter()
        .flat_map(|source| tests_of(source))
        .filter(|(_, body)| !ENDS.iter().any(|end| body.contains(end)))
        .map(|(name, _)| name)
        .collect();
    without.sort();
    assert_eq!(without, WITHOUT_THE_SEARCH);
}

#[test]
fn the_page_is_up_to_date() {
    let page = fs::read_to_string(page()).unwrap();
    assert!(page == rendered(&page), "docs/git.md is not what tests/git/rows.rs says; {HOW}");
}

#[test]
#[ignore = "writes docs/git.md"]
fn the_page_is_written() {
    let before = fs::read_to_string(page()).unwrap();
    fs::write(page(), rendered(&before)).unwrap();
}

const HOW: &str = "to write it: cargo test --test git -- --ignored --exact rows::the_page_is_written";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> PathBuf {
    root().join("docs/git.md")
}

/// The page with these rows between its markers.
fn rendered(page: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("a marker where the rows begin");
    let (_, after) = rest.split_once(END).expect("a marker where they end");
    let mut rows = String::new();
    for row in ROWS {
        let result = row.otherwise.map_or_else(|| "held".to_owned(), |why| format!("held otherwise: {why}"));
        let tests: Vec<_> = row.tests.iter().map(|test| format!("`{test}`")).collect();
        let _ = writeln!(rows, "| {} | {} | {result} | {} |", row.id, row.here, tests.join(" "));
    }
    format!("{before}{BEGIN}{HEAD}{rows}\n{END}{after}")
}

const BEGIN: &str = "<!-- rows: written by tests/git/rows.rs -->";
const HEAD: &str = "\n\n| row | what happens here | result | tests |\n|---|---|---|---|\n";
const END: &str = "<!-- end of the rows -->";

/// The texts of the Rust files below a directory, in which every test is marked alike.
fn sources(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.flat_map(|path| match path.extension() {
        Some(extension) if extension == "rs" => vec![fs::read_to_string(&path).unwrap().replace(ANOTHER_MARK, MARK)],
        None if path.is_dir() => sources(&path),
        _ => Vec::new(),
    });
    texts.collect()
}

/// The tests of a file: name and text of each.
fn tests_of(source: &str) -> Vec<(String, &str)> {
    let after = source.split(MARK).skip(1);
    let named = after.filter_map(|text| {
        let (_, rest) = text.split_once("fn ")?;
        let (name, body) = rest.split_once('(')?;
        Some((name.to_owned(), body.split_once("\n}\n").map_or(body, |(body, _)| body)))
    });
    named.collect()
}

/// Not written out, since this is read as well.
const MARK: &str = concat!("#[", "test]\n");
const ANOTHER_MARK: &str = concat!("#[", "tokio::test");

/// The ends of a [`World`](crate::harness::World) and of a [`Pair`](crate::harness::pair::Pair), under the names that tests give them.
const ENDS: &[&str] = &["world.finish()", "pair.finish()", "ground.finish()", "public.finish()", "disk.finish()"];

/// Tests of the search itself and of this table, one of a gate that nobody gave a secret, those that look at processes alone or start none,
/// and those that search in a function of theirs.
const WITHOUT_THE_SEARCH: &[&str] = &[
    "a_key_is_its_owner_s_alone_and_a_key",
    "a_push_that_outlasts_three_tokens",
    "a_push_that_outlasts_three_tokens_of_thirty_seconds",
    "a_world_that_leaks_does_not_end_well",
    "every_form_of_a_secret_is_found",
    "every_row_is_held_by_tests_that_there_are",
    "every_test_ends_with_the_search_for_secrets",
    "the_page_is_up_to_date",
    "the_page_is_written",
    "the_upstream_alone_serves_git_and_sees_the_credential",
    "threat_96_a_crash_leaves_no_memory_behind",
    "threat_96_what_gives_a_credential_inherits_no_other",
    "without_sessions_only_what_anybody_may_read_is_served",
];

/// In the order of the reference.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    held("G-01",
        "Letter case, one `.git` at the end and a slash behind it do not matter: one repository is judged, and its granted name goes upstream. A second `.git` is no name.",
        &["g_01_one_repository_however_it_is_spelled", "g_01_git_only_once_at_the_end"]),
    otherwise("G-02",
        "Owners and names outside the grammar are refused (403, or 400 where the path is no path), and nothing is asked upstream.",
        "not 404: what no grant names is refused alike, whether it could be a name or not",
        &["g_02_names_outside_the_grammar"]),
    held("G-03",
        "A path with an escape, a separator in disguise, a dot segment or a control byte is 400, as are other forms of target and a Host that is not one host.",
        &["g_03_tricks_with_the_path", "g_03_one_host_and_a_whole_one"]),
    held("G-04",
        "`service` stands once, alone, with one of two values: otherwise 403 \"dumb HTTP is not served\", or 400.",
        &["g_04_the_service_is_named_once_and_nothing_else_is_asked", "g_04_curl_sees_the_same_words"]),
    held("G-05",
        "Files of a repository are 403 in plain text. An upstream whose advertisement has another type is an error here, so that git does not fall back to files.",
        &["g_05_threat_115_the_dumb_protocol_and_files_are_not_served", "g_05_a_foreign_content_type_does_not_make_git_dumb"]),
    held("G-06",
        "A wiki has a right of its own (`wiki`, `wiki.read`); the branches of its repository say nothing of it.",
        &["g_06_a_wiki_is_reached_by_its_own_right_alone", "g_06_g_07_a_wiki_and_a_gist_are_other_repositories"]),
    held("G-07",
        "Gists are refused: no grant names one.",
        &["g_06_g_07_a_wiki_and_a_gist_are_other_repositories"]),
    otherwise("G-08",
        "`git archive --remote` is refused, and its service asked of nobody.",
        "403 with a sentence instead of 404",
        &["g_08_archives_are_not_served"]),
    held("G-09",
        "Two lengths, a length beside chunks, folded lines, bare line feeds, chunks in HTTP/1.0: 400, and the connection ends.",
        &["g_09_framing_in_doubt_ends_the_connection"]),
    held("G-10",
        "A push or a fetch may come as gzip, and in no other encoding (415). A push is opened, judged and sent on without it; a fetch goes on as it came, unopened.",
        &["g_10_threat_111_a_push_in_another_encoding_is_refused", "g_10_a_compressed_push_is_judged_as_any_other", "threat_111_a_fetch_in_another_encoding_is_refused", "threat_82_a_gzip_bomb_in_a_fetch_goes_on_as_it_came"]),
    held("G-11",
        "`Expect: 100-continue` is answered with 100 once the request may go on, and with the refusal where it may not.",
        &["g_11_expect_is_answered_before_the_body"]),
    held("G-12",
        "No redirect is passed on. One within the host is followed where it leads to the number that was granted; one to another number or another host is refused by name.",
        &["g_12_threat_88_redirects_are_neither_followed_nor_passed_on", "g_12_a_rename_and_a_transfer_are_followed_to_the_same_number", "g_12_a_redirect_alone_is_followed_where_its_number_is_the_granted_one", "g_12_a_redirect_to_another_number_is_refused_by_name", "g_12_nobody_is_followed_to_another_host"]),
    held("G-13",
        "Of `Git-Protocol` only the known versions go on, and none for a push.",
        &["g_13_only_known_versions_go_on_and_never_for_a_push", "a_clone_in_every_version_of_the_protocol"]),
    held("G-14",
        "Nothing of the sandbox's own goes up but what git needs, its User-Agent included; of the answer only what git needs comes back.",
        &["threat_92_g_14_nothing_of_the_sandbox_s_own_goes_upstream", "g_14_threat_95_of_an_answer_only_what_git_needs_comes_back"]),
    held("G-15",
        "Without a credential: 401 with `Basic` and plain text; git asks its helper. Who is not known learns nothing of which repositories there are.",
        &["g_15_without_a_credential_git_is_asked_for_one", "g_15_who_is_not_known_learns_nothing_of_repositories"]),
    held("G-16",
        "git's first request comes without a credential, also with one in the URL; it is answered with 401 and counts as nothing.",
        &["g_16_a_first_request_without_a_credential_is_no_attack"]),
    held("G-17",
        "Unknown, expired and revoked have each their own sentence, which git prints; git takes the credential out of its helper.",
        &["g_17_each_way_a_credential_can_be_bad_has_its_own_words", "g_17_a_bad_credential_is_taken_out_of_the_helper"]),
    held("G-18",
        "`Authorization: Bearer` is as good as Basic, for git and for git-lfs.",
        &["g_18_bearer_in_an_extra_header", "l_9_g_18_a_token_in_a_header_of_the_client_s_own"]),
    held("G-19",
        "A session that ends between discovery and push: 401, for a push in one piece and in chunks, and nothing goes up.",
        &["g_19_a_session_that_ends_before_the_push_itself"]),
    held("G-19b",
        "The user name says nothing. The token is the password, or the user name with an empty password or `x-oauth-basic`.",
        &["g_19b_the_user_name_says_nothing"]),
    held("G-19c",
        "Two credentials are 400.",
        &["g_19c_two_credentials_are_none"]),
    held("G-20",
        "A refused push is 200 with git's own report: `[remote rejected]` and the reason per ref, advice before it, exit 1.",
        &["g_20_a_refused_push_is_a_remote_rejection", "g_20_the_rejection_names_what_may_be_pushed_before_the_reason_per_ref", "g_20_porcelain_has_the_reason_of_each_ref", "g_20_g_28_the_answer_to_a_refused_push", "every_door_serves_git_alike"]),
    held("G-21",
        "Who asked for no side-band gets the report without one.",
        &["g_21_without_bands_the_report_is_plain"]),
    held("G-22",
        "Who asked for no report gets 403 in plain text.",
        &["g_22_without_a_report_the_answer_is_a_status"]),
    held("G-23",
        "`unpack` has an error only where the push itself cannot be read; for refs it is `unpack ok` and `ng`.",
        &["g_23_what_cannot_be_read_is_an_unpack_error"]),
    held("G-24",
        "The ways of refusing that git hides are shown to be hidden, with real git, so that nobody takes one up.",
        &["g_24_git_shows_none_of_the_wrong_ways_to_be_refused"]),
    held("G-25",
        "A repository that is not granted is 403 in plain text, which git prints with `remote:`; one that is not there is 404.",
        &["g_25_a_repository_without_a_grant_is_refused_in_words", "g_25_a_repository_that_is_not_there", "every_door_serves_git_alike"]),
    held("G-26",
        "A fetch that is refused at its POST is told so by an error packet.",
        &["g_26_a_fetch_without_a_grant_is_told_so_by_an_error_packet", "g_26_git_prints_an_error_packet"]),
    held("G-27",
        "A refused upload is read to its end, up to a size and a time, and forwarded nowhere.",
        &["g_27_a_refused_upload_is_read_to_its_end", "g_27_an_upload_that_does_not_end_is_given_up", "a_refused_fetch_is_drained_too"]),
    held("G-28",
        "A reason is one line below 200 octets that begins with `policy:`; what may be pushed stands in the advice.",
        &["g_20_g_28_the_answer_to_a_refused_push", "g_20_the_rejection_names_what_may_be_pushed_before_the_reason_per_ref"]),
    held("G-29",
        "429 and 503, of the upstream's or our own, are told with the wait. Once a push has been forwarded no status is made up.",
        &["g_29_an_upstream_that_asks_to_wait", "g_29_too_many_requests_are_told_to_wait", "g_29_errors_at_discovery_say_what_is_safe", "g_29_after_forwarding_began_no_status_is_invented", "g_29_p3_nobody_listens", "g_29_p3_no_answer_to_discovery", "an_upstream_that_breaks_off"]),
    held("G-30",
        "Creating, updating and deleting are judged apart for each ref; a command that is neither is refused.",
        &["g_30_a_branch_is_made_and_moved", "g_30_each_right_by_itself", "g_30_p6_each_entry_has_rights_of_its_own", "g_30_g_38_a_branch_is_deleted_where_that_is_granted", "every_door_serves_git_alike"]),
    held("G-31",
        "If one ref is refused nothing is forwarded; the others are \"not attempted\".",
        &["g_31_a_mixed_push_moves_nothing", "every_door_serves_git_alike"]),
    held("G-32",
        "The same ref twice, also in another case, refuses the push.",
        &["g_32_threat_102_several_commands"]),
    held("G-33",
        "Names are held to git's rules and compared octet by octet.",
        &["g_33_threat_100_names_that_are_not_quite_the_session_s", "threat_99_refs_that_are_no_branches_of_the_session_s"]),
    held("G-34",
        "`refs/heads/refs/heads/main` is a branch of that name.",
        &["g_34_g_35_patterns_and_what_only_looks_like_a_branch"]),
    otherwise("G-35",
        "`*` stays inside a level, `**` does not; patterns are anchored, and none stands for the default branch unless that is written.",
        "such a pattern is not refused when it is loaded: the real default branch is known at the push only, and there it does not match",
        &["g_34_g_35_patterns_and_what_only_looks_like_a_branch", "g_35_p22_no_pattern_stands_for_the_real_default_branch", "g_35_a_default_branch_is_reached_where_it_is_meant", "g_35_an_unborn_default_branch_is_a_default_branch", "g_35_where_the_default_branch_is_not_known_a_pattern_stands_for_none"]),
    held("G-36",
        "The probe before a push in chunks is answered here and is no push.",
        &["g_36_a_probe_goes_nowhere_and_is_no_push", "g_36_g_37_small_and_large_buffers_of_git"]),
    held("G-37",
        "The list is read across any cuts, up to 1 MiB and 2000 commands; what follows streams.",
        &["g_37_threat_112_however_the_bytes_are_cut", "g_36_g_37_small_and_large_buffers_of_git", "threat_118_lists_beyond_every_bound"]),
    held("G-38",
        "A push that only deletes has no pack, and octets behind it refuse it.",
        &["g_38_nothing_may_follow_a_list_that_only_deletes", "g_30_g_38_a_branch_is_deleted_where_that_is_granted"]),
    held("G-39",
        "A branch at a commit that is there comes with an empty pack, which passes.",
        &["g_39_a_branch_at_a_commit_that_is_there"]),
    held("G-40",
        "`shallow` lines pass, up to 10 000; alone they do nothing.",
        &["g_40_a_push_from_a_shallow_clone", "g_40_threat_106_shallow_lines_before_commands", "every_door_serves_git_alike"]),
    held("G-41",
        "Push options are not offered, and refused where they come.",
        &["g_41_push_options_are_not_served", "g_41_threat_109_push_options"]),
    held("G-42",
        "Push certificates are not offered, and refused where they come.",
        &["g_42_signed_pushes_are_not_served", "g_42_threat_105_a_push_certificate"]),
    held("G-43",
        "`--atomic` passes; with a refused ref nothing moves anyway.",
        &["g_43_an_atomic_push_of_what_is_granted_lands", "g_31_a_mixed_push_moves_nothing"]),
    held("G-44",
        "`delete-refs` stays offered, so that a refused delete has its reason.",
        &["g_44_threat_108_a_delete_without_the_right_is_rejected_with_a_reason", "g_49_an_advertisement_keeps_every_ref_and_loses_words_only", "every_door_serves_git_alike"]),
    held("G-45",
        "SHA-256 repositories are cloned, pushed to and refused alike; a mismatch is git's own to say, and one in a push is refused.",
        &["g_45_a_clone_whose_objects_are_named_in_sha_256", "g_45_a_repository_of_another_format_is_git_s_own_trouble", "g_45_sha_256_through_the_intercepted_host", "threat_107_objects_named_otherwise"]),
    held("G-46",
        "`agent` goes on, `session-id` does not.",
        &["g_46_what_the_sandbox_says_of_itself"]),
    held("G-47",
        "Both kinds of report say the same.",
        &["g_47_both_reports_say_the_same_of_a_refusal"]),
    held("G-48",
        "A capability that is not known refuses the push and is named.",
        &["g_48_threat_110_capabilities_that_are_not_known"]),
    held("G-49",
        "An advertisement keeps every ref; only words are taken from its first line, whose length is written anew.",
        &["g_49_an_advertisement_keeps_every_ref_and_loses_words_only"]),
    held("G-50",
        "An old tip that is not the upstream's any more goes up; what the upstream says of it comes back.",
        &["g_50_a_tip_that_moved_meanwhile_is_the_upstream_s_to_refuse", "a_stale_push_is_the_upstream_s_to_refuse"]),
    held("G-51",
        "Without the right to force, the pack is read before anything goes up, and only a proved descent passes (docs/git-rights.md).",
        &["g_51_a_push_that_goes_on_lands_without_force", "g_51_threat_108_a_push_that_leaves_commits_behind_is_refused_before_it_goes_up", "g_51_what_is_no_pack_is_refused_where_it_has_to_be_read", "g_51_descent_agrees_with_git_on_its_own_packs"]),
    held("G-52",
        "`--force-with-lease` is the client's own affair: with a true lease it lands, with another one git sends nothing.",
        &["g_52_a_lease_is_the_client_s_own_affair", "every_door_serves_git_alike"]),
    held("G-53",
        "`--mirror`, `--all`, `--prune`, `--tags`: one report, nothing moved where one ref is refused.",
        &["g_53_everything_at_once_is_one_clear_report", "g_53_tags_that_follow_are_judged_as_tags"]),
    held("G-54",
        "A dry run sends no commands, so that none is judged; `POST /explain` and `tidegate check push` tell.",
        &["g_54_what_is_explained_of_refs_is_what_a_push_meets", "g_54_g_55_a_dry_run_and_a_push_of_nothing_ask_for_refs_only", "every_door_serves_git_alike"]),
    held("G-55",
        "A push of nothing asks for refs only.",
        &["g_54_g_55_a_dry_run_and_a_push_of_nothing_ask_for_refs_only"]),
    otherwise("G-56",
        "What a session may send in all is bounded (`upload_budget`); a push beyond it is cut off upstream, refused natively, and moves nothing.",
        "there is no bound of its own for one pack: GitHub's is relayed, and the session's is the budget",
        &["g_56_a_push_beyond_the_upload_budget_moves_nothing"]),
    otherwise("G-57",
        "What the upstream says of a push comes back octet by octet, `remote:` lines and reasons.",
        "no hint is put before it: none of its sentences is taken apart",
        &["g_57_what_the_upstream_says_of_a_push_is_passed_on"]),
    otherwise("G-58",
        "401 and 403 upstream are `credential_unavailable`: single sign-on, address lists, suspension and missing rights are told apart in our own words, and git asks nobody for a password. A credential that went stale is fetched anew.",
        "the request that meets the 401 is not repeated, the next one goes with the new credential; the upstream's own message is not relayed",
        &["g_58_a_credential_that_is_turned_away_is_told_apart", "g_58_a_stale_credential_is_renewed_once", "g_58_the_operator_s_credential_that_is_refused_is_the_operator_s_trouble"]),
    otherwise("G-59",
        "What the upstream says while it works, empty bands included, comes back as it is said and before the report.",
        "nothing is sent of our own while it is silent; it has `first_byte` to begin",
        &["g_59_what_the_upstream_says_while_it_works_comes_at_once"]),
    otherwise("G-60",
        "Who grants is warned of a default branch, of one that is there already and of a public repository; both tips of each push are on record.",
        "it warns and asks for no consent: the owner has named the branch",
        &["g_60_who_grants_is_told_what_is_public_there_already_or_the_default", "g_60_the_record_of_a_push_has_both_tips_of_each_ref"]),
    held("G-61",
        "Pushes of one session to one ref take turns.",
        &["g_61_two_pushes_to_one_ref_take_turns", "g_61_a_ref_is_one_push_s_at_a_time"]),
    held("G-62",
        "A grant is for the number that its name had at first use, asked again after a minute and at each redirect; a name that is another's is refused.",
        &["g_62_a_name_that_became_another_s_is_refused"]),
    held("G-70",
        "The commands of version 2 pass, compressed or not, and answers stream.",
        &["g_70_the_commands_of_the_second_version", "g_70_a_long_negotiation_comes_compressed"]),
    held("G-71",
        "A partial clone fetches what it lacks when it is read.",
        &["g_71_a_clone_without_blobs_fetches_them_when_they_are_read", "every_door_serves_git_alike"]),
    held("G-72",
        "A grant to read is for every object of the repository; none is narrower.",
        &["g_72_g_74_a_grant_to_read_is_for_everything_in_the_repository"]),
    held("G-73",
        "`bundle-uri` and `packfile-uris` are taken out of what is offered.",
        &["g_73_nothing_in_an_advertisement_sends_git_elsewhere"]),
    held("G-74",
        "`ls-remote` and `fetch refs/pull/N/head` need no more than to read.",
        &["g_72_g_74_a_grant_to_read_is_for_everything_in_the_repository", "every_door_serves_git_alike"]),
    held("G-75",
        "Submodules by relative, HTTPS and SSH URLs come with a recursive clone; one that is not granted is refused by name.",
        &["g_75_submodules_by_relative_https_and_ssh_urls_come_with_a_recursive_clone", "g_75_a_relative_submodule_stays_on_the_git_door", "g_75_a_submodule_that_is_not_granted_is_refused_by_name_and_says_what_to_ask_for"]),
    held("G-76",
        "With `public_read` a repository without a grant is asked for without a credential; a private one is 404 in words, and nobody is asked for a password.",
        &["g_76_a_public_repository_is_read_without_a_credential", "what_is_fetched_with_a_credential_does_not_go_on_as_a_public_read", "without_sessions_only_what_anybody_may_read_is_served"]),
    held("G-77",
        "With interception `git remote -v` stays what it was.",
        &["g_77_a_remote_stays_what_it_is", "a_clone_a_fetch_and_a_push_of_an_unmodified_remote_at_access_none"]),
    held("G-78",
        "Other clients of git are served and refused alike: Debian's older git, cargo's own (libgit2), dulwich, isomorphic-git, JGit; so are dependencies by git of cargo, pip, npm and go.",
        &["g_78_cargo_s_own_git_fetches_a_dependency", "cargo_by_its_own_git", "cargo_by_the_git_of_the_machine", "pip_by_git_over_https_and_ssh", "npm_by_git_over_https_and_ssh", "go_by_the_git_of_the_machine", "g_78_dulwich_clones_pushes_and_is_refused", "g_78_isomorphic_git_clones_pushes_and_is_refused", "g_78_g_10_jgit_clones_pushes_compressed_and_is_refused", "g_78_the_git_of_the_distribution_clones_pushes_and_is_refused"]),
    otherwise("G-79",
        "Who may only read is refused at the discovery of a push.",
        "403 in plain text, which git prints with `remote:`, as for G-25; not an error packet",
        &["g_79_a_grant_to_read_is_none_to_push", "every_door_serves_git_alike"]),
    held("L-1",
        "A batch to download needs the repository to be readable; real git-lfs gets its objects.",
        &["l_1_to_l_5_real_git_lfs_pushes_and_clones", "l_1_to_l_5_through_the_intercepted_host"]),
    held("L-2",
        "A batch to upload is judged by its ref before anything is sent; git-lfs prints why it is refused.",
        &["l_2_an_upload_is_judged_before_anything_is_sent", "l_2_an_upload_takes_a_ref_that_may_be_pushed"]),
    held("L-3",
        "Links become handles of ours; what was in them stays here, and our credential goes to no storage.",
        &["l_3_threat_116_nothing_of_a_link_reaches_the_sandbox", "threat_116_links_lead_nowhere_that_the_policy_forbids"]),
    held("L-4",
        "A handle is for one session, object, size and direction, and ends in time; size and hash are checked on the way.",
        &["l_4_a_link_is_for_one_object_one_way_and_one_session", "l_4_what_is_not_the_object_is_never_whole_anywhere", "l_4_a_handle_stands_for_its_link_until_that_ends", "l_4_a_link_ends_when_the_upstream_says_and_never_late"]),
    held("L-5",
        "Locks are listed by who may read, verified by who may push, and made or undone with a grant of its own.",
        &["l_5_locks"]),
    held("L-6",
        "Only `basic` is asked for upstream; a batch that offers no such transfer is refused.",
        &["l_6_l_7_requests_are_read_strictly", "l_3_threat_116_nothing_of_a_link_reaches_the_sandbox", "l_6_what_leaves_is_what_was_understood"]),
    held("L-7",
        "At most 1000 objects a batch; 413 and 429 come back with their wait.",
        &["l_6_l_7_requests_are_read_strictly", "l_7_l_10_an_upstream_in_a_bad_mood"]),
    held("L-8",
        "A server of LFS elsewhere is a destination like any other, without a credential.",
        &["l_8_another_server_of_lfs_is_a_matter_of_policy"]),
    held("L-9",
        "401 has `LFS-Authenticate` beside `WWW-Authenticate`.",
        &["l_9_who_is_nobody_is_told_how_to_be_somebody", "l_9_g_18_a_token_in_a_header_of_the_client_s_own"]),
    held("L-10",
        "A redirect of the API's or of the storage's is not followed.",
        &["l_7_l_10_an_upstream_in_a_bad_mood"]),
];
