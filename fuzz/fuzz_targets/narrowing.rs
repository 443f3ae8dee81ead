//! A token that a sandbox asks for, whatever it says, pushes and reads nothing that its session does not; and what passes the check is
//! all there afterwards.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::{
    github::{Service, push::RefName},
    policy::{
        ChangeKind, DefaultBranch, RefChange, decide_push, decide_repository,
        grant::{Grant, Purpose},
        narrowing::{MAX_NARROWING, Narrowing},
    },
};

static SESSION: LazyLock<Grant> = LazyLock::new(|| {
    let text = r#"[{"name":"octo/spoon","access":"write","bases":["main"],"grants":["pull_requests"],"tags":["v*"],
        "push":["refs/heads/fix-1",{"ref":"refs/heads/agent/**","delete":true},{"ref":"refs/heads/agent/old","force":false}]},
        {"name":"octo/fork","grants":["wiki.read"]}]"#;
    serde_json::from_str(text).expect("a grant")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(wish) = Narrowing::parse(bytes) else { return };
    assert!(bytes.len() <= MAX_NARROWING);
    let session = &*SESSION;
    let narrowed = session.narrowed(wish.repositories.as_ref(), wish.only);
    if let (Ok(()), Some(own)) = (wish.check(session), &wish.repositories) {
        assert_eq!(narrowed.repositories().len(), own.repositories().len());
    }
    for granted in narrowed.repositories() {
        let name = &granted.name;
        let whole = session.find(name).expect("what the session has");
        assert!(granted.access <= whole.access);
        assert!(granted.bases.iter().all(|base| whole.bases.contains(base)));
        for service in [Service::UploadPack, Service::ReceivePack] {
            if decide_repository(&narrowed, name, service, false).is_ok() {
                assert!(decide_repository(session, name, service, false).is_ok() && wish.only.has(Purpose::Git));
            }
        }
        let spelled = granted.push.iter().map(|entry| entry.refs.as_str().replace("**", "x/y").replace('*', "x"));
        for reference in spelled.chain(["refs/heads/agent/old".to_owned(), "refs/heads/main".to_owned()]) {
            let Ok(reference) = RefName::parse(reference.as_bytes()) else { continue };
            for kind in [ChangeKind::Create, ChangeKind::Update, ChangeKind::Force, ChangeKind::Delete] {
                let change = [RefChange { name: reference.clone(), kind }];
                if decide_push(&narrowed, name, &change, &DefaultBranch::Unknown).is_ok() {
                    assert!(decide_push(session, name, &change, &DefaultBranch::Unknown).is_ok());
                }
            }
        }
    }
});
