//! Pushes that no git sends, byte by byte. What a `git receive-pack` might take in another way than the door goes no further.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::harness::{
    Refs, Reply, World,
    bytes::{CAPABILITIES, EMPTY_PACK, PUSH_TYPE, ZERO, line, plain_report, push_body, report},
};

pub(crate) const MINE: &str = "refs/heads/agent/fix-1";
pub(crate) const PUSH: &str = "/git/octo/spoon/git-receive-pack";

/// A world and what can be pushed in it.
pub(crate) struct Ground {
    pub(crate) world: World,
    pub(crate) before: Refs,
    main: String,
    other: String,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self::of(World::new())
    }

    pub(crate) fn of(world: World) -> Self {
        let before = world.hub.refs("octo/spoon");
        let (main, other) = (before["refs/heads/main"].clone(), before["refs/heads/other"].clone());
        Self { world, before, main, other }
    }

    /// The one command that the session may give.
    pub(crate) fn good(&self) -> String {
        format!("{ZERO} {} {MINE}", self.main)
    }

    /// A command that it may not.
    pub(crate) fn bad(&self) -> String {
        format!("{} {} refs/heads/main", self.main, self.other)
    }

    pub(crate) fn create(&self, name: &str) -> String {
        format!("{ZERO} {} {name}", self.main)
    }

    /// Fails unless nothing of this body went upstream and its sender was told why: in git's words or in plain ones.
    #[track_caller]
    fn assert_refused(&self, body: &[u8], reasons: &[&str]) -> Reply {
        let reply = self.world.post_push(body);
        let shown = body[..body.len().min(300)].escape_ascii().to_string();
        assert!(reasons.contains(&reply.reason()), "{shown}\n{reply:?}");
        if reply.status == 200 {
            let text = reply.text();
            assert!(
                text.contains("unpack ") && text.contains(if text.contains("unpack ok") { "ng " } else { "unpack " }),
                "{shown}\n{text}"
            );
            assert!(!text.contains("\nok refs/") && !text.contains("ok refs/heads"), "{shown}\n{text}");
        } else {
            assert!(
                (400..500).contains(&reply.status) && reply.header("content-type") == Some("text/plain; charset=utf-8"),
                "{shown}\n{reply:?}"
            );
        }
        self.assert_nothing_moved(&shown);
        reply
    }

    #[track_caller]
    pub(crate) fn assert_nothing_moved(&self, what: &str) {
        assert_eq!(self.world.hub.refs("octo/spoon"), self.before, "{what}");
        assert!(self.world.pushes().is_empty(), "{what}: {:#?}", self.world.pushes());
    }

    pub(crate) fn finish(self) {
        self.world.finish();
    }
}

const MALFORMED: &[&str] = &["bad_request", "push_not_judgeable"];

