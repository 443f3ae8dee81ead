use super::*;
use crate::{
    github::lfs::{Handle, LockId},
    policy::{Access as Level, Own},
};

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn grant() -> Grant {
    let written = r#"[
        {"name":"octo/spoon","access":"write","push":["refs/heads/agent/*"],"update":false,"grants":["lfs.locks"]},
        {"name":"octo/moved","access":"write","push":["refs/heads/agent"],"create":false,"grants":["lfs.locks.force"]},
        {"name":"octo/idle","access":"write"},
        {"name":"octo/fork"}
    ]"#;
    serde_json::from_str(written).unwrap()
}

#[test]
fn l_2_an_upload_takes_a_ref_that_may_be_pushed() {
    let upload = |reference: Option<&str>| LfsAct::Upload(reference.map(|name| RefName::parse(name.as_bytes()).unwrap()));
    for (repository, act, public_read, expected) in [
        ("octo/spoon", LfsAct::Read, false, Ok(None)),
        ("octo/fork", LfsAct::Read, false, Ok(None)),
        ("octo/knife", LfsAct::Read, false, Err(Reason::RepositoryNotGranted)),
        ("octo/knife", LfsAct::Read, true, Ok(None)),
        ("octo/knife", upload(None), true, Err(Reason::RepositoryNotGranted)),
        ("octo/spoon", upload(None), false, Ok(None)),
        ("octo/spoon", upload(Some("refs/heads/agent/x")), false, Ok(Some(ChangeKind::Create))),
        ("octo/moved", upload(Some("refs/heads/agent")), false, Ok(Some(ChangeKind::Update))),
        ("octo/spoon", upload(Some("refs/heads/main")), false, Err(Reason::RefNotGranted)),
        ("octo/idle", upload(None), false, Err(Reason::RefNotGranted)),
        ("octo/fork", upload(None), false, Err(Reason::ReadOnly)),
        ("octo/spoon", LfsAct::VerifyLocks, false, Ok(None)),
        ("octo/fork", LfsAct::VerifyLocks, false, Err(Reason::ReadOnly)),
        ("octo/spoon", LfsAct::ChangeLocks, false, Ok(None)),
        ("octo/spoon", LfsAct::ForceLocks, false, Err(Reason::ApiNotAllowed)),
        ("octo/moved", LfsAct::ForceLocks, false, Ok(None)),
        ("octo/moved", LfsAct::ChangeLocks, false, Err(Reason::ApiNotAllowed)),
        ("octo/fork", LfsAct::ChangeLocks, false, Err(Reason::ReadOnly)),
    ] {
        let decided = decide_lfs(&grant(), &name(repository), &act, public_read);
        let shown = decided.map(|permit| permit.changes().first().map(|change| change.kind)).map_err(|denial| denial.reason);
        assert_eq!(shown, expected, "{repository} {act:?}");
    }
    let denial = decide_lfs(&grant(), &name("octo/moved"), &LfsAct::ChangeLocks, false).unwrap_err();
    assert_eq!(denial.allow_with.as_deref(), Some("grants = [\"lfs.locks\"]"));
}

#[test]
fn the_least_that_a_request_takes() {
    let (handle, lock) = (Handle::new([0; 32]), LockId::parse("1").unwrap());
    for (call, act) in [
        (Call::Batch, LfsAct::Read),
        (Call::Transfer(handle), LfsAct::Read),
        (Call::VerifyLocks, LfsAct::VerifyLocks),
        (Call::Unlock(lock), LfsAct::ChangeLocks),
    ] {
        assert_eq!(LfsAct::at_least(call), act);
    }
}

#[test]
fn storage_takes_no_list_and_is_held_to_what_is_refused() {
    let text = "access = \"none\"\ndeny = [\"*.denied.test\"]\n[addresses]\nallow = [\"10.1.0.0/16\", \"127.0.0.1/32\"]";
    let policy = Policy::parse("policy", text).unwrap().0;
    assert_eq!(policy.access(), Level::None);
    let permit = decide_lfs(&grant(), &name("octo/fork"), &LfsAct::Read, false).unwrap();
    let decide = |authority: &str, answer: &str| {
        let href = Href::parse(&format!("https://{authority}/x")).unwrap();
        let permit = policy.decide_storage(&permit, &href, SystemTime::UNIX_EPOCH).map_err(|denial| denial.reason)?;
        permit.admit(&[answer.parse().unwrap()], &Own::default()).map(drop).map_err(|denial| denial.reason)
    };
    for (authority, answer, expected) in [
        ("storage.test:443", "198.51.99.1", Ok(())),
        ("storage.test:8443", "10.1.2.3", Ok(())),
        ("storage.test:443", "10.2.2.3", Err(Reason::AddressNotAllowed)),
        ("storage.test:443", "169.254.169.254", Err(Reason::AddressNotAllowed)),
        ("a.denied.test:443", "198.51.99.1", Err(Reason::HostDenied)),
        ("10.1.2.3:443", "10.1.2.3", Ok(())),
        ("127.0.0.1:443", "127.0.0.1", Ok(())),
        ("127.0.0.2:443", "127.0.0.2", Err(Reason::AddressNotAllowed)),
        ("10.2.2.3:443", "10.2.2.3", Err(Reason::AddressNotAllowed)),
        ("198.51.99.1:443", "198.51.99.1", Err(Reason::AddressNotAllowed)),
        ("localhost:443", "127.0.0.1", Err(Reason::AddressNotAllowed)),
    ] {
        assert_eq!(decide(authority, answer), expected, "{authority} {answer}");
    }
}
