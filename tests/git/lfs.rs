//! Git LFS: real git-lfs through the git door and through intercepted hosts, with storage on a port of its own.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Plan, Reply, When, Wire, World,
    bytes::{basic, noise, request},
    eventually,
    lfs::{Quirk, oid},
    world::{GRANTS, refs_of},
};

/// Storage is on loopback, which has to be declared.
const POLICY: &str = "access = \"none\"\n[addresses]\nallow = [\"127.0.0.1/32\"]";
const TYPE: &str = "Content-Type: application/vnd.git-lfs+json";
const BATCH: &str = "/git/octo/spoon.git/info/lfs/objects/batch";
const MINE: &str = "refs/heads/agent/fix-1";

fn plan() -> Plan {
    Plan { policy: POLICY, ..Plan::default() }
}

fn world() -> World {
    World::of(&plan())
}

/// A clone with a file of noise that LFS has, on the session's own branch.
#[track_caller]
fn with_object(world: &World, url: &str, length: usize) -> Vec<u8> {
    world.sandbox.git_ok(".", &["lfs", "install"]);
    world.sandbox.git_ok(".", &["clone", "--quiet", url, "clone"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "-b", "agent/fix-1"]);
    world.sandbox.git_ok("clone", &["lfs", "track", "*.bin"]);
    let content = noise(length);
    fs::write(world.sandbox.path("clone/large.bin"), &content).unwrap();
    world.sandbox.commit("clone", "large");
    content
}

fn asked(operation: &str, objects: &[(&str, usize)], reference: Option<&str>) -> Vec<u8> {
    let objects: Vec<_> = objects.iter().map(|(oid, size)| json!({ "oid": oid, "size": size })).collect();
    let mut asked = json!({ "operation": operation, "transfers": ["basic", "ssh", "lfs-standalone-file", "tus"], "objects": objects });
    if let Some(name) = reference {
        asked["ref"] = json!({ "name": name });
    }
    asked.to_string().into_bytes()
}

#[track_caller]
fn said(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type"), Some("application/vnd.git-lfs+json"), "{reply:?}");
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// Fails unless a request of the session's was refused so, in words that git-lfs prints.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, reason: &str) -> String {
    assert_eq!(reply.verdict(), (status, reason), "{}", reply.text());
    let message = said(reply)["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Tidegate: "), "{message}");
    message
}

/// The path of the link to an object, for one action.
#[track_caller]
fn link(reply: &Reply, action: &str) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = said(reply);
    let href = said["objects"][0]["actions"][action]["href"].as_str().unwrap_or_else(|| panic!("{said:#}"));
    href.strip_prefix("http://gate").unwrap_or_else(|| panic!("{href}")).to_owned()
}

fn put(world: &World, path: &str, length: usize, body: &[u8]) -> Reply {
    world.ask_as("PUT", path, &[&format!("Content-Length: {length}")], body)
}

#[test]
fn l_1_to_l_5_real_git_lfs_pushes_and_clones() {
    for wire in [Wire::Plain, Wire::Http2] {
        let world = World::of(&Plan { wire, ..plan() });
        let content = with_object(&world, &world.url("octo/spoon"), 200_000);
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_eq!(world.hub.lfs.objects().get(&oid(&content)).map(|kept| kept.to_vec()), Some(content.clone()));
        let arguments = ["clone", "--quiet", "--branch", "agent/fix-1", &world.url("octo/spoon"), "copy"];
        world.sandbox.git_ok(".", &arguments);
        assert_eq!(fs::read(world.sandbox.path("copy/large.bin")).unwrap(), content);
        let methods: Vec<_> = world.hub.lfs.seen().into_iter().map(|seen| (seen.method, seen.whole)).collect();
        assert_eq!(methods, [("PUT".into(), true), ("POST".into(), true), ("GET".into(), true)]);
        let storage = world.hub.lfs.storage();
        let record = world.gate().wait_for_record(|record| record["kind"] == "lfs" && record["bytes_up"].as_u64() == Some(200_000));
        assert_eq!([&record["verdict"], &record["repository"], &record["host"]], ["allow", "octo/spoon", "127.0.0.1"], "{record:#}");
        assert_eq!(refs_of(&record), [MINE], "{record:#}");
        assert!(storage.ends_with(&format!(":{}", record["port"])), "{record:#}");
        world.gate().wait_for_record(|record| record["kind"] == "lfs" && record["bytes_down"].as_u64() == Some(200_000));
        assert!(world.gate().metrics().contains("kind=\"lfs\""));
        world.finish();
    }
}

