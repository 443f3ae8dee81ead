mod asking;
mod children;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;
use crate::{
    destination::Destination,
    files,
    policy::{Denial, Facts, Way},
};

const ALICE: &str = "alice-token-alice-token-alice-token";
const INNER: &str = "inner-token-inner-token-inner-token";
const BOB: &str = "bob-token-bob-token-bob-token-bob-to";

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400)
}

fn policy(text: &str) -> Arc<Equipped> {
    Arc::new(Equipped::bare(Policy::parse("policy.toml", text).unwrap().0))
}

fn settings(id: &str, token: Option<&str>) -> SessionSettings {
    SessionSettings {
        id: id.into(),
        token: token.map(Secret::new),
        expires: None,
        policy: policy(""),
        grant: Grant::default(),
        credentials: OwnCredentials::new(),
    }
}

fn required(settings: Vec<SessionSettings>) -> Sessions {
    start(Entry::Required, settings).unwrap()
}

/// Sessions that nothing outlives.
fn start(entry: Entry, settings: Vec<SessionSettings>) -> Result<Sessions, SessionsError> {
    Sessions::new(entry, all(settings), None, noon())
}

fn all(sessions: Vec<SessionSettings>) -> Settings {
    Settings { sessions, policy: None, patience: Duration::ZERO, first: None }
}

fn identify(sessions: &Sessions, token: Option<&str>) -> Result<String, Reason> {
    sessions.identify(token.map(Secret::new).as_ref(), None, noon()).map(|session| session.id().to_string())
}

fn may_reach(session: &Session, name: &str) -> bool {
    let destination = Destination::parse(name.as_bytes(), Some(443)).unwrap();
    session.governing().policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: noon() }).is_ok()
}

fn refusal(host: &str) -> Refusal {
    let denial = Denial::new(Reason::HostNotAllowed, "detail").of(&Destination::parse(host.as_bytes(), Some(443)).unwrap());
    Refusal::new(&denial, noon())
}

#[test]
fn a_token_finds_its_session() {
    let sessions = required(vec![settings("alice", Some(ALICE)), settings("bob", Some(BOB)), settings("inner", Some(INNER))]);
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
        let sessions = start(Entry::Bound(id.into()), vec![settings(id, None)]).unwrap();
        assert_eq!(identify(&sessions, None), Ok(id.into()));
        assert_eq!(identify(&sessions, Some("whatever")), Ok(id.into()));
    }
}

#[test]
fn a_token_is_its_session_s_own_whatever_the_entry() {
    for entry in [Entry::Required, Entry::Bound("alice".into())] {
        let sessions = start(entry, vec![settings("alice", Some(ALICE)), settings("bob", Some(BOB))]).unwrap();
        let alice = sessions.identify(Some(&Secret::new(ALICE)), None, noon()).unwrap();
        let own = [ALICE, BOB, INNER, ""].map(|token| sessions.is_own(&alice, &Secret::new(token), noon()));
        assert_eq!(own, [true, false, false, false]);
    }
}

#[test]
fn a_session_ends_at_its_expiry() {
    let expiring = || SessionSettings { expires: Some(noon()), ..settings("alice", Some(ALICE)) };
    let before = noon() - Duration::from_micros(1);
    let token = Secret::new(ALICE);
    for entry in [Entry::Required, Entry::Bound("alice".into())] {
        let sessions = start(entry, vec![expiring()]).unwrap();
        let session = sessions.identify(Some(&token), None, before).unwrap();
        assert_eq!(sessions.identify(Some(&token), None, noon()).unwrap_err(), Reason::SessionExpired);
        assert_eq!((session.standing(before), session.standing(noon())), (Ok(()), Err(Reason::SessionExpired)));
    }
}

