//! GitHub behind a parent proxy, which is asked for it as for everything else upstream.

use crate::harness::{
    Hub, Plan, Wire, World,
    bytes::basic,
    hub::random,
    tidegate::{Setup, Tidegate},
};

const DISCOVERY: &str = "/git/octo/spoon/info/refs?service=git-upload-pack";

fn parent_of(hub: &Hub, password: &str) -> Tidegate {
    let authority = hub.url().split_once("://").expect("a URL").1.to_owned();
    let over = if hub.url().starts_with("https") { "" } else { ", http = true" };
    let policy = format!("allow = [{{ host = \"{authority}\"{over} }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]");
    Setup::new(policy).listen("require_session = true").session("child", password, "").start()
}

fn plan(hub: &Hub, wire: Wire, parent: &str) -> Plan {
    let upstream = format!("proxy = \"http://{parent}\"");
    Plan { wire, guarded: false, git_url: Some(hub.url()), upstream, ..Plan::default() }
}

#[test]
fn clone_and_push_go_through_a_parent_proxy() {
    for (wire, kind) in [(Wire::Plain, "http"), (Wire::Tls, "connect"), (Wire::Http2, "connect")] {
        let hub = Hub::start(wire, None);
        let password = random();
        let parent = parent_of(&hub, &password);
        let world = World::of(&plan(&hub, wire, &format!("child:{password}@{}", parent.proxy()))).cloned(&["agent/fix-1"]);
        world.push(&["origin", "agent/fix-1"]).assert(0, &["[new branch]"]);
        assert_eq!(hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
        let records = parent.records();
        let through = |record: &serde_json::Value| record["kind"] == kind && record["session"] == "child" && record["verdict"] == "allow";
        assert!(!records.is_empty() && records.iter().all(through), "{wire:?}: {records:?}");
        let shown = basic("child", &password);
        for seen in hub.seen() {
            assert!(seen.headers.iter().all(|(name, _)| name != "proxy-authorization"), "{seen:?}");
        }
        for text in [world.gate().stderr(), world.gate().audit_text(), world.gate().metrics()] {
            assert!(!text.contains(&password) && !text.contains(shown.rsplit(' ').next().unwrap_or_default()), "{text}");
        }
        world.finish();
    }
}

#[test]
fn a_parent_proxy_that_refuses_is_told_in_git_s_own_words() {
    for (wire, kind) in [(Wire::Plain, "http"), (Wire::Tls, "connect")] {
        let hub = Hub::start(wire, None);
        let parent = parent_of(&hub, &random());
        let world = World::of(&plan(&hub, wire, &format!("child:{}@{}", random(), parent.proxy())));
        let reply = world.ask_as("GET", DISCOVERY, &[], b"");
        assert_eq!(reply.verdict(), (502, "connect_failed"), "{reply:?}");
        assert!(reply.text().contains(&format!("The parent proxy {} refuses its credentials.", parent.proxy())), "{}", reply.text());
        assert_eq!(reply.header("proxy-authenticate"), None);
        parent.wait_for_record(|record| record["kind"] == kind && record["verdict"] == "deny");
        hub.assert_untouched("a parent that refuses");
        world.finish();
    }
}