#[test]
fn l_1_to_l_5_through_the_intercepted_host() {
    for version in ["HTTP/1.1", "HTTP/2"] {
        let world = World::of(&Plan { wire: Wire::Tls, ..plan() }).behind_the_proxy();
        world.sandbox.git_ok(".", &["config", "--global", "http.version", version]);
        let content = with_object(&world, "https://github.test/octo/spoon.git", 200_000);
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_eq!(world.hub.lfs.objects().get(&oid(&content)).map(|kept| kept.to_vec()), Some(content.clone()));
        world.sandbox.git_ok(".", &["clone", "--quiet", "--branch", "agent/fix-1", "https://github.test/octo/spoon", "copy"]);
        assert_eq!(fs::read(world.sandbox.path("copy/large.bin")).unwrap(), content);
        let record = world.gate().wait_for_record(|record| record["kind"] == "lfs" && record["bytes_up"].as_u64() == Some(200_000));
        assert_eq!([&record["door"], &record["verdict"], &record["session"]], ["proxy", "allow", "s1"], "{record:#}");
        world.finish();
    }
}

#[test]
fn l_3_threat_116_nothing_of_a_link_reaches_the_sandbox() {
    let world = world();
    let oid = world.hub.lfs.put("hello");
    let reply = world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&oid, 5)], None));
    let written = said(&reply);
    let object = &written["objects"][0];
    assert_eq!([&object["oid"], &object["size"], &object["authenticated"]], [&json!(oid), &json!(5), &json!(true)], "{written:#}");
    let action = &object["actions"]["download"];
    let keys: Vec<_> = action.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["href", "expires_in", "header"], "{written:#}");
    assert_eq!(action["header"], json!({ "Authorization": basic("x", &world.token).strip_prefix("Authorization: ").unwrap() }));
    assert!(action["expires_in"].as_u64().is_some_and(|seconds| (3500..=3600).contains(&seconds)), "{written:#}");
    let path = link(&reply, "download");
    let handle = path.strip_prefix("/lfs/").unwrap();
    assert_eq!(handle.len(), 43, "256 bits: {handle}");
    let given = world.ask_as("GET", &path, &[], b"");
    assert_eq!((given.status, given.text().as_str()), (200, "hello"));
    let names: Vec<_> = given.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["content-length", "content-type"], "{given:?}");
    // What the API was asked is what was understood: one way of transferring, and no word of the client's own.
    let batch = world.hub.seen_at("/objects/batch").pop().unwrap();
    let sent: Value = serde_json::from_slice(&batch.body).unwrap();
    assert_eq!((&sent["transfers"], &sent["hash_algo"]), (&json!(["basic"]), &json!("sha256")), "{sent:#}");
    world.finish();
}

#[test]
fn l_2_an_upload_is_judged_before_anything_is_sent() {
    let world = world();
    with_object(&world, &world.url("octo/spoon"), 50_000);
    let done = world.push(&["origin", "agent/fix-1:refs/heads/elsewhere"]);
    assert_ne!(done.code, Some(0));
    done.assert(1, &["batch response: Tidegate: ", "refs/heads/elsewhere", "refs/heads/agent/fix-1"]);
    assert_eq!((world.hub.seen_at("/objects/batch").len(), world.hub.lfs.seen().len(), world.pushes().len()), (0, 0, 0));
    let record = world.assert_denied("lfs", "ref_not_granted");
    assert_eq!((&record["repository"], refs_of(&record)), (&"octo/spoon".into(), vec!["refs/heads/elsewhere"]), "{record:#}");
    let object = [("a".repeat(64), 5)];
    let object = [(object[0].0.as_str(), object[0].1)];
    for (repository, reference, status, reason) in [
        ("octo/spoon", Some("refs/heads/main"), 403, "ref_not_granted"),
        ("octo/spoon", Some("refs/tags/v2"), 403, "ref_not_granted"),
        ("octo/spoon", Some("main"), 400, "bad_request"),
        ("octo/reading", Some(MINE), 403, "read_only"),
        ("octo/reading", None, 403, "read_only"),
        ("octo/secret", None, 403, "repository_not_granted"),
    ] {
        let target = format!("/git/{repository}/info/lfs/objects/batch");
        let reply = world.ask_as("POST", &target, &[TYPE], &asked("upload", &object, reference));
        assert_refused(&reply, status, reason);
    }
    let reply = world.ask_as("POST", "/git/octo/secret/info/lfs/objects/batch", &[TYPE], &asked("download", &object, None));
    assert!(assert_refused(&reply, 403, "repository_not_granted").contains("name = \"octo/secret\""));
    assert_eq!(world.hub.seen_at("/objects/batch").len(), 0);
    let reply = world.ask_as("POST", BATCH, &[TYPE], &asked("upload", &object, None));
    assert!(link(&reply, "upload").starts_with("/lfs/"), "some ref may be pushed");
    world.finish();
}