#[test]
fn settings_that_cannot_hold_are_errors() {
    let error = |entry, settings| start(entry, settings).map(|_| ()).unwrap_err();
    assert_eq!(error(Entry::Required, vec![settings("a", Some(BOB)), settings("a", Some(ALICE))]), SessionsError::DuplicateId("a".into()));
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
    let session = sessions.identify(Some(&Secret::new(ALICE)), None, noon()).unwrap();
    let slot = session.limits().tunnel().unwrap();
    session.remember(refusal("a.example"));
    assert_eq!((session.governing().generation, *watched.borrow()), (1, 1));

    let stricter = policy("[limits]\ntunnels = 1");
    let reloaded = sessions.apply(all(vec![SessionSettings { policy: stricter.clone(), ..settings("alice", Some(BOB)) }]));
    assert_eq!(reloaded, Ok(2));
    assert!(watched.has_changed().unwrap());
    let same = sessions.identify(Some(&Secret::new(BOB)), None, noon()).unwrap();
    assert!(Arc::ptr_eq(&same, &session));
    assert!(Arc::ptr_eq(&session.governing().policy, &stricter));
    assert_eq!((session.governing().generation, session.refusals().len()), (2, 1));
    assert_eq!(session.limits().tunnel().unwrap_err().reason(), Reason::TooManyTunnels);
    drop(slot);
    assert!(session.limits().tunnel().is_ok());
    assert_eq!(identify(&sessions, Some(ALICE)), Err(Reason::SessionRevoked));
}

#[test]
fn threat_130_ten_thousand_reloads_and_no_request_sees_a_mix() {
    let both = ["first.example", "second.example"].map(|own| policy(&format!("allow = ['common.example', '{own}']")));
    let of_generation = |generation: u64| &both[usize::try_from(generation % 2).unwrap()];
    let all_of =
        |generation| all(vec![SessionSettings { policy: Arc::clone(of_generation(generation)), ..settings("alice", Some(ALICE)) }]);
    let sessions = required(Vec::new());
    sessions.apply(all_of(2)).unwrap();
    let ended = AtomicBool::new(false);
    let judge = || {
        let (token, mut judged) = (Secret::new(ALICE), 0);
        while !ended.load(Ordering::Relaxed) {
            let governing = sessions.identify(Some(&token), None, noon()).expect("a session that every policy has").governing();
            let allows = |host: &str| {
                let destination = Destination::parse(host.as_bytes(), Some(443)).unwrap();
                governing.policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: noon() }).is_ok()
            };
            let allowed = ["common.example", "first.example", "second.example"].map(allows);
            let even = governing.generation.is_multiple_of(2);
            assert_eq!(allowed, [true, even, !even]);
            judged += 1;
        }
        judged
    };
    thread::scope(|scope| {
        let judges = [scope.spawn(judge), scope.spawn(judge)];
        for generation in 3..=10_002 {
            assert_eq!(sessions.apply(all_of(generation)), Ok(generation));
        }
        ended.store(true, Ordering::Relaxed);
        assert!(judges.into_iter().all(|judge| judge.join().unwrap() > 0));
    });
}

#[test]
fn what_could_not_be_used_is_shown_until_something_can() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    assert_eq!(sessions.kept_since(), None);
    sessions.keep(noon());
    assert_eq!((sessions.kept_since(), *sessions.generation().borrow()), (Some(noon()), 1));
    sessions.apply(all(vec![settings("alice", Some(ALICE))])).unwrap();
    assert_eq!(sessions.kept_since(), None);
}

#[test]
fn a_session_that_vanished_is_revoked() {
    let sessions = required(vec![settings("alice", Some(ALICE)), settings("bob", Some(BOB))]);
    let alice = sessions.identify(Some(&Secret::new(ALICE)), None, noon()).unwrap();
    sessions.apply(all(vec![settings("bob", Some(BOB))])).unwrap();
    assert_eq!(alice.standing(noon()), Err(Reason::SessionRevoked));
    assert_eq!(identify(&sessions, Some(ALICE)), Err(Reason::SessionRevoked));
    assert_eq!(identify(&sessions, Some(BOB)), Ok("bob".into()));

    sessions.apply(all(vec![settings("alice", Some(ALICE))])).unwrap();
    assert_eq!(identify(&sessions, Some(ALICE)), Ok("alice".into()));
    assert_eq!(alice.standing(noon()), Err(Reason::SessionRevoked), "a new session of the same id is another one");
    assert_eq!(identify(&sessions, Some(BOB)), Err(Reason::SessionRevoked));
}

#[test]
fn a_failed_reload_changes_nothing() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let session = sessions.identify(Some(&Secret::new(ALICE)), None, noon()).unwrap();
    let policy = session.governing().policy.clone();
    sessions.apply(all(vec![settings("alice", Some(BOB)), settings("bob", Some(BOB))])).unwrap_err();
    assert_eq!(identify(&sessions, Some(ALICE)), Ok("alice".into()));
    assert_eq!((session.governing().generation, *sessions.generation().borrow()), (1, 1));
    assert!(Arc::ptr_eq(&session.governing().policy, &policy));
}

