//! Pushes whose bytes come in pieces, late, not at all, or without end.

use crate::{
    harness::{
        Plan, World,
        bytes::{CAPABILITIES, FETCH_TYPE, PUSH_TYPE, basic, chunked, line, push_body, report, request},
        eventually,
        world::refs_of,
    },
    refusals::{Ground, MINE, PUSH},
};

#[test]
fn g_11_expect_is_answered_before_the_body() {
    let ground = Ground::new();
    let body = push_body(&[ground.good()], CAPABILITIES);
    let head = |token: &str| {
        let whole = request("POST", PUSH, &[PUSH_TYPE, "Expect: 100-continue", &basic("x", token)], &body);
        whole[..whole.len() - body.len()].to_vec()
    };
    let mut client = ground.world.connect();
    let reply = client.send(head(&ground.world.expired_token)).reply();
    assert_eq!(reply.verdict(), (401, "session_expired"), "before any of the body: {reply:?}");
    let mut client = ground.world.connect();
    let reply = client.send(head(&ground.world.token)).reply();
    assert_eq!(reply.status, 100, "{reply:?}");
    let reply = client.send(&body).reply();
    ground.world.hear(&reply);
    assert_eq!(report(&reply).lines, ["unpack ok".to_owned(), format!("ok {MINE}")]);
    ground.finish();
}

#[test]
fn g_27_a_refused_upload_is_read_to_its_end() {
    let ground = Ground::new();
    let mut body = push_body(&[ground.bad()], CAPABILITIES);
    body.resize(5 << 20, 0x5a);
    for whole in [
        request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], &body),
        [request("POST", PUSH, &[PUSH_TYPE, "Transfer-Encoding: chunked", &basic("x", &ground.world.token)], b""), chunked(&body, 60_000)]
            .concat(),
    ] {
        let mut client = ground.world.connect();
        let reply = client.send(&whole).reply();
        ground.world.hear(&reply);
        assert!(report(&reply).lines[1].starts_with("ng refs/heads/main policy: "), "{reply:?}");
    }
    ground.assert_nothing_moved("a long upload");
    ground.finish();
}

#[test]
fn g_27_an_upload_that_does_not_end_is_given_up() {
    let ground = Ground::of(World::of(&Plan { timeouts: &["body = \"1s\""], ..Plan::default() }));
    let body = push_body(&[ground.bad()], CAPABILITIES);
    let head = request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], b"");
    let head = String::from_utf8(head).unwrap().replace("Content-Length: 0\r\n", "Content-Length: 10000000000\r\n");
    let mut client = ground.world.connect();
    // The end of the connection, with or without an answer, within the bound of any wait.
    client.send(head).send(&body).rest();
    ground.assert_nothing_moved("an upload without an end");
    ground.world.assert_push_denied("ref_not_granted", &["refs/heads/main"]);
    ground.finish();
}

#[test]
fn a_refusal_is_recorded_although_nobody_waits_for_it() {
    for reset in [false, true] {
        let ground = Ground::new();
        let whole = request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], &vec![0; 1 << 20]);
        let body = push_body(&[ground.bad()], CAPABILITIES);
        let mut client = ground.world.connect();
        client.send(&whole[..whole.len() - (1 << 20)]).send(&body);
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        ground.world.assert_push_denied("ref_not_granted", &["refs/heads/main"]);
        ground.assert_nothing_moved("a sender that is gone");
        ground.finish();
    }
}

/// What was decided is recorded when it is decided, not when the sender lets it be.
#[test]
fn a_refusal_is_recorded_before_its_upload_has_ended() {
    let ground = Ground::new();
    let whole = request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], &vec![0; 1 << 20]);
    let mut client = ground.world.connect();
    client.send(&whole[..whole.len() - (1 << 20)]).send(push_body(&[ground.bad()], CAPABILITIES));
    ground.world.assert_push_denied("ref_not_granted", &["refs/heads/main"]);
    drop(client);
    ground.finish();
}

#[test]
fn g_36_a_probe_goes_nowhere_and_is_no_push() {
    let ground = Ground::new();
    let authorization = basic("x", &ground.world.token);
    let chunks = [request("POST", PUSH, &[PUSH_TYPE, "Transfer-Encoding: chunked", &authorization], b""), chunked(b"0000", 1)].concat();
    for whole in [request("POST", PUSH, &[PUSH_TYPE, &authorization], b"0000"), chunks] {
        let reply = ground.world.ask(whole);
        assert_eq!(
            (reply.status, reply.header("content-type"), reply.body.len()),
            (200, Some("application/x-git-receive-pack-result"), 0),
            "{reply:?}"
        );
        assert_eq!(reply.reason(), "");
    }
    // The probe of who may only read, and of who may nothing, is refused.
    let reply = ground.world.ask_as("POST", "/git/octo/reading/git-receive-pack", &[PUSH_TYPE], b"0000");
    assert!(reply.reason() == "read_only" || reply.body.is_empty(), "{reply:?}");
    ground.world.hub.assert_untouched("a probe");
    let records = ground.world.gate().records();
    assert!(!records.iter().any(|record| record["kind"] == "push" && record["verdict"] == "allow"), "{records:#?}");
    ground.finish();
}