#[test]
fn l_4_a_link_is_for_one_object_one_way_and_one_session() {
    let world = world();
    let kept = world.hub.lfs.put("hello");
    let (content, sent) = ("hullo", oid(b"hullo"));
    let down = link(&world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&kept, 5)], None)), "download");
    let batch = world.ask_as("POST", BATCH, &[TYPE], &asked("upload", &[(&sent, 5)], Some(MINE)));
    let (up, verify) = (link(&batch, "upload"), link(&batch, "verify"));
    let before = world.hub.lfs.seen().len();
    for token in [&world.other_token, &world.expired_token, &"nobody".to_owned()] {
        let reply = world.ask(request("GET", &down, &[&basic("x", token)], b""));
        assert!([404, 401].contains(&reply.status), "{reply:?}");
    }
    let reply = world.ask(request("GET", &down, &[], b""));
    assert_eq!((reply.status, reply.header("lfs-authenticate").is_some()), (401, true), "{reply:?}");
    assert_refused(&world.ask_as("PUT", &down, &["Content-Length: 5"], b"hello"), 403, "method_not_allowed");
    assert_refused(&world.ask_as("GET", &up, &[], b""), 403, "method_not_allowed");
    assert_refused(&world.ask_as("GET", &format!("/lfs/{}", "A".repeat(43)), &[], b""), 404, "path_not_allowed");
    assert_refused(&world.ask_as("GET", "/lfs/x", &[], b""), 404, "path_not_allowed");
    let elsewhere = format!("/git/octo/reading.git/info/lfs/transfers/{}", down.strip_prefix("/lfs/").unwrap());
    assert_refused(&world.ask_as("GET", &elsewhere, &[], b""), 404, "path_not_allowed");
    assert_refused(&put(&world, &up, 4, b"hull"), 400, "bad_request");
    assert_refused(&put(&world, &up, 6, b"hullo!"), 400, "bad_request");
    let unmeasured =
        [&request("PUT", &up, &["Transfer-Encoding: chunked", &basic("x", &world.token)], b"")[..], b"5\r\nhullo\r\n0\r\n\r\n"].concat();
    assert_refused(&world.ask(unmeasured), 400, "bad_request");
    assert_refused(&world.ask_as("POST", &verify, &[TYPE], json!({ "oid": kept, "size": 5 }).to_string().as_bytes()), 400, "bad_request");
    assert_eq!(world.hub.lfs.seen().len(), before, "storage was asked nothing");
    assert_eq!(put(&world, &up, 5, content.as_bytes()).status, 200);
    assert_eq!(world.ask_as("POST", &verify, &[TYPE], json!({ "oid": sent, "size": 5 }).to_string().as_bytes()).status, 200);
    let kept = world.gate().audit_text() + &world.gate().stderr();
    for path in [&down, &up, &verify] {
        assert!(!kept.contains(path.strip_prefix("/lfs/").unwrap()), "no link is recorded: {kept}");
    }
    world.finish();
}