#[test]
fn the_latest_hundred_refusals_are_kept() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let session = sessions.identify(Some(&Secret::new(ALICE)), None, noon()).unwrap();
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
    let session = sessions.identify(Some(&Secret::new(ALICE)), None, noon()).unwrap();
    assert_eq!(format!("{session:?}"), "Session { id: \"alice\", .. }");
}

// ── what outlives the process

const HOUR: Duration = Duration::from_secs(3600);

/// A directory in which one start after the other finds what the one before left.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn try_start(&self, configured: Vec<SessionSettings>, now: SystemTime) -> Result<Sessions, String> {
        let store = Store::open(self.0.path(), now).map_err(|error| error.to_string())?;
        let settings = Settings { sessions: configured, policy: Some(policy("")), patience: Duration::ZERO, first: None };
        Sessions::new(Entry::Required, settings, Some(store), now).map_err(|error| error.to_string())
    }

    fn start(&self, configured: Vec<SessionSettings>) -> Sessions {
        self.try_start(configured, noon()).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Puts other content in the place of a file.
    fn rewrite(&self, name: &str, edit: impl Fn(String) -> String) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        std::fs::write(self.path(name), edit(text)).unwrap();
    }

    fn keys(&self) -> Vec<String> {
        files::names(&self.path("keys")).unwrap()
    }
}

fn draft(id: &str) -> Draft {
    Draft { id: Some(id.into()), expires: Some(noon() + HOUR), ..Draft::default() }
}

fn who(sessions: &Sessions, token: &Secret, now: SystemTime) -> Result<String, Reason> {
    sessions.identify(Some(token), None, now).map(|session| session.id().to_string())
}

