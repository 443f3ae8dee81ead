use std::time::Duration;

use super::*;
use crate::destination::Destination;

const ALICE: &str = "alice-token-alice-token-alice-token";
const BOB: &str = "bob-token-bob-token-bob-token-bob-to";

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400)
}

fn policy(text: &str) -> Arc<Policy> {
    Arc::new(Policy::parse("policy.toml", text).unwrap().0)
}

fn settings(id: &str, token: Option<&str>) -> SessionSettings {
    SessionSettings { id: id.into(), token: token.map(Secret::new), expires: None, policy: policy("") }
}

fn required(settings: Vec<SessionSettings>) -> Sessions {
    Sessions::new(Entry::Required, settings).unwrap()
}

fn identify(sessions: &Sessions, token: Option<&str>) -> Result<String, Reason> {
    sessions.identify(token.map(Secret::new).as_ref(), noon()).map(|session| session.id().to_string())
}

fn refusal(host: &str) -> Refusal {
    let denial = Denial::new(Reason::HostNotAllowed, "detail").of(&Destination::parse(host.as_bytes(), Some(443)).unwrap());
    Refusal::new(&denial, noon())
}

#[test]
fn a_token_finds_its_session() {
    let sessions = required(vec![settings("alice", Some(ALICE)), settings("bob", Some(BOB)), settings("inner", None)]);
    assert_eq!(identify(&sessions, Some(ALICE)), Ok("alice".into()));
    assert_eq!(identify(&sessions, Some(BOB)), Ok("bob".into()));
    assert_eq!(identify(&sessions, None), Err(Reason::SessionRequired));
    assert_eq!(identify(&sessions, Some("")), Err(Reason::SessionUnknown));
    assert_eq!(identify(&sessions, Some(&ALICE[..ALICE.len() - 1])), Err(Reason::SessionUnknown));
    assert_eq!(identify(&sessions, Some(&format!("{ALICE}x"))), Err(Reason::SessionUnknown));
    assert_eq!(sessions.list().len(), 3);
}

#[test]
fn a_bound_entry_looks_at_no_token() {
    for id in ["s1", ANONYMOUS] {
        let sessions = Sessions::new(Entry::Bound(id.into()), vec![settings(id, None)]).unwrap();
        assert_eq!(identify(&sessions, None), Ok(id.into()));
        assert_eq!(identify(&sessions, Some("whatever")), Ok(id.into()));
    }
}

#[test]
fn a_session_ends_at_its_expiry() {
    let expiring = || SessionSettings { expires: Some(noon()), ..settings("alice", Some(ALICE)) };
    let before = noon() - Duration::from_micros(1);
    let token = Secret::new(ALICE);
    for entry in [Entry::Required, Entry::Bound("alice".into())] {
        let sessions = Sessions::new(entry, vec![expiring()]).unwrap();
        let session = sessions.identify(Some(&token), before).unwrap();
        assert_eq!(sessions.identify(Some(&token), noon()).unwrap_err(), Reason::SessionExpired);
        assert_eq!((session.standing(before), session.standing(noon())), (Ok(()), Err(Reason::SessionExpired)));
    }
}

#[test]
fn settings_that_cannot_hold_are_errors() {
    let error = |entry, settings| Sessions::new(entry, settings).map(|_| ()).unwrap_err();
    assert_eq!(error(Entry::Required, vec![settings("a", None), settings("a", Some(ALICE))]), SessionsError::DuplicateId("a".into()));
    assert_eq!(
        error(Entry::Required, vec![settings("a", Some(ALICE)), settings("b", Some(ALICE))]),
        SessionsError::SharedToken("a".into(), "b".into())
    );
    assert_eq!(error(Entry::Required, vec![settings("a", Some(&ALICE[..31]))]), SessionsError::ShortToken("a".into()));
    let unknown = error(Entry::Bound("b".into()), vec![settings("a", None)]);
    assert_eq!(unknown.to_string(), "listen.session names a session that does not exist: \"b\"");
}