#[test]
fn l_4_what_is_not_the_object_is_never_whole_anywhere() {
    let world = world();
    let content = noise(300_000);
    let name = oid(&content);
    let mut other = content.clone();
    *other.last_mut().unwrap() ^= 1;
    let batch = || world.ask_as("POST", BATCH, &[TYPE], &asked("upload", &[(&name, content.len())], Some(MINE)));
    let reply = put(&world, &link(&batch(), "upload"), other.len(), &other);
    assert!(assert_refused(&reply, 400, "bad_request").contains("SHA-256"));
    // What was refused before its first octet left has not been seen at all.
    let seen = world.hub.lfs.seen();
    assert!(seen.iter().all(|seen| !seen.whole && seen.length < 300_000) && world.hub.lfs.objects().is_empty(), "{seen:#?}");
    world.assert_denied("lfs", "bad_request");
    world.hub.lfs.put(content.clone());
    let down = || link(&world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, content.len())], None)), "download");
    for quirk in [Quirk::Corrupt, Quirk::Short(1), Quirk::Short(20_000)] {
        world.hub.lfs.set(quirk.clone());
        let mut client = world.connect();
        client.send(request("GET", &down(), &[&basic("x", &world.token)], b""));
        let heard = client.rest();
        let body = heard.len() - heard.windows(4).position(|window| window == b"\r\n\r\n").unwrap() - 4;
        assert!(heard.starts_with(b"HTTP/1.1 200") && body < content.len(), "{quirk:?}: {body} octets");
        world.gate().wait_for_record(|record| record["kind"] == "lfs" && record["reason"] == "upstream_closed");
    }
    // What follows the object goes nowhere.
    world.hub.lfs.set(Quirk::Long);
    assert_eq!(world.ask_as("GET", &down(), &[], b"").body, content);
    world.hub.lfs.set(Quirk::Corrupt);
    world.sandbox.git_ok(".", &["lfs", "install"]);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {}\n", content.len());
    world.sandbox.cloned(&world.url("octo/spoon"), &[]);
    fs::write(world.sandbox.path("clone/pointer"), pointer).unwrap();
    let done = world.sandbox.run_program("sh", &["-c", "cd clone && git lfs smudge < pointer"]);
    assert!(done.code != Some(0) || !done.out.contains("SHA"), "{done:?}");
    assert!(done.err.contains("Error downloading object"), "{done:?}");
    world.finish();
}

#[test]
fn a_download_is_resumed() {
    let world = world();
    let content = noise(100_000);
    let name = world.hub.lfs.put(content.clone());
    let down = link(&world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, content.len())], None)), "download");
    let reply = world.ask_as("GET", &down, &["Range: bytes=60000-99999"], b"");
    assert_eq!((reply.status, reply.header("content-range")), (206, Some("bytes 60000-99999/100000")), "{:?}", reply.headers);
    assert_eq!(reply.body, content[60_000..]);
    for ignored in ["bytes=0-99999", "bytes=5-4", "bytes=1-2,3-4", "bytes=-5", "lines=1-2", "bytes=100000-"] {
        let reply = world.ask_as("GET", &down, &[&format!("Range: {ignored}")], b"");
        assert_eq!((reply.status, reply.body.len()), (200, content.len()), "{ignored}");
    }
    world.finish();
}

#[test]
fn links_end() {
    let world = world();
    let name = world.hub.lfs.put("hello");
    let ask = || world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, 5)], None));
    world.hub.lfs.set(Quirk::Expires(-1));
    assert_eq!(said(&ask())["objects"][0]["error"]["code"], 502, "of no use when it came");
    world.hub.lfs.set(Quirk::Expires(1));
    let down = link(&ask(), "download");
    eventually("a link of one second ends", || world.ask_as("GET", &down, &[], b"").status == 404);
    world.hub.lfs.set(Quirk::Expires(1_000_000_000));
    assert!(said(&ask())["objects"][0]["actions"]["download"]["expires_in"].as_u64().is_some_and(|seconds| seconds <= 3600));
    world.finish();
}

