//! What is asked for and granted, as it is kept and as it counts.

use super::*;
use crate::policy::asking::{Asking, Wish, Words};

fn asking(text: &str) -> Asking {
    Asking::parse(text.as_bytes()).unwrap()
}

fn host() -> Asking {
    asking(r#"{"host": "a.example", "why": "for its documentation"}"#)
}

fn spoon() -> Asking {
    asking(r#"{"repository": "octo/spoon", "ref": "refs/heads/x"}"#)
}

fn verdict(grants: bool) -> Verdict {
    Verdict { grants, word: Some(Words::of("so it is").unwrap()) }
}

fn granted(session: &Session) -> String {
    serde_json::to_string(&session.governing().grant).unwrap()
}

#[test]
fn what_is_granted_counts_at_once_and_for_every_start_to_come() {
    let ground = Ground::new();
    let configured = || vec![settings("configured", None)];
    let mut sessions = ground.start(configured());
    sessions.create(draft("made"), noon()).unwrap();
    for id in ["configured", "made"] {
        let session = sessions.find(id).unwrap();
        assert_eq!(sessions.ask(&session, host(), noon()).unwrap().number, 1);
        assert_eq!(sessions.ask(&session, host(), noon()).unwrap().number, 1, "the same again");
        assert_eq!(sessions.ask(&session, spoon(), noon()).unwrap().number, 2);
        assert!(!may_reach(&session, "a.example") && granted(&session) == "[]", "asked for and not granted");
        let mut watched = sessions.generation();
        watched.mark_unchanged();
        for number in [1, 2] {
            let (_, request) = sessions.decide(id, number, None, verdict(true), noon()).unwrap();
            assert_eq!((request.state, request.word.unwrap().as_str()), (State::Granted, "so it is"));
        }
        assert!(watched.has_changed().unwrap(), "what is open is judged anew");
    }
    for _ in 0..2 {
        for id in ["configured", "made"] {
            let session = sessions.find(id).unwrap();
            assert!(may_reach(&session, "a.example") && !may_reach(&session, "b.example"), "{id}");
            assert!(granted(&session).contains("refs/heads/x"), "{id}");
            assert_eq!(session.governing().requests.all().len(), 2);
        }
        sessions.apply(Settings { sessions: configured(), policy: Some(policy("")), patience: Duration::ZERO, first: None }).unwrap();
        for id in ["configured", "made"] {
            assert!(may_reach(&sessions.find(id).unwrap(), "a.example"), "a reload keeps it: {id}");
        }
        sessions = ground.start(configured());
    }
    for id in ["configured", "made"] {
        sessions.decide(id, 1, None, verdict(false), noon()).unwrap();
        let session = sessions.find(id).unwrap();
        assert!(!may_reach(&session, "a.example") && granted(&session).contains("octo/spoon"), "taken back");
        assert!(!may_reach(&ground.start(configured()).find(id).unwrap(), "a.example"), "for good");
    }
}

#[test]
fn nobody_asks_or_is_granted_in_the_place_of_another() {
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("a", None), settings("b", None)]);
    let (a, b) = (sessions.find("a").unwrap(), sessions.find("b").unwrap());
    sessions.ask(&a, host(), noon()).unwrap();
    assert!(b.governing().requests.all().is_empty());
    assert!(matches!(sessions.decide("b", 1, None, verdict(true), noon()), Err(ChangeError::NoRequest(1))));
    assert!(matches!(sessions.decide("c", 1, None, verdict(true), noon()), Err(ChangeError::Unknown(_))));
    let other: Wish = spoon().wish;
    assert!(matches!(sessions.decide("a", 1, Some(&other), verdict(true), noon()), Err(ChangeError::OtherWish(1))));
    assert!(!may_reach(&a, "a.example"));
    sessions.decide("a", 1, Some(&host().wish), verdict(true), noon()).unwrap();
    assert!(may_reach(&a, "a.example") && !may_reach(&b, "a.example"));
}

#[test]
fn a_session_that_is_over_asks_for_nothing_and_is_granted_nothing() {
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("s", None)]);
    let (made, _) = sessions.create(draft("made"), noon()).unwrap();
    let session = sessions.find("s").unwrap();
    for session in [&session, &made] {
        sessions.ask(session, host(), noon()).unwrap();
    }
    let late = noon() + HOUR;
    assert!(matches!(sessions.ask(&made, spoon(), late), Err(AskError::Change(ChangeError::Ended(Reason::SessionExpired)))));
    assert!(matches!(sessions.decide("made", 1, None, verdict(true), late), Err(ChangeError::Ended(Reason::SessionExpired))));
    sessions.revoke("s", noon()).unwrap();
    assert!(matches!(sessions.ask(&session, spoon(), noon()), Err(AskError::Change(ChangeError::Ended(Reason::SessionRevoked)))));
    assert!(matches!(sessions.decide("s", 1, None, verdict(true), noon()), Err(ChangeError::Ended(Reason::SessionRevoked))));
    let again = ground.start(vec![settings("s", None)]).find("s").unwrap();
    assert_eq!(again.standing(noon()), Err(Reason::SessionRevoked));
}

#[test]
fn a_session_that_left_the_configuration_comes_back_without_what_it_was_granted() {
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("s", None), settings("t", None)]);
    let session = sessions.find("s").unwrap();
    sessions.ask(&session, host(), noon()).unwrap();
    sessions.decide("s", 1, None, verdict(true), noon()).unwrap();
    sessions.apply(all(vec![settings("t", None)])).unwrap();
    sessions.apply(all(vec![settings("s", None), settings("t", None)])).unwrap();
    assert!(!may_reach(&sessions.find("s").unwrap(), "a.example"));
    assert_eq!(files::names(&ground.path("sessions")).unwrap(), Vec::<String>::new());
    assert!(matches!(sessions.ask(&session, host(), noon()), Err(AskError::Change(ChangeError::Ended(_)))), "the one before is gone");
}

#[test]
fn what_cannot_be_kept_is_not_asked() {
    let nowhere = required(vec![settings("s", Some(ALICE))]);
    let session = nowhere.find("s").unwrap();
    assert!(matches!(nowhere.ask(&session, host(), noon()), Err(AskError::Change(ChangeError::NoState))));
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("s", None)]);
    let session = sessions.find("s").unwrap();
    sessions.ask(&session, host(), noon()).unwrap();
    std::fs::remove_dir_all(ground.path("sessions")).unwrap();
    assert!(matches!(sessions.decide("s", 1, None, verdict(true), noon()), Err(ChangeError::Unwritten(_))));
    assert!(!may_reach(&session, "a.example"), "it would not outlive the process");
}

#[test]
fn a_record_of_before_is_read() {
    let ground = Ground::new();
    let (_, token) = ground.start(Vec::new()).create(draft("s1"), noon()).unwrap();
    ground.rewrite("sessions/s1.json", |text| text.replace("\"revoked\": false,", "\"revoked\": false").replace("\"requests\": []", ""));
    assert_eq!(who(&ground.start(Vec::new()), &token, noon()), Ok("s1".into()));
}