#[test]
fn a_reload_replaces_policies_and_keeps_what_is_counted() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let watched = sessions.generation();
    let session = sessions.identify(Some(&Secret::new(ALICE)), noon()).unwrap();
    let slot = session.limits().tunnel().unwrap();
    session.remember(refusal("a.example"));
    assert_eq!((session.governing().generation, *watched.borrow()), (1, 1));

    let stricter = policy("[limits]\ntunnels = 1");
    let reloaded = sessions.apply(vec![SessionSettings { policy: stricter.clone(), ..settings("alice", Some(BOB)) }]);
    assert_eq!(reloaded, Ok(2));
    assert!(watched.has_changed().unwrap());
    let same = sessions.identify(Some(&Secret::new(BOB)), noon()).unwrap();
    assert!(Arc::ptr_eq(&same, &session));
    assert!(Arc::ptr_eq(&session.governing().policy, &stricter));
    assert_eq!((session.governing().generation, session.refusals().len()), (2, 1));
    assert_eq!(session.limits().tunnel().unwrap_err().reason(), Reason::TooManyTunnels);
    drop(slot);
    assert!(session.limits().tunnel().is_ok());
    assert_eq!(identify(&sessions, Some(ALICE)), Err(Reason::SessionRevoked));
}

#[test]
fn a_session_that_vanished_is_revoked() {
    let sessions = required(vec![settings("alice", Some(ALICE)), settings("bob", Some(BOB))]);
    let alice = sessions.identify(Some(&Secret::new(ALICE)), noon()).unwrap();
    sessions.apply(vec![settings("bob", Some(BOB))]).unwrap();
    assert_eq!(alice.standing(noon()), Err(Reason::SessionRevoked));
    assert_eq!(identify(&sessions, Some(ALICE)), Err(Reason::SessionRevoked));
    assert_eq!(identify(&sessions, Some(BOB)), Ok("bob".into()));

    sessions.apply(vec![settings("alice", Some(ALICE))]).unwrap();
    assert_eq!(identify(&sessions, Some(ALICE)), Ok("alice".into()));
    assert_eq!(alice.standing(noon()), Err(Reason::SessionRevoked), "a new session of the same id is another one");
    assert_eq!(identify(&sessions, Some(BOB)), Err(Reason::SessionRevoked));
}

#[test]
fn a_failed_reload_changes_nothing() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let session = sessions.identify(Some(&Secret::new(ALICE)), noon()).unwrap();
    let policy = session.governing().policy.clone();
    sessions.apply(vec![settings("alice", Some(BOB)), settings("bob", Some(BOB))]).unwrap_err();
    assert_eq!(identify(&sessions, Some(ALICE)), Ok("alice".into()));
    assert_eq!((session.governing().generation, *sessions.generation().borrow()), (1, 1));
    assert!(Arc::ptr_eq(&session.governing().policy, &policy));
}

#[test]
fn the_latest_hundred_refusals_are_kept() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let session = sessions.identify(Some(&Secret::new(ALICE)), noon()).unwrap();
    for number in 0..=MAX_REFUSALS {
        session.remember(refusal(&format!("host-{number}.example")));
    }
    let hosts: Vec<_> = session.refusals().iter().map(|refusal| refusal.host.as_ref().unwrap().to_string()).collect();
    assert_eq!(hosts, (1..=MAX_REFUSALS).rev().map(|number| format!("host-{number}.example")).collect::<Vec<_>>());
}

#[test]
fn a_refused_request_is_remembered_without_its_query() {
    let refusal = refusal("a.example").requesting("GET", Some("/path?token=1"));
    assert_eq!((refusal.method.as_deref(), refusal.path.as_deref()), (Some("GET"), Some("/path")));
}

#[test]
fn debug_shows_no_token() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let session = sessions.identify(Some(&Secret::new(ALICE)), noon()).unwrap();
    assert_eq!(format!("{session:?}"), "Session { id: \"alice\", .. }");
}