#[test]
fn threat_116_links_lead_nowhere_that_the_policy_forbids() {
    let denied = "access = \"full\"\ndeny = [\"denied.test\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]";
    let world = World::of(&Plan { policy: denied, wire: Wire::Tls, ..Plan::default() });
    let name = world.hub.lfs.put("hello");
    for (href, reason) in [
        ("https://169.254.169.254/latest/OID", "address_not_allowed"),
        ("https://10.0.0.1/OID", "address_not_allowed"),
        ("https://[::1]/OID", "address_not_allowed"),
        ("https://192.0.2.1/OID", "address_not_allowed"),
        ("https://localhost/OID", "address_not_allowed"),
        ("https://metadata.google.internal/OID", "address_not_allowed"),
        ("https://denied.test/OID", "host_denied"),
        (&format!("https://{}/OID", world.gate().listener("git")), "address_not_allowed"),
        (&world.hub.lfs.storage().replace("https", "http"), "tls_failed"),
    ] {
        let href = if href.contains("OID") { href.to_owned() } else { format!("{href}/OID") };
        world.hub.lfs.set(Quirk::Links(href.clone()));
        let down = link(&world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, 5)], None)), "download");
        let reply = world.ask_as("GET", &down, &[], b"");
        assert_eq!(reply.reason(), reason, "{href}: {reply:?}");
    }
    for href in ["ftp://127.0.0.1/OID", "https://u:p@127.0.0.1/OID", "//127.0.0.1/OID", "https://127.0.0.1/a b", "https://127.0.0.1", ""] {
        world.hub.lfs.set(Quirk::Links(href.to_owned()));
        let reply = world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, 5)], None));
        assert_eq!(said(&reply)["objects"][0]["error"]["code"], 502, "{href}");
    }
    assert_eq!(world.hub.lfs.seen().len(), 0);
    world.finish();
}

#[test]
fn loopback_storage_has_to_be_declared() {
    let world = World::new();
    let name = world.hub.lfs.put("hello");
    let down = link(&world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, 5)], None)), "download");
    let reply = world.ask_as("GET", &down, &[], b"");
    assert!(assert_refused(&reply, 403, "address_not_allowed").contains("allow = [\"127.0.0.1/32\"]"));
    world.assert_denied("lfs", "address_not_allowed");
    world.finish();
}

#[test]
fn an_upstream_s_answer_is_taken_apart() {
    let world = world();
    let (kept, other) = (world.hub.lfs.put("hello"), "b".repeat(64));
    let ask = |said_upstream: Value| {
        world.hub.lfs.set(Quirk::Says(said_upstream));
        world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&kept, 5)], None))
    };
    let action = json!({ "href": "https://s.test/x" });
    let good = json!({ "oid": kept, "size": 5, "actions": { "download": action } });
    for (what, answered, code) in [
        ("nothing", json!({ "objects": [] }), 502),
        ("another object", json!({ "objects": [{ "oid": other, "size": 5, "actions": { "download": action } }] }), 502),
        ("twice", json!({ "objects": [good, good] }), 502),
        ("another size", json!({ "objects": [{ "oid": kept, "size": 6, "actions": { "download": action } }] }), 422),
        ("an upload", json!({ "objects": [{ "oid": kept, "size": 5, "actions": { "upload": action } }] }), 404),
        ("an error that is none", json!({ "objects": [{ "oid": kept, "error": { "code": 200, "message": "x" } }] }), 502),
        ("gone", json!({ "objects": [{ "oid": kept, "error": { "code": 410, "message": world.hub.lfs.key } }] }), 410),
        (
            "a field that is none",
            json!({ "objects": [{ "oid": kept, "actions": { "download": { "href": "https://s.test/x", "header": { "a b": "c" } } } }] }),
            502,
        ),
        (
            "a field with a line end",
            json!({ "objects": [{ "oid": kept, "actions": { "download": { "href": "https://s.test/x", "header": { "a": "b\r\nc: d" } } } }] }),
            502,
        ),
    ] {
        assert_eq!(said(&ask(answered))["objects"][0]["error"]["code"], code, "{what}");
    }
    for (what, answered) in [
        ("no object", json!([])),
        ("no objects", json!({})),
        ("another way", json!({ "transfer": "ssh", "objects": [good] })),
        ("another hash", json!({ "hash_algo": "sha512", "objects": [good] })),
        ("more than is read", json!({ "objects": [good], "x": "x".repeat(5 << 20) })),
        ("depth", (0..200).fold(json!(0), |inner, _| json!([inner]))),
    ] {
        let reply = ask(answered);
        assert_eq!(reply.verdict(), (502, "upstream_closed"), "{what}: {}", reply.text());
    }
    world.finish();
}

