//! Where calls of the API come in loses nothing of them; what an API's answer says leads nowhere but through our door, and what is told of a
//! person or a server is plain.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    destination::{Host, Name},
    endpoint::Endpoint,
    github::{
        RepositoryName,
        api::{
            Answer, Entrance, Question, Service,
            links::Places,
            local::{self, Account, MAX_ANSWER, read_version},
            read_made,
        },
    },
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        enter(text);
        lead(text);
    }
    tell(bytes);
    for question in &*QUESTIONS {
        assert!(matches!(Answer::read(question, 404, bytes), Some(Answer::Missing)));
        assert!(Answer::read(question, 301, bytes).is_none());
        let _ = Answer::read(question, 200, bytes);
    }
    let _ = read_made(bytes, "id");
});

fn enter(target: &str) {
    if let Some(entrance) = Entrance::below(target) {
        let rest = target.strip_prefix(entrance.prefix).expect("the prefix");
        assert!(entrance.target.starts_with('/') && entrance.forge.is_none());
        assert!(*entrance.target == *rest || entrance.target.strip_prefix('/') == Some(rest), "{target}");
    }
    for service in [Service::Rest, Service::Uploads] {
        let entrance = Entrance::at_host(service, target);
        assert_eq!((&*entrance.target, entrance.prefix), (target, ""));
        assert!(entrance.service == service || entrance.service == Service::GraphQl && target.starts_with("/graphql"));
    }
}

fn lead(value: &str) {
    for (api, host) in &*APIS {
        let places = Places { api, host, here: HERE };
        if let Some(url) = places.url(value) {
            assert!(url.strip_prefix(HERE).is_some_and(|rest| rest.starts_with('/')), "{url}");
        }
        assert_eq!(places.is_api(value), places.url(value).is_some());
        if let Some(links) = places.links(value) {
            // At our door it says the same of our door.
            let ours = Places { api: &OURS, host, here: HERE };
            assert_eq!(ours.links(&links).as_ref(), Some(&links), "{value}");
        }
    }
}

fn tell(bytes: &[u8]) {
    let (_, host) = &APIS[0];
    if let Some(account) = Account::read(bytes) {
        assert!(bytes.len() <= MAX_ANSWER);
        let told: Value = serde_json::from_str(&local::user(Some(&account), "s1", HERE, host)).expect("JSON");
        assert_eq!((told["login"].as_str(), told["id"].as_u64()), (Some(&*account.login), Some(account.id)));
        for url in ["url", "repos_url", "html_url", "avatar_url"] {
            let url = told[url].as_str().expect("a URL");
            assert!(url.starts_with(HERE) || url.starts_with("https://github.test/"), "{url}");
            assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-_~%".contains(&byte)), "{url}");
        }
    }
    if let Some(version) = read_version(bytes) {
        let told: Value = serde_json::from_str(&local::meta(Some(&version))).expect("JSON");
        assert_eq!(told["installed_version"].as_str(), Some(&*version));
    }
}

const HERE: &str = "http://127.0.0.1:3129/api/v3";

static OURS: LazyLock<Endpoint> = LazyLock::new(|| Endpoint::parse(HERE).expect("an endpoint"));

/// One beside its GitHub's host, and one below it.
static APIS: LazyLock<[(Endpoint, Name); 2]> = LazyLock::new(|| {
    ["https://api.github.test", "https://github.test/api/v3"].map(|url| {
        let host = Host::parse(b"github.test").expect("a host");
        (Endpoint::parse(url).expect("an endpoint"), host.name().expect("a name").clone())
    })
});

static QUESTIONS: LazyLock<Vec<Question>> = LazyLock::new(|| {
    let repository = || RepositoryName::parse("octo/spoon").expect("a name");
    vec![
        Question::Repository(7),
        Question::DefaultBranch(repository()),
        Question::PullRequest { repository: repository(), number: 7 },
        Question::Run { repository: repository(), id: 7 },
        Question::Job { repository: repository(), id: 7 },
        Question::Release { repository: repository(), id: 7 },
        Question::Account("octo".into()),
    ]
});
