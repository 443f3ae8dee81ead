//! What a sandbox asks its owner for is written as it is read, moves no terminal, and grants one host or one repository and no more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::policy::{
    asking::{Asking, MAX_ASKING, Wish},
    grant::Grant,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Asking { wish, why }) = Asking::parse(bytes) else { return };
    assert!(bytes.len() <= MAX_ASKING);
    let shown = format!("{wish}{why}");
    assert!(
        !shown.chars().any(|letter| letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')),
        "{shown:?}"
    );
    let written = match &wish {
        Wish::Host(host) => {
            assert!(!host.entry().contains('*'), "{}", host.entry());
            format!("{{\"host\":\"{}\"}}", host.entry())
        }
        Wish::Repository(asked) => {
            let Ok(grant) = Grant::default().granting(asked) else { return };
            let [granted] = grant.repositories() else { panic!("{grant:?}") };
            assert_eq!(granted.name, asked.repository);
            let refs: Vec<_> = granted.push.iter().map(|entry| &entry.refs).chain(&granted.tags).map(|pattern| pattern.as_str()).collect();
            assert_eq!(refs, asked.reference.iter().map(|name| name.as_str()).collect::<Vec<_>>());
            assert!(granted.grants.is_empty() && !granted.delete);
            return;
        }
    };
    assert_eq!(Asking::parse(written.as_bytes()).map(|again| again.wish), Ok(wish));
});