#[test]
fn l_6_l_7_requests_are_read_strictly() {
    let world = world();
    let oid = "a".repeat(64);
    let many: Vec<_> = (0..1001).map(|number| (format!("{number:064x}"), 5)).collect();
    let many: Vec<_> = many.iter().map(|(oid, size)| (oid.as_str(), *size)).collect();
    let upper = "A".repeat(64);
    let hash = |name: &str| json!({ "operation": "download", "objects": [{ "oid": oid, "size": 1 }], "hash_algo": name }).to_string();
    for (what, body) in [
        ("nothing", Vec::new()),
        ("no JSON", b"x".to_vec()),
        ("two", [asked("download", &[(&oid, 1)], None), b"{}".to_vec()].concat()),
        (
            "a key twice",
            format!("{{\"operation\":\"download\",\"operation\":\"upload\",\"objects\":[{{\"oid\":\"{oid}\",\"size\":1}}]}}").into(),
        ),
        ("an operation", asked("delete", &[(&oid, 1)], None)),
        ("no objects", asked("download", &[], None)),
        ("L-7: more than a thousand", asked("download", &many, None)),
        ("upper case", asked("download", &[(&upper, 1)], None)),
        ("short", asked("download", &[("aa", 1)], None)),
        ("nothing by the name of something", asked("download", &[(&oid, 0)], None)),
        ("two sizes", asked("download", &[(&oid, 1), (&oid, 2)], None)),
        ("a size below zero", format!("{{\"operation\":\"download\",\"objects\":[{{\"oid\":\"{oid}\",\"size\":-1}}]}}").into()),
        ("too large", asked("download", &[(&oid, 1 << 41)], None)),
        ("another hash", hash("sha512").into()),
    ] {
        let reply = world.ask_as("POST", BATCH, &[TYPE], &body);
        assert_eq!(reply.verdict(), (400, "bad_request"), "{what}: {}", reply.text());
        said(&reply);
    }
    let without = json!({ "operation": "download", "transfers": ["ssh"], "objects": [{ "oid": oid, "size": 1 }] }).to_string();
    assert!(assert_refused(&world.ask_as("POST", BATCH, &[TYPE], without.as_bytes()), 400, "bad_request").contains("basic"));
    let good = asked("download", &[(&oid, 1)], None);
    assert_refused(&world.ask_as("POST", BATCH, &["Content-Type: application/json"], &good), 400, "bad_request");
    assert_refused(&world.ask_as("POST", BATCH, &[TYPE, "Content-Encoding: gzip"], &good), 400, "bad_request");
    let long = [vec![b' '; 1 << 20], good.clone()].concat();
    assert_refused(&world.ask_as("POST", BATCH, &[TYPE], &long), 413, "body_too_large");
    for (method, target, status) in [
        ("GET", BATCH, 403),
        ("POST", "/git/octo/spoon/info/lfs/objects", 404),
        ("GET", "/git/octo/spoon/info/lfs/objects/aa", 404),
        ("POST", "/git/octo/spoon/info/lfs/locks/../x/unlock", 400),
        ("POST", "/git/octo/spoon/info/lfs/locks/a/b/unlock", 404),
        ("POST", "/git/octo/spoon/info/lfs/objects/batch?x", 400),
        ("GET", "/git/octo/spoon/info/lfs/locks?path=a&path=b", 400),
        ("GET", "/git/octo/spoon/info/lfs/locks?x=a", 400),
        ("GET", "/git/octo/spoon/info/lfs/locks?path=%ff", 400),
    ] {
        let reply = world.ask_as(method, target, &[TYPE], b"{}");
        assert_eq!(reply.status, status, "{method} {target}: {reply:?}");
        said(&reply);
    }
    world.hub.assert_untouched("nothing that means anything");
    world.finish();
}

#[test]
fn l_9_who_is_nobody_is_told_how_to_be_somebody() {
    let world = world();
    let reply = world.ask(request("POST", BATCH, &[TYPE], &asked("download", &[(&"a".repeat(64), 1)], None)));
    assert_eq!(reply.verdict(), (401, "session_required"), "{reply:?}");
    for name in ["www-authenticate", "lfs-authenticate"] {
        assert!(reply.header(name).is_some_and(|value| value.starts_with("Basic ")), "{name}: {reply:?}");
    }
    said(&reply);
    world.finish();
}