#[test]
fn a_session_that_was_made_survives_a_restart_as_it_was() {
    let ground = Ground::new();
    let grant: Grant = serde_json::from_str(r#"[{"name":"octo/spoon","access":"write","push":["refs/heads/x"]}]"#).unwrap();
    let first = ground.start(Vec::new());
    let (session, token) = first.create(Draft { grant: grant.clone(), ..draft("s1") }, noon()).unwrap();
    assert_eq!((session.governing().grant.clone(), who(&first, &token, noon())), (grant.clone(), Ok("s1".into())));
    let second = ground.start(Vec::new());
    let again = second.find("s1").unwrap();
    let governing = again.governing();
    assert_eq!((&governing.grant, governing.expires, again.is_configured()), (&grant, Some(noon() + HOUR), false));
    assert_eq!(who(&second, &token, noon()), Ok("s1".into()));
    assert_eq!(who(&second, &token, noon() + HOUR), Err(Reason::SessionExpired));
    assert_eq!(ground.keys().len(), 1);
    assert_eq!(who(&Ground::new().start(Vec::new()), &token, noon()), Err(Reason::SessionUnknown), "another proxy's");
}

#[test]
fn what_is_kept_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new();
    ground.start(Vec::new()).create(draft("s1"), noon()).unwrap();
    let mode = |name: &str| std::fs::metadata(ground.path(name)).unwrap().permissions().mode() & 0o7777;
    let key = format!("keys/{}", ground.keys()[0]);
    assert_eq!(["sessions", "keys", "sessions/s1.json", &key].map(mode), [0o700, 0o700, 0o600, 0o600]);
    std::fs::set_permissions(ground.path(&key), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = ground.try_start(Vec::new(), noon()).err().unwrap();
    assert!(error.contains(&key) && error.ends_with("chmod 600"), "{error}");
}

#[test]
fn a_revoked_session_stays_revoked() {
    let ground = Ground::new();
    let configured = || vec![settings("fixed", Some(ALICE)), settings("signed", None)];
    let first = ground.start(configured());
    let (_, made) = first.create(draft("made"), noon()).unwrap();
    let signed = first.mint("signed", noon()).unwrap();
    let tokens = [made, signed, Secret::new(ALICE)];
    assert_eq!(tokens.each_ref().map(|token| who(&first, token, noon()).is_ok()), [true; 3]);
    let mut watched = first.generation();
    watched.mark_unchanged();
    for id in ["made", "signed", "fixed"] {
        first.revoke(id, noon()).unwrap();
        assert!(watched.has_changed().unwrap(), "whoever holds a tunnel is told");
    }
    first.apply(Settings { sessions: configured(), policy: Some(policy("")), patience: Duration::ZERO, first: None }).unwrap();
    let second = ground.start(configured());
    for sessions in [&first, &second] {
        assert_eq!(tokens.each_ref().map(|token| who(sessions, token, noon())), [const { Err(Reason::SessionRevoked) }; 3]);
        assert!(matches!(sessions.mint("made", noon()), Err(ChangeError::Ended(Reason::SessionRevoked))));
        assert!(matches!(sessions.create(draft("made"), noon()), Err(ChangeError::Taken(_))), "no second session takes its tokens over");
    }
}

#[test]
fn a_damaged_record_refuses_its_session() {
    type Edit = fn(String) -> String;
    let edits: [Edit; 7] = [
        |text| text.replace("\"schema\": 1", "\"schema\": 2"),
        |text| text.replace("\"expires\"", "\"expire\""),
        |text| text.lines().filter(|line| !line.contains("\"expires\"")).collect(),
        |text| text.lines().filter(|line| !line.contains("\"revoked\"")).collect::<String>().replace("],}", "]}"),
        |text| text.replace("\"id\": \"s1\"", "\"id\": \"s2\""),
        |text| text[..text.len() / 2].to_owned(),
        |_| String::new(),
    ];
    for edit in edits {
        let ground = Ground::new();
        let (_, token) = ground.start(Vec::new()).create(draft("s1"), noon()).unwrap();
        ground.rewrite("sessions/s1.json", edit);
        let sessions = ground.start(Vec::new());
        assert_eq!(who(&sessions, &token, noon()), Err(Reason::SessionRevoked));
        assert!(matches!(sessions.create(draft("s1"), noon()), Err(ChangeError::Taken(_))));
        let configured = ground.start(vec![settings("s1", Some(ALICE))]);
        assert_eq!(identify(&configured, Some(ALICE)), Err(Reason::SessionRevoked), "it may have said that s1 was revoked");
    }
}

#[test]
fn a_session_without_its_policy_is_refused() {
    let ground = Ground::new();
    let path = ground.path("own.toml");
    std::fs::write(&path, "allow = [\"a.example\"]").unwrap();
    let first = ground.start(Vec::new());
    let (session, token) = first.create(Draft { policy: Some(path.clone()), ..draft("s1") }, noon()).unwrap();
    assert_eq!(session.governing().policy.name(), path.to_str().unwrap());
    std::fs::write(&path, "allow = [\"*\"]").unwrap();
    let reload = first.apply(Settings { sessions: Vec::new(), policy: None, patience: Duration::ZERO, first: None });
    assert!(matches!(reload, Err(SessionsError::Policy(..))), "{reload:?}");
    assert_eq!(who(&first, &token, noon()), Ok("s1".into()), "the old one stays in force");
    assert_eq!(who(&ground.start(Vec::new()), &token, noon()), Err(Reason::PolicyUnavailable));
}

#[test]
fn an_id_is_one_sessions() {
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("s1", None)]);
    assert!(matches!(sessions.create(draft("s1"), noon()), Err(ChangeError::Taken(_))));
    sessions.create(draft("s2"), noon()).unwrap();
    let error = ground.try_start(vec![settings("s2", None)], noon()).err().unwrap();
    assert!(error.starts_with("session \"s2\" of the configuration has the id of one made"), "{error}");
    let (one, _) = sessions.create(Draft::default(), noon()).unwrap();
    let (other, _) = sessions.create(Draft::default(), noon()).unwrap();
    assert_ne!(one.id(), other.id());
}

