//! Tokens that may do less than their session.

use super::*;
use crate::{
    policy::{
        grant::{Purpose, Purposes},
        narrowing::Narrowing,
    },
    sessions::record::MAX_CHILDREN,
};

fn spoon() -> Grant {
    serde_json::from_str(r#"[{"name":"octo/spoon","access":"write","push":["refs/heads/x"]},{"name":"octo/fork"}]"#).unwrap()
}

fn with_spoon(settings: SessionSettings) -> SessionSettings {
    SessionSettings { grant: spoon(), policy: policy("allow = [\"a.example\"]"), ..settings }
}

fn wish(body: &str) -> Narrowing {
    Narrowing::parse(body.as_bytes()).unwrap()
}

fn names(session: &Session) -> Vec<String> {
    session.governing().grant.repositories().iter().map(|granted| granted.name.to_string()).collect()
}

fn reload(sessions: &Sessions, configured: Vec<SessionSettings>) {
    sessions.apply(Settings { policy: Some(policy("")), ..all(configured) }).unwrap();
}

#[test]
fn a_token_may_do_less_and_is_the_same_after_a_restart() {
    let ground = Ground::new();
    let configured = || vec![with_spoon(settings("s1", Some(ALICE)))];
    let first = ground.start(configured());
    let parent = first.find("s1").unwrap();
    let body = r#"{"only":["git"],"ttl":"30m","repositories":[{"name":"octo/spoon"}]}"#;
    let (child, token) = first.narrow(&parent, wish(body), noon()).unwrap();
    assert_eq!((&**child.id(), names(&child)), ("s1~1", vec!["octo/spoon".to_owned()]));
    assert_eq!(child.governing().policy.access(), Access::None, "it is for git alone");
    let (grandchild, other) = first.narrow(&child, wish(r#"{"only":["git"],"repositories":[]}"#), noon()).unwrap();
    assert_eq!((&**grandchild.id(), grandchild.governing().expires), ("s1~2", Some(noon() + HOUR / 2)));
    let second = ground.start(configured());
    for sessions in [&first, &second] {
        let found = sessions.find("s1~1").unwrap();
        assert_eq!((who(sessions, &token, noon()), who(sessions, &other, noon())), (Ok("s1~1".into()), Ok("s1~2".into())));
        assert_eq!((names(&found), names(&sessions.find("s1~2").unwrap())), (vec!["octo/spoon".to_owned()], Vec::new()));
        assert_eq!(who(sessions, &token, noon() + HOUR / 2), Err(Reason::SessionExpired));
        assert_eq!(who(sessions, &Secret::new(ALICE), noon() + HOUR), Ok("s1".into()), "and its session goes on");
        assert_eq!(sessions.list().len(), 1);
    }
    let again = second.mint("s1~1", noon() + HOUR / 4).unwrap();
    assert_eq!(again.expose(), token.expose(), "it is one token");
}

#[test]
fn threat_97_a_token_ends_with_whatever_it_was_asked_for_by() {
    let ground = Ground::new();
    let sessions = ground.start(vec![with_spoon(settings("s1", None)), with_spoon(settings("s2", Some(ALICE)))]);
    let narrow = |of: &str| sessions.narrow(&sessions.find(of).unwrap(), Narrowing::default(), noon()).unwrap().1;
    let [one, two, of_one] = ["s1", "s1", "s1~1"].map(narrow);
    let fixed = narrow("s2");
    let mut watched = sessions.generation();
    watched.mark_unchanged();
    sessions.revoke("s1~1", noon()).unwrap();
    assert!(watched.has_changed().unwrap(), "whoever holds a tunnel is told");
    reload(&sessions, vec![with_spoon(settings("s1", None)), with_spoon(settings("s2", Some(BOB)))]);
    let refused = || Err(Reason::SessionRevoked);
    for sessions in [&sessions, &ground.start(vec![with_spoon(settings("s1", None)), with_spoon(settings("s2", Some(BOB)))])] {
        let found = [&one, &two, &of_one, &fixed].map(|token| who(sessions, token, noon()));
        assert_eq!(found, [refused(), Ok("s1~2".into()), refused(), refused()], "s2 is proved by another token now");
        assert_eq!(sessions.children(&sessions.find("s1").unwrap(), noon()).len(), 1);
    }
    let (_, next) = sessions.narrow(&sessions.find("s1").unwrap(), Narrowing::default(), noon()).unwrap();
    assert_eq!(who(&sessions, &next, noon()), Ok("s1~4".into()), "no number comes again");
    sessions.revoke("s1", noon()).unwrap();
    assert_eq!([&two, &next].map(|token| who(&sessions, token, noon())), [refused(), refused()]);
    assert_eq!(who(&ground.start(vec![with_spoon(settings("s1", None))]), &two, noon()), refused());
}

#[test]
fn what_its_session_loses_it_loses_too() {
    let ground = Ground::new();
    let sessions = ground.start(vec![with_spoon(settings("s1", None))]);
    let body = r#"{"repositories":[{"name":"octo/spoon","access":"write","push":["refs/heads/x"]},{"name":"octo/fork"}]}"#;
    let (child, _) = sessions.narrow(&sessions.find("s1").unwrap(), wish(body), noon()).unwrap();
    assert!(may_reach(&child, "a.example"));
    let less: Grant = serde_json::from_str(r#"[{"name":"octo/spoon"},{"name":"octo/more"}]"#).unwrap();
    reload(&sessions, vec![SessionSettings { grant: less, ..settings("s1", None) }]);
    let granted = child.governing().grant.clone();
    assert_eq!(names(&child), ["octo/spoon"]);
    assert!(granted.repositories()[0].push.is_empty() && !may_reach(&child, "a.example"));
    assert_eq!(child.governing().generation, 2);
}

#[test]
fn threat_91_a_token_that_is_bound_to_its_sandbox_is_nobody_s_elsewhere() {
    let ground = Ground::new();
    let sessions = ground.start(vec![with_spoon(settings("s1", None))]);
    let parent = sessions.find("s1").unwrap();
    let (child, token) = sessions.narrow(&parent, wish(r#"{"from":"10.0.0.7"}"#), noon()).unwrap();
    let at = |from: Option<&str>| {
        let found = sessions.identify(Some(&token), from.map(|from| from.parse().unwrap()), noon());
        found.map(|session| session.id().to_string())
    };
    assert_eq!((at(Some("10.0.0.7")), at(Some("::ffff:10.0.0.7"))), (Ok("s1~1".into()), Ok("s1~1".into())));
    for other in [Some("10.0.0.8"), Some("::1"), None] {
        assert_eq!(at(other), Err(Reason::SessionUnknown), "{other:?}");
    }
    let elsewhere = sessions.narrow(&child, wish(r#"{"from":"10.0.0.8"}"#), noon());
    assert!(matches!(elsewhere, Err(ChangeError::Wider(_))));
    let (_, other) = sessions.narrow(&child, Narrowing::default(), noon()).unwrap();
    assert_eq!(sessions.identify(Some(&other), None, noon()).unwrap_err(), Reason::SessionUnknown, "it holds nowhere else either");
}

#[test]
fn tokens_that_are_not_made() {
    let ground = Ground::new();
    let sessions = ground.start(vec![with_spoon(settings("s1", None))]);
    let parent = sessions.find("s1").unwrap();
    let narrow = |of: &Arc<Session>, body: &str, now| sessions.narrow(of, wish(body), now).map(|(child, _)| child);
    let git = narrow(&parent, r#"{"only":["git"],"ttl":"1s"}"#, noon()).unwrap();
    assert_eq!(git.governing().grant.purposes(), Purposes::of(&[Purpose::Git]).unwrap());
    assert!(matches!(narrow(&git, "", noon()), Err(ChangeError::Wider(denial)) if denial.reason == Reason::NetworkDisabled));
    assert!(matches!(narrow(&git, r#"{"only":["git"]}"#, noon() + HOUR), Err(ChangeError::Ended(Reason::SessionExpired))));
    for _ in 1..MAX_CHILDREN {
        narrow(&parent, r#"{"ttl":"1s"}"#, noon()).unwrap();
    }
    let seconds = |number| noon() + Duration::from_secs(number);
    assert!(matches!(narrow(&parent, "", seconds(30)), Err(ChangeError::TooManyChildren)), "however soon they expire");
    assert_eq!(&**narrow(&parent, "", seconds(60)).unwrap().id(), "s1~65");
    let bound = Sessions::new(
        Entry::Bound("s1".into()),
        all(vec![settings("s1", None)]),
        Some(Store::open(ground.0.path(), noon()).unwrap()),
        noon(),
    );
    let bound = bound.unwrap();
    assert!(matches!(bound.narrow(&bound.find("s1").unwrap(), Narrowing::default(), noon()), Err(ChangeError::Unasked)));
    let nowhere = required(vec![settings("s1", Some(ALICE))]);
    assert!(matches!(nowhere.narrow(&nowhere.find("s1").unwrap(), Narrowing::default(), noon()), Err(ChangeError::NoState)));
}

/// What two tokens send and hold open at once is held to the limits of the one session.
#[test]
fn all_tokens_of_a_session_share_its_limits() {
    let ground = Ground::new();
    let one = SessionSettings { policy: policy("[limits]\ntunnels = 1"), ..settings("s1", None) };
    let sessions = ground.start(vec![one]);
    let parent = sessions.find("s1").unwrap();
    let (child, _) = sessions.narrow(&parent, wish(r#"{"only":["git"]}"#), noon()).unwrap();
    let held = child.limits().tunnel().unwrap();
    assert!(parent.limits().tunnel().is_err());
    drop(held);
    assert!(parent.limits().tunnel().is_ok());
}

#[test]
fn a_damaged_list_of_tokens_refuses_its_session() {
    type Edit = fn(String) -> String;
    let edits: [Edit; 4] = [
        |text| text.replace("\"number\": 2", "\"number\": 1"),
        |text| text.replace("\"issued\": 2\n", "\"issued\": 1\n"),
        |text| text.replace("\"of\": 1", "\"of\": 2"),
        |text| text.replace("\"only\"", "\"lonely\""),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let ground = Ground::new();
        let sessions = ground.start(Vec::new());
        let (made, token) = sessions.create(draft("s1"), noon()).unwrap();
        let (child, _) = sessions.narrow(&made, Narrowing::default(), noon()).unwrap();
        sessions.narrow(&child, Narrowing::default(), noon()).unwrap();
        assert_eq!(who(&ground.start(Vec::new()), &token, noon()), Ok("s1".into()));
        ground.rewrite("sessions/s1.json", edit);
        assert_eq!(who(&ground.start(Vec::new()), &token, noon()), Err(Reason::SessionRevoked), "{number}");
    }
}

#[test]
fn a_reload_reads_the_keys_again() {
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("s1", None)]);
    let old = sessions.mint("s1", noon()).unwrap();
    let added = ground.path("keys/zz-2");
    files::replace(
        added.parent().unwrap(),
        "zz-2",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n".as_bytes(),
        files::PRIVATE,
    )
    .unwrap();
    let first = ground.keys()[0].clone();
    reload(&sessions, vec![settings("s1", None)]);
    let new = sessions.mint("s1", noon()).unwrap();
    assert_eq!((who(&sessions, &old, noon()), who(&sessions, &new, noon())), (Ok("s1".into()), Ok("s1".into())));
    std::fs::remove_file(ground.path(&format!("keys/{first}"))).unwrap();
    reload(&sessions, vec![settings("s1", None)]);
    assert_eq!((who(&sessions, &old, noon()), who(&sessions, &new, noon())), (Err(Reason::SessionUnknown), Ok("s1".into())));
    std::fs::remove_file(added).unwrap();
    let without = sessions.apply(all(vec![settings("s1", None)]));
    assert!(matches!(without, Err(SessionsError::Store(_))), "{without:?}");
    assert_eq!(who(&sessions, &new, noon()), Ok("s1".into()), "what was in force stays");
}