/// git-lfs adds such a header to what it is told to send, so that it comes twice.
#[test]
fn l_9_g_18_a_token_in_a_header_of_the_client_s_own() {
    let world = world();
    let header = format!("Authorization: Bearer {}", world.token);
    world.sandbox.git_ok(".", &["config", "--global", "http.extraHeader", &header]);
    let content = with_object(&world, &world.bare_url("octo/spoon"), 50_000);
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert!(world.hub.lfs.objects().contains_key(&oid(&content)));
    world.finish();
}

#[test]
fn l_5_locks() {
    let grants = GRANTS.replace("push = ", "grants = [\"lfs.locks\"]\npush = ");
    let granted = World::of(&Plan { grants: Box::leak(grants.into_boxed_str()), ..plan() });
    for (world, may) in [(granted, true), (world(), false)] {
        with_object(&world, &world.url("octo/spoon"), 1000);
        let done = world.sandbox.git("clone", &["lfs", "lock", "large.bin"]);
        assert_eq!((done.code == Some(0), world.hub.lfs.locks().len()), (may, usize::from(may)), "{done:?}");
        if !may {
            assert!(done.err.contains("lfs.locks"), "{done:?}");
            world.assert_denied("lfs", "api_not_allowed");
            world.finish();
            continue;
        }
        let again = world.sandbox.git("clone", &["lfs", "lock", "large.bin"]);
        assert!(again.code != Some(0), "{again:?}");
        let listed = world.sandbox.git_ok("clone", &["lfs", "locks"]);
        assert!(listed.out.contains("large.bin") && listed.out.contains("Octo"), "{listed:?}");
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_eq!(world.hub.seen_at("/locks/verify").len(), 1);
        let forced = world.ask_as("POST", "/git/octo/spoon/info/lfs/locks/lock-1/unlock", &[TYPE], b"{\"force\":true}");
        assert!(assert_refused(&forced, 403, "api_not_allowed").contains("lfs.locks.force"));
        world.sandbox.git_ok("clone", &["lfs", "unlock", "large.bin"]);
        assert!(world.hub.lfs.locks().is_empty());
        world.finish();
    }
}

#[test]
fn l_7_l_10_an_upstream_in_a_bad_mood() {
    let world = world();
    let name = world.hub.lfs.put("hello");
    let ask = || world.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, 5)], None));
    for (status, header, expected) in [
        (301, ("location", "https://evil.test/octo/other"), (403, "repository_not_granted")),
        (308, ("location", "/octo/secret/info/lfs/objects/batch"), (403, "repository_not_granted")),
        (401, ("x", "y"), (503, "credential_unavailable")),
        (404, ("x", "y"), (404, "credential_unavailable")),
        (413, ("retry-after", "7"), (413, "upstream_closed")),
        (429, ("retry-after", "7"), (429, "upstream_closed")),
        (503, ("retry-after", "7"), (503, "upstream_closed")),
        (507, ("x", "y"), (507, "upstream_closed")),
        (500, ("x", "y"), (502, "upstream_closed")),
    ] {
        world.hub.set(When::Post, Answer::Reply(status, vec![(header.0, header.1.to_owned())], b"{\"message\":\"<html>\"}".to_vec()));
        let reply = ask();
        assert_eq!(reply.verdict(), expected, "{status}: {}", reply.text());
        assert_eq!(reply.header("retry-after"), (header.0 == "retry-after").then_some("7"), "{reply:?}");
        assert!(!said(&reply).to_string().contains("<html>") && reply.header("location").is_none(), "{reply:?}");
    }
    world.hub.set(When::Post, Answer::Echo);
    assert_eq!(ask().reason(), "credential_unavailable");
    world.hub.calm();
    let down = link(&ask(), "download");
    for (status, expected) in [(302, 502), (403, 403), (404, 404), (429, 429), (500, 502), (206, 502)] {
        let fields = vec![("location", "https://evil.test/".to_owned()), ("retry-after", "9".to_owned())];
        world.hub.lfs.set(Quirk::Status(status, fields));
        let reply = world.ask_as("GET", &down, &[], b"");
        assert_eq!((reply.status, reply.reason()), (expected, "upstream_closed"), "{status}: {reply:?}");
        assert!(reply.header("location").is_none() && said(&reply)["message"].is_string(), "{reply:?}");
        world.hub.lfs.calm();
    }
    world.finish();
}