#[test]
fn sessions_that_are_not_made() {
    let ground = Ground::new();
    let sessions = ground.start(vec![settings("fixed", Some(ALICE))]);
    let refused = |draft| sessions.create(draft, noon()).map(|_| ()).unwrap_err().to_string();
    for id in ["", "a/b", "../x", ANONYMOUS, &"a".repeat(65)] {
        assert!(refused(draft(id)).starts_with("no session id"), "{id}");
    }
    assert_eq!(refused(Draft { expires: Some(noon()), ..draft("a") }), "the session would have expired already");
    assert!(refused(Draft { policy: Some("relative.toml".into()), ..draft("a") }).contains("no absolute path"));
    assert!(refused(Draft { policy: Some("/no/such.toml".into()), ..draft("a") }).contains("/no/such.toml cannot be read"));
    assert!(matches!(sessions.mint("fixed", noon()), Err(ChangeError::Fixed(_))));
    assert!(matches!(sessions.mint("nobody", noon()), Err(ChangeError::Unknown(_))));
    assert!(matches!(sessions.revoke("nobody", noon()), Err(ChangeError::Unknown(_))));
    assert_eq!(files::names(&ground.path("sessions")).unwrap(), Vec::<String>::new());
    let nowhere = required(vec![settings("fixed", Some(ALICE))]);
    assert!(matches!(nowhere.create(draft("a"), noon()), Err(ChangeError::NoState)));
    assert!(matches!(nowhere.revoke("fixed", noon()), Err(ChangeError::NoState)), "it cannot be remembered");
    assert_eq!(identify(&nowhere, Some(ALICE)), Err(Reason::SessionRevoked), "and yet it holds no more");
    assert_eq!(start(Entry::Required, vec![settings("a", None)]).err(), Some(SessionsError::NoState("a".into())));
}

#[test]
fn long_expired_sessions_are_forgotten() {
    let ground = Ground::new();
    let sessions = ground.start(Vec::new());
    let (_, token) = sessions.create(draft("s1"), noon()).unwrap();
    sessions.create(draft("s2"), noon()).unwrap();
    let late = noon() + 26 * HOUR;
    sessions.create(Draft { expires: None, ..draft("s3") }, late).unwrap();
    assert_eq!(files::names(&ground.path("sessions")).unwrap(), ["s3.json"]);
    assert_eq!(who(&sessions, &token, late), Err(Reason::SessionExpired));
}

#[test]
fn tokens_of_every_key_are_good_and_the_last_one_signs() {
    let ground = Ground::new();
    let first = ground.start(vec![settings("s1", None)]);
    let old = first.mint("s1", noon()).unwrap();
    let added = ground.path("keys/zz-2");
    files::replace(
        added.parent().unwrap(),
        "zz-2",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n".as_bytes(),
        files::PRIVATE,
    )
    .unwrap();
    let second = ground.start(vec![settings("s1", None)]);
    let new = second.mint("s1", noon()).unwrap();
    assert_eq!((who(&second, &old, noon()), who(&second, &new, noon())), (Ok("s1".into()), Ok("s1".into())));
    assert_eq!(who(&first, &new, noon()), Err(Reason::SessionUnknown));
    std::fs::remove_file(added).unwrap();
    assert_eq!(who(&ground.start(vec![settings("s1", None)]), &new, noon()), Err(Reason::SessionUnknown));
    ground.rewrite(&format!("keys/{}", ground.keys()[0]), |_| "short".into());
    let error = ground.try_start(Vec::new(), noon()).err().unwrap();
    assert!(error.contains("it is no key"), "{error}");
}

#[test]
fn a_signed_token_proves_no_session_with_a_fixed_one() {
    let ground = Ground::new();
    let signed = ground.start(vec![settings("s1", None)]).mint("s1", noon()).unwrap();
    let sessions = ground.start(vec![settings("s1", Some(ALICE))]);
    assert_eq!(who(&sessions, &signed, noon()), Err(Reason::SessionRevoked));
    assert_eq!(who(&ground.start(Vec::new()), &signed, noon()), Err(Reason::SessionRevoked), "its session has left the configuration");
}

/// The time that a wrong token takes does not tell how much of it is right.
#[test]
fn threat_98_a_token_that_is_almost_right_takes_no_longer() {
    let sessions = required(vec![settings("alice", Some(ALICE))]);
    let [almost, nothing] = [format!("{}x", &ALICE[..ALICE.len() - 1]), "x".repeat(ALICE.len())].map(Secret::new);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..SAMPLES {
        for (token, times) in [&almost, &nothing].into_iter().zip(&mut times) {
            let since = std::time::Instant::now();
            assert_eq!(sessions.identify(Some(token), None, noon()).unwrap_err(), Reason::SessionUnknown);
            times.push(since.elapsed());
        }
    }
    let [almost, nothing] = times.map(|mut times| {
        times.sort_unstable();
        times[SAMPLES / 2].as_secs_f64()
    });
    assert!((almost / nothing - 1.0).abs() < 0.25, "{almost} s and {nothing} s");
}

const SAMPLES: usize = 100_000;