#[test]
fn g_37_threat_112_however_the_bytes_are_cut() {
    let ground = Ground::new();
    let head = request("POST", PUSH, &[PUSH_TYPE, "Transfer-Encoding: chunked", &basic("x", &ground.world.token)], b"");
    let bad = push_body(&[ground.good(), ground.bad()], CAPABILITIES);
    for size in [1, 2, 3, 7, 100, 1000] {
        let reply = ground.world.ask([head.clone(), chunked(&bad, size)].concat());
        assert_eq!(report(&reply).lines[0], "unpack ok");
        assert_eq!(reply.reason(), "ref_not_granted", "{size}: {reply:?}");
    }
    ground.assert_nothing_moved("cut anywhere");
    let good = push_body(&[ground.good()], CAPABILITIES);
    let mut client = ground.world.connect();
    let reply = client.send(&head).send_slowly(chunked(&good, 1)).reply();
    ground.world.hear(&reply);
    assert_eq!(report(&reply).lines, ["unpack ok".to_owned(), format!("ok {MINE}")]);
    assert_eq!(ground.world.pushes().pop().unwrap().body, good);
    ground.finish();
}

#[test]
fn threat_118_a_pack_that_is_cut_off_moves_nothing() {
    let ground = Ground::new();
    let body = push_body(&[ground.good()], CAPABILITIES);
    let whole = request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], &body);
    let mut client = ground.world.connect();
    client.send(&whole[..whole.len() - 12]).close_sending().rest();
    let reply = ground.world.post_push(&body[..body.len() - 12]);
    assert!(reply.status != 200 || !reply.text().contains("unpack ok"), "{reply:?}");
    assert_eq!(ground.world.hub.refs("octo/spoon"), ground.before);
    let cut = ground.world.pushes();
    assert!(cut.iter().filter(|seen| seen.whole).count() <= 1, "what broke off here broke off there: {cut:#?}");
    ground.finish();
}

#[test]
fn a_refused_fetch_is_drained_too() {
    let ground = Ground::new();
    let body = line("command=fetch\n").repeat(20_000);
    let reply = ground.world.ask_as("POST", "/git/octo/secret/git-upload-pack", &[FETCH_TYPE], &body);
    assert_eq!((reply.status, reply.reason()), (200, "repository_not_granted"), "{reply:?}");
    ground.world.hub.assert_untouched("no grant");
    ground.finish();
}

/// Whoever has gone may or may not be heard; but what takes effect is on record.
#[test]
fn no_push_lands_unrecorded_although_its_sender_says_all_and_goes() {
    let ground =
        Ground::of(World::granting("[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\"]\n"));
    for number in 0..10 {
        let body = push_body(&[ground.create(&format!("refs/heads/agent/{number}"))], CAPABILITIES);
        let whole = request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], &body);
        let mut client = ground.world.connect();
        client.send(&whole);
        if number % 2 == 0 {
            // Some are heard for certain.
            ground.world.hub.wait_for(|seen| seen.body.windows(20).any(|part| part == format!("refs/heads/agent/{number}\0 ").as_bytes()));
        }
    }
    eventually("all connections end", || ground.world.gate().metric("tidegate_connections{door=\"git\"}") == 0);
    eventually("the upstream is done", || ground.world.pushes().iter().all(|seen| seen.over));
    let records = ground.world.gate().records();
    let recorded = |name: &str| records.iter().any(|record| record["verdict"] == "allow" && refs_of(record) == [name]);
    for seen in ground.world.pushes() {
        let name = String::from_utf8_lossy(&seen.body).split([' ', '\0']).nth(2).unwrap_or_default().to_owned();
        assert!(recorded(&name), "{name} in {records:#?}");
    }
    let made = ground.world.hub.refs("octo/spoon").into_keys().filter(|name| !ground.before.contains_key(name)).collect::<Vec<_>>();
    assert!(made.iter().all(|name| recorded(name)), "{made:?} in {records:#?}");
    assert!(ground.world.pushes().len() >= 5);
    ground.finish();
}

/// The session is revoked while its push stalls; what that ended is recorded, also when its sender then goes.
#[test]
fn a_withdrawal_is_recorded_although_its_sender_goes() {
    let ground = Ground::new();
    let body = push_body(&[ground.good()], CAPABILITIES);
    let whole = request("POST", PUSH, &[PUSH_TYPE, &basic("x", &ground.world.token)], &body);
    let mut client = ground.world.connect();
    client.send(&whole[..whole.len() - 10]);
    ground.world.hub.wait_for(|seen| seen.target.ends_with("/git-receive-pack") && !seen.body.is_empty());
    ground.world.session(&["revoke", "s1"]);
    ground.world.hub.wait_for(|seen| seen.target.ends_with("/git-receive-pack") && seen.over && !seen.whole);
    client.send(&whole[whole.len() - 10..]).close_sending();
    drop(client);
    ground.world.gate().wait_for_record(|record| record["reason"] == "session_revoked" && record["kind"] == "push");
    assert_eq!(ground.world.hub.refs("octo/spoon"), ground.before);
    ground.finish();
}