#[test]
fn public_reads_and_repositories_on_disk() {
    let public = World::of(&Plan { github: "public_read = true", guarded: false, ..plan() });
    let name = public.hub.lfs.put("hello");
    let target = "/git/octo/secret/info/lfs/objects/batch";
    let reply = public.ask_as("POST", target, &[TYPE], &asked("download", &[(&name, 5)], None));
    assert_eq!(public.ask_as("GET", &link(&reply, "download"), &[], b"").text(), "hello");
    assert_refused(&public.ask_as("POST", target, &[TYPE], &asked("upload", &[(&name, 5)], None)), 403, "repository_not_granted");
    assert!(public.hub.seen_at("/objects/batch").iter().all(|seen| seen.header("authorization").is_none()));
    public.finish();
    let disk = World::granting("[[session.repository]]\nname = \"octo/spoon\"\nupstream_path = \"{HUB}/octo/spoon.git\"");
    let reply = disk.ask_as("POST", BATCH, &[TYPE], &asked("download", &[(&name, 5)], None));
    assert!(assert_refused(&reply, 404, "path_not_allowed").contains("disk"));
    disk.hub.assert_untouched("it is on the disk");
    disk.finish();
}

#[test]
fn l_8_another_server_of_lfs_is_a_matter_of_policy() {
    let world = world().behind_the_proxy();
    with_object(&world, "https://github.test/octo/spoon", 1000);
    world.sandbox.git_ok("clone", &["config", "-f", ".lfsconfig", "lfs.url", "https://elsewhere.test/octo/spoon"]);
    let done = world.push(&["origin", "agent/fix-1"]);
    assert_ne!(done.code, Some(0), "{done:?}");
    let record = world.gate().wait_for_record(|record| record["host"] == "elsewhere.test");
    assert_eq!((&record["kind"], &record["reason"]), (&"connect".into(), &"network_disabled".into()), "{record:#}");
    assert_eq!((world.hub.seen_at("/objects/batch").len(), world.pushes().len()), (0, 0));
    world.finish();
}

#[test]
fn a_session_that_may_send_no_more_sends_no_object() {
    let policy = "access = \"none\"\n[addresses]\nallow = [\"127.0.0.1/32\"]\n[limits]\nupload_budget = 100000";
    let world = World::of(&Plan { policy, ..Plan::default() });
    let content = noise(200_000);
    let batch = world.ask_as("POST", BATCH, &[TYPE], &asked("upload", &[(&oid(&content), content.len())], Some(MINE)));
    let reply = put(&world, &link(&batch, "upload"), content.len(), &content);
    assert_refused(&reply, 403, "budget_exhausted");
    assert!(world.hub.lfs.objects().is_empty() && world.hub.lfs.seen().iter().all(|seen| seen.length <= 100_000));
    world.finish();
}

/// The most memory that a process has held so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn an_object_of_64_megabytes_there_and_back_in_little_memory() {
    let world = World::of(&Plan { log: "info", ..plan() });
    let content = with_object(&world, &world.url("octo/spoon"), 64 << 20);
    world.push(&["--quiet", "origin", "agent/fix-1"]).assert(0, &[]);
    assert_eq!(world.hub.lfs.objects().get(&oid(&content)).map(bytes::Bytes::len), Some(64 << 20));
    fs::remove_dir_all(world.sandbox.path("clone")).unwrap();
    world.sandbox.git_ok(".", &["clone", "--quiet", "--branch", "agent/fix-1", &world.url("octo/spoon"), "copy"]);
    assert_eq!(oid(&fs::read(world.sandbox.path("copy/large.bin")).unwrap()), oid(&content));
    let peak = peak(world.gate().pid());
    assert!(peak < 64 * 1024, "{peak} KiB");
    world.finish();
}
