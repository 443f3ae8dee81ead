//! That the search for secrets finds them, in every place and every form; and that a world without the gate's care would be caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::{
    Hub, Leaks, Sandbox, Wire, World,
    bytes::{basic, request},
    client::ask,
    hub::certs,
    hub::random,
    sandbox::Heard,
};

#[test]
fn every_form_of_a_secret_is_found() {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let secret = format!("ghs_{}", random());
    let leaks = Leaks::of(&secret);
    for before in ["", "x", "x:", "x-access-token:"] {
        for after in ["", "\n", " and more"] {
            let whole = format!("{before}{secret}{after}");
            assert_eq!(leaks.find(whole.as_bytes()), Some("plain"));
            let encoded = format!("Basic {}", BASE64_STANDARD.encode(&whole));
            assert_eq!(leaks.find(encoded.as_bytes()), Some("base64"), "{whole} as {encoded}");
        }
    }
    let each = |form: fn(u8) -> String| secret.bytes().map(form).collect::<Vec<_>>().concat();
    let hexadecimal = each(|byte| format!("{byte:02x}"));
    assert_eq!(leaks.find(hexadecimal.as_bytes()), Some("hexadecimal"));
    assert_eq!(leaks.find(format!("{:?}", secret.as_bytes()).as_bytes()), Some("numbers"));
    let percent = each(|byte| format!("%{byte:02X}"));
    assert_eq!(leaks.find(percent.as_bytes()), Some("percent-encoded"));
    assert_eq!(leaks.find(&secret.as_bytes()[1..]), None);
    assert_eq!(leaks.find(random().as_bytes()), None);
}

/// Without the gate: real git straight at the upstream. The upstream works, and what it saw holds the credential that was shown.
#[test]
fn the_upstream_alone_serves_git_and_sees_the_credential() {
    for wire in [Wire::Plain, Wire::Tls, Wire::Http2] {
        let real = format!("ghs_{}", random());
        let hub = Hub::start(wire, Some(&real));
        let sandbox = Sandbox::new(&Heard::default());
        let url = hub.url().replacen("://", &format!("://x-access-token:{real}@"), 1) + "/octo/spoon";
        sandbox.git_ok(".", &["config", "--global", "http.sslCAInfo", &certs().join("ca.pem").display().to_string()]);
        sandbox.cloned(&url, &["agent/fix-1"]);
        sandbox.git_ok("clone", &["push", "--quiet", "origin", "agent/fix-1"]);
        assert_eq!(hub.refs("octo/spoon")["refs/heads/agent/fix-1"], sandbox.id("agent/fix-1"));
        let seen = hub.seen_at("/octo/spoon/git-receive-pack");
        assert!(!seen.is_empty() && seen.iter().all(|seen| seen.whole), "{seen:#?}");
        let everything = format!("{:?}", hub.seen());
        assert_eq!(Leaks::of(&real).find(everything.as_bytes()), Some("base64"));
        let found = sandbox.files().iter().any(|(_, bytes)| Leaks::of(&real).find(bytes).is_some());
        assert!(found, "the clone's configuration holds it");
    }
}

/// What a world says at its end.
fn end_of(world: World) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| world.finish())).map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn a_world_that_leaks_does_not_end_well() {
    assert_eq!(end_of(World::new()), Ok(()));
    let world = World::new();
    std::fs::write(world.sandbox.path("note"), format!("user:{}", world.real)).unwrap();
    let said = end_of(world).unwrap_err();
    assert!(said.contains("a secret (plain) got into") && said.contains("note"), "{said}");
    let world = World::new();
    let url = format!("http://hub/{}", world.real);
    world.sandbox.run_program("git", &["rev-parse", "--sq-quote", &url]);
    assert!(end_of(world).unwrap_err().contains("got into stdout of git"));
    let world = World::new();
    let authorization = basic("x", &world.token);
    ask(address_of(&world), request("GET", "/octo/spoon/info/refs?service=git-upload-pack", &[&authorization], b""));
    assert!(end_of(world).unwrap_err().contains("a secret (base64) got into a request upstream"));
    let world = World::new();
    ask(address_of(&world), request("GET", "/octo/spoon/HEAD", &["Cookie: a=b"], b""));
    assert!(end_of(world).unwrap_err().contains("[\"cookie\"] went upstream"));
}

fn address_of(world: &World) -> std::net::SocketAddr {
    world.hub.url().strip_prefix("http://").unwrap().parse().unwrap()
}