#[test]
fn a_good_push_lands_and_is_written_anew() {
    let ground = Ground::new();
    let capabilities = " report-status side-band-64k session-id=abc object-format=sha1 agent=git/2.47.3";
    let said = report(&ground.world.post_push(&push_body(&[ground.good()], &format!("{capabilities}\n"))));
    assert_eq!(said.lines, ["unpack ok".to_owned(), format!("ok {MINE}")]);
    assert_eq!(ground.world.hub.refs("octo/spoon")[MINE], ground.main);
    let sent = ground.world.pushes().pop().unwrap();
    let expected = push_body(&[ground.good()], &capabilities.replace(" session-id=abc", ""));
    assert_eq!(sent.body.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(sent.header("content-type").as_deref(), Some("application/x-git-receive-pack-request"));
    ground.finish();
}

#[test]
fn g_20_g_28_the_answer_to_a_refused_push() {
    let ground = Ground::new();
    let reply = ground.world.post_push(&push_body(&[ground.bad(), ground.good()], CAPABILITIES));
    assert_eq!((reply.status, reply.reason()), (200, "ref_not_granted"), "{reply:?}");
    assert!(reply.header("proxy-status").is_some_and(|value| value.starts_with("tidegate; error=")), "{reply:?}");
    assert!(reply.header("cache-control").is_some_and(|value| value.contains("no-")), "{reply:?}");
    let said = report(&reply);
    assert_eq!(said.lines.len(), 3, "{said:?}");
    assert_eq!(said.lines[0], "unpack ok");
    assert!(said.lines[1].starts_with("ng refs/heads/main policy: "), "{said:?}");
    assert_eq!(said.lines[2], format!("ng {MINE} not attempted: another ref was refused"));
    assert!(said.lines.iter().all(|line| line.len() < 300 && !line.contains(char::is_control)), "{said:?}");
    assert!(said.advice.contains(MINE) && said.advice.ends_with('\n'), "{said:?}");
    ground.assert_nothing_moved("a mixed push");
    ground.finish();
}

#[test]
fn g_24_git_shows_none_of_the_wrong_ways_to_be_refused() {
    for (reference, buffer) in [("main", "1m"), ("main", "1"), ("agent/other", "1m")] {
        let world = World::new().cloned(&["agent/fix-1"]);
        let done = world
            .sandbox
            .git("clone", &["-c", &format!("http.postBuffer={buffer}"), "push", "origin", &format!("agent/fix-1:{reference}")]);
        done.assert(1, &["! [remote rejected]", "remote: "]);
        for symptom in ["RPC failed", "Everything up-to-date", "hung up unexpectedly", "bad band", "Broken pipe", "curl"] {
            assert!(!done.err.contains(symptom), "{symptom} in {}", done.err);
        }
        world.finish();
    }
}

#[test]
fn g_47_both_reports_say_the_same_of_a_refusal() {
    let ground = Ground::new();
    let lines = ["report-status", "report-status-v2", "report-status report-status-v2"].map(|asked| {
        let reply = ground.world.post_push(&push_body(&[ground.bad(), ground.good()], &format!(" {asked} side-band-64k")));
        assert_eq!(reply.status, 200, "{reply:?}");
        report(&reply).lines
    });
    assert!(lines[0].len() == 3 && lines[0] == lines[1] && lines[1] == lines[2], "{lines:?}");
    assert!(!lines[0].iter().any(|line| line.starts_with("option ")), "{lines:?}");
    ground.assert_nothing_moved("reports");
    ground.finish();
}

#[test]
fn g_21_without_bands_the_report_is_plain() {
    let ground = Ground::new();
    let reply = ground.world.post_push(&push_body(&[ground.bad()], " report-status"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-git-receive-pack-result")), "{reply:?}");
    let lines = plain_report(&reply.body);
    assert!(lines.len() == 2 && lines[0] == "unpack ok" && lines[1].starts_with("ng refs/heads/main policy: "), "{lines:?}");
    ground.assert_nothing_moved("a plain report");
    ground.finish();
}

#[test]
fn g_22_without_a_report_the_answer_is_a_status() {
    let ground = Ground::new();
    for capabilities in ["", " side-band-64k", " quiet atomic"] {
        let reply = ground.world.post_push(&push_body(&[ground.bad()], capabilities));
        assert_eq!(reply.verdict(), (403, "ref_not_granted"), "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(reply.text().contains(MINE), "what may be pushed: {}", reply.text());
    }
    ground.assert_nothing_moved("no report");
    ground.finish();
}

#[test]
fn g_23_what_cannot_be_read_is_an_unpack_error() {
    let ground = Ground::new();
    let body = [line(format!("{}\0{CAPABILITIES}", ground.good())), line("nonsense"), b"0000".to_vec(), EMPTY_PACK.to_vec()].concat();
    let said = report(&ground.assert_refused(&body, &["bad_request"]));
    assert!(said.lines[0].starts_with("unpack ") && said.lines[0] != "unpack ok", "{said:?}");
    ground.finish();
}

#[test]
fn g_10_threat_111_a_push_in_another_encoding_is_refused() {
    let ground = Ground::new();
    let body = push_body(&[ground.good()], CAPABILITIES);
    let compressed = gzip(&body);
    for (encodings, body) in [
        (&["x-gzip"][..], &compressed),
        (&["deflate"], &body),
        (&["identity, gzip"], &compressed),
        (&["identity", "gzip"], &compressed),
        (&["GZIP"], &compressed),
    ] {
        let encodings: Vec<_> = encodings.iter().map(|encoding| format!("Content-Encoding: {encoding}")).collect();
        let headers: Vec<_> = [PUSH_TYPE].into_iter().chain(encodings.iter().map(String::as_str)).collect();
        let reply = ground.world.ask_as("POST", PUSH, &headers, body);
        assert_eq!(reply.verdict(), (415, "bad_request"), "{encodings:?}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"), "{reply:?}");
    }
    // Compressed, and it is not said; said, and it is not so, or it is a bomb.
    ground.assert_refused(&compressed, MALFORMED);
    let bomb = gzip(&line(vec![b'x'; 60_000]).repeat(200));
    for (body, verdict) in [(&body, (400, "bad_request")), (&bomb, (413, "body_too_large"))] {
        let reply = ground.world.ask_as("POST", PUSH, &[PUSH_TYPE, "Content-Encoding: gzip"], body);
        assert_eq!(reply.verdict(), verdict, "{reply:?}");
    }
    ground.assert_nothing_moved("encodings");
    ground.finish();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn g_32_threat_102_several_commands() {
    let ground = Ground::of(World::granting(
        "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/**\"]\ndelete = true\n",
    ));
    let (good, bad) = (ground.good(), ground.bad());
    for commands in [vec![good.clone(), bad.clone()], vec![bad.clone(), good.clone()]] {
        ground.assert_refused(&push_body(&commands, CAPABILITIES), &["ref_not_granted"]);
    }
    let mut many: Vec<_> = (0..500).map(|number| ground.create(&format!("refs/heads/agent/{number}"))).collect();
    many.push(bad.clone());
    let said = report(&ground.assert_refused(&push_body(&many, CAPABILITIES), &["ref_not_granted"]));
    assert_eq!(said.lines.len(), 502);
    for twice in [
        [good.clone(), good.clone()],
        [good.clone(), format!("{ZERO} {} {MINE}", ground.other)],
        [good.clone(), ground.create("refs/heads/agent/FIX-1")],
        [good.clone(), ground.create("refs/heads/Agent/fix-1")],
    ] {
        ground.assert_refused(&push_body(&twice, CAPABILITIES), &["bad_request"]);
    }
    let late =
        [line(&good), line(format!("{}\0{CAPABILITIES}", ground.create("refs/heads/agent/2"))), b"0000".to_vec(), EMPTY_PACK.to_vec()];
    ground.assert_refused(&late.concat(), &["bad_request"]);
    let again = [line(format!("{good}\0{CAPABILITIES}")), line(format!("{bad}\0 atomic")), b"0000".to_vec(), EMPTY_PACK.to_vec()];
    ground.assert_refused(&again.concat(), &["bad_request"]);
    ground.finish();
}

#[test]
fn g_33_threat_100_names_that_are_not_quite_the_session_s() {
    let ground = Ground::new();
    for name in [
        "refs/heads/agent/fix-1/../../main",
        "refs/heads/agent//fix-1",
        "refs/heads/./agent/fix-1",
        "/refs/heads/agent/fix-1",
        "refs/heads/agent/fix-1 ",
        " refs/heads/agent/fix-1",
        "refs/heads/agent/fix-1.",
        "refs/heads/agent/fix-1/",
        "refs/heads/agent/fix-1.lock",
        "refs/heads/Agent/fix-1",
        "refs/heads/AGENT/FIX-1",
        "REFS/heads/agent/fix-1",
        "refs/heads/%61gent/fix-1",
        "refs/heads/\u{430}gent/fix-1",
        "refs/heads/agent/fix-\u{ff11}",
        "refs/heads/agent/fix-1\nrefs/heads/main",
        "refs/heads/agent/fix-1\r",
        "refs/heads/agent/fix-1\t",
        "refs/heads/agent/fix-1 refs/heads/main",
        "refs/heads/agent/fix-1\x7f",
        "refs/heads/agent/fix-1@{1}",
        "refs/heads/agent/fix-1^",
        "refs/heads/agent/fix-1~1",
        "refs/heads/agent/fix-1:main",
        "refs/heads/agent/fix-*",
        "refs/heads/agent/fix-?",
        "refs/heads/agent/fix-[1]",
        "refs/heads/agent\\fix-1",
        "refs/heads/-main",
        "HEAD",
        "main",
        "heads/main",
        "refs/heads/HEAD",
        "refs/heads",
        "@",
        "--upload-pack=x",
        "",
    ] {
        let reply = ground.assert_refused(&push_body(&[ground.create(name)], CAPABILITIES), &["bad_request", "ref_not_granted"]);
        assert_eq!(reply.status, 200, "the sender reads reports: {name:?}: {reply:?}");
    }
    for ending in ["\0\0 report-status", "\0 report-status\0 atomic", "\nx"] {
        let body = [line(format!("{}{ending}", ground.good())), b"0000".to_vec(), EMPTY_PACK.to_vec()].concat();
        ground.assert_refused(&body, MALFORMED);
    }
    ground.finish();
}

#[test]
fn threat_103_lists_that_end_oddly() {
    let ground = Ground::new();
    let first = line(format!("{}\0{CAPABILITIES}", ground.good()));
    for end in ["0001", "0002", "0003", "0004"] {
        for rest in [&b""[..], b"0000"] {
            let body = [&first, end.as_bytes(), &line(ground.bad()), rest, EMPTY_PACK].concat();
            ground.assert_refused(&body, MALFORMED);
        }
    }
    for body in
        [[&b"0000"[..], &first, b"0000", EMPTY_PACK].concat(), [&b"0000"[..], b"0000"].concat(), [&b"0000"[..], EMPTY_PACK].concat()]
    {
        ground.assert_refused(&body, MALFORMED);
    }
    // What stands where the pack should is no list for anybody.
    for body in [
        [&first, &b"0000"[..], &line(ground.bad()), b"0000", EMPTY_PACK].concat(),
        [&first, &b"0000"[..], &line("ci.skip"), b"0000", EMPTY_PACK].concat(),
    ] {
        ground.world.post_push(&body);
        let mut after = ground.world.hub.refs("octo/spoon");
        after.remove(MINE);
        assert_eq!(after, ground.before, "{}", body.escape_ascii());
    }
    ground.finish();
}

#[test]
fn threat_104_lengths_that_are_none() {
    let ground = Ground::new();
    let first = line(format!("{}\0{CAPABILITIES}", ground.good()));
    let content = &first[4..];
    for length in ["+0a0", " 0a0", "0x3f", "-001", "zzzz", "fff1", "ffff", "00g0", "0\u{00a0}a"] {
        let body = [length.as_bytes(), content, b"0000", EMPTY_PACK].concat();
        ground.assert_refused(&body, MALFORMED);
    }
    for difference in [-4_i64, -1, 1, 4] {
        let length = format!("{:04x}", i64::try_from(first.len()).unwrap() + difference);
        ground.assert_refused(&[length.as_bytes(), content, b"0000", EMPTY_PACK].concat(), MALFORMED);
    }
    for cut in [0, 1, 3, 4, 40, first.len()] {
        ground.assert_refused(&first[..cut], MALFORMED);
    }
    ground.finish();
}

#[test]
fn threat_104_upper_case_lengths_are_read_as_git_reads_them() {
    let ground = Ground::new();
    let bad = line(format!("{}\0{CAPABILITIES}", ground.bad()));
    let upper = [bad[..4].to_ascii_uppercase(), bad[4..].to_vec(), b"0000".to_vec(), EMPTY_PACK.to_vec()].concat();
    ground.assert_refused(&upper, &["ref_not_granted"]);
    let good = line(format!("{}\0{CAPABILITIES}", ground.good()));
    let upper = [good[..4].to_ascii_uppercase(), good[4..].to_vec(), b"0000".to_vec(), EMPTY_PACK.to_vec()].concat();
    assert_eq!(report(&ground.world.post_push(&upper)).lines[1], format!("ok {MINE}"));
    ground.finish();
}

#[test]
fn g_42_threat_105_a_push_certificate() {
    let ground = Ground::new();
    let certificate = |command: &str| {
        let lines = [
            format!("push-cert\0{CAPABILITIES}\n"),
            "certificate version 0.1\n".into(),
            "pusher Sand <sand@example.com> 1700000000 +0000\n".into(),
            "nonce 1-0\n".into(),
            "\n".into(),
            format!("{command}\n"),
            "-----BEGIN PGP SIGNATURE-----\n".into(),
            "push-cert-end\n".into(),
        ];
        lines.iter().flat_map(line).collect::<Vec<u8>>()
    };
    for command in [ground.good(), ground.bad()] {
        ground.assert_refused(&[&certificate(&command), &b"0000"[..], EMPTY_PACK].concat(), &["push_not_judgeable"]);
        let first = line(format!("{}\0{CAPABILITIES}", ground.good()));
        ground.assert_refused(&[&first, &certificate(&command), &b"0000"[..], EMPTY_PACK].concat(), &["push_not_judgeable"]);
    }
    ground.finish();
}

#[test]
fn g_40_threat_106_shallow_lines_before_commands() {
    let ground = Ground::new();
    let shallow = line(format!("shallow {}\n", ground.main));
    let commands = |command: &str| [line(format!("{command}\0{CAPABILITIES}")), b"0000".to_vec(), EMPTY_PACK.to_vec()].concat();
    ground.assert_refused(&[shallow.clone(), commands(&ground.bad())].concat(), &["ref_not_granted"]);
    ground.assert_refused(&[shallow.clone(), line("shallow x"), commands(&ground.good())].concat(), MALFORMED);
    let late = [line(format!("{}\0{CAPABILITIES}", ground.good())), shallow.clone(), line(ground.bad()), b"0000".to_vec()];
    ground.assert_refused(&late.concat(), MALFORMED);
    // No command at all: nothing is to be done, and nobody has to be asked.
    let reply = ground.world.post_push(&[shallow, b"0000".to_vec()].concat());
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    ground.assert_nothing_moved("no command");
    ground.finish();
}

#[test]
fn threat_107_objects_named_otherwise() {
    let ground = Ground::new();
    let (main, long) = (ground.main.clone(), "1".repeat(64));
    for command in [
        format!("{} {long} {MINE}", "0".repeat(64)),
        format!("{ZERO} {long} {MINE}"),
        format!("{} {main} {MINE}", &ZERO[1..]),
        format!("{ZERO} {} {MINE}", &main[1..]),
        format!("{ZERO} {} {MINE}", main.to_uppercase()),
        format!("{ZERO}\t{main}\t{MINE}"),
        format!("{ZERO}  {main} {MINE}"),
        format!(" {ZERO} {main} {MINE}"),
        format!("{ZERO} {ZERO} {MINE}"),
        format!("{ZERO} {main}"),
        format!("{ZERO} {main} "),
        main.clone(),
    ] {
        // The last of git's own is 40 digits with at least one letter; without one there is no upper case.
        ground.assert_refused(&push_body(&[command], CAPABILITIES), &["bad_request"]);
    }
    let capabilities = CAPABILITIES.replace("sha1", "sha256");
    ground.assert_refused(&push_body(&[ground.good()], &capabilities), &["bad_request"]);
    ground.finish();
}

#[test]
fn g_41_threat_109_push_options() {
    let ground = Ground::new();
    for option in ["ci.skip", "a;b", "a\nb", &"x".repeat(60_000), &ground.bad()] {
        let body = [
            line(format!("{}\0{CAPABILITIES} push-options", ground.good())),
            b"0000".to_vec(),
            line(option),
            b"0000".to_vec(),
            EMPTY_PACK.to_vec(),
        ];
        let said = report(&ground.assert_refused(&body.concat(), &["push_not_judgeable"]));
        assert!(said.lines[0].contains("push-options") || said.advice.contains("push-options"), "{said:?}");
    }
    ground.finish();
}

#[test]
fn g_48_threat_110_capabilities_that_are_not_known() {
    let ground = Ground::new();
    for (more, reasons, named) in [
        (" something-new", &["push_not_judgeable"][..], "something-new"),
        (" push-cert=1-0", &["push_not_judgeable"], "push-cert"),
        (" agent=x\nreport-status", &["bad_request"], ""),
        (" agent=\u{e9}", &["bad_request"], ""),
        (" object-format=sha1", &["bad_request"], "object-format"),
        (" object-format=sha512", &["bad_request", "push_not_judgeable"], ""),
        (" report-status=1", &["bad_request", "push_not_judgeable"], "report-status"),
        (" allow-tip-sha1-in-want", &["push_not_judgeable"], "allow-tip-sha1-in-want"),
    ] {
        let reply = ground.assert_refused(&push_body(&[ground.good()], &format!("{CAPABILITIES}{more}")), reasons);
        assert!(reply.text().contains(named), "{named} in {}", reply.text());
        assert!(reply.status == 200 || reply.reason() == "bad_request", "who asked for a report reads one: {more}: {reply:?}");
    }
    ground.finish();
}

#[test]
fn g_38_nothing_may_follow_a_list_that_only_deletes() {
    let ground = Ground::of(World::granting(
        "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/other\"]\ndelete = true\n",
    ));
    let delete = format!("{} {ZERO} refs/heads/other", ground.other);
    let list = |rest: &[u8]| [&line(format!("{delete}\0{CAPABILITIES} delete-refs")), &b"0000"[..], rest].concat();
    for rest in [EMPTY_PACK, &line(ground.bad()), b"0000", b"x"] {
        ground.assert_refused(&list(rest), MALFORMED);
    }
    assert_eq!(report(&ground.world.post_push(&list(b""))).lines, ["unpack ok", "ok refs/heads/other"]);
    assert!(!ground.world.hub.refs("octo/spoon").contains_key("refs/heads/other"));
    ground.finish();
}

#[test]
fn threat_118_lists_beyond_every_bound() {
    let ground = Ground::of(World::granting(
        "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/**\"]\n",
    ));
    let long = format!("refs/heads/agent/{}", "x".repeat(60_000));
    ground.assert_refused(&push_body(&[ground.create(&long)], CAPABILITIES), &["bad_request", "push_not_judgeable"]);
    let many: Vec<_> = (0..10_000).map(|number| ground.create(&format!("refs/heads/agent/{number}"))).collect();
    ground.assert_refused(&push_body(&many, CAPABILITIES), &["push_not_judgeable"]);
    let wide: Vec<_> = (0..300).map(|number| ground.create(&format!("refs/heads/agent/{number}/{}", "y/".repeat(2000) + "z"))).collect();
    ground.assert_refused(&push_body(&wide, CAPABILITIES), &["bad_request", "push_not_judgeable"]);
    let mut shallow: Vec<u8> = (0..20_000).flat_map(|number| line(format!("shallow {number:040x}\n"))).collect();
    shallow.extend(push_body(&[ground.good()], CAPABILITIES));
    ground.assert_refused(&shallow, &["push_not_judgeable"]);
    ground.finish();
}
