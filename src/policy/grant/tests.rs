use super::*;

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

#[test]
fn patterns() {
    for good in ["refs/heads/agent/fix-1", "refs/heads/agent/**", "main", "v1.*", "refs/heads/ä"] {
        assert!(RefPattern::parse(good).is_ok(), "{good}");
    }
    for bad in
        ["", "/main", "main/", "a//b", "a..b", "a b", "a\tb", "a~1", "a^", "a:b", "a?", "a[b]", "a\\b", "a@{1}", ".a", "a.", "a.lock"]
    {
        assert!(RefPattern::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_can_be_granted_by_name() {
    for (text, good) in [("issues", true), ("actions.rerun", true), ("", false), ("a..b", false), ("Issues", false), ("a b", false)] {
        assert_eq!(Capability::parse(text).is_ok(), good, "{text}");
    }
}

#[test]
fn grants_that_contradict_themselves() {
    let pushing = RepositoryGrant::pushing(name("octo/spoon"), "fix").unwrap();
    assert!(Grant::new(vec![pushing.clone(), RepositoryGrant::reading(name("octo/fork"))]).is_ok());
    let read = RepositoryGrant { access: Access::Read, ..pushing.clone() };
    assert_eq!(Grant::new(vec![read]), Err(GrantError::ReadOnly(name("octo/spoon"))));
    let short = RepositoryGrant { push: vec![PushEntry::plain(RefPattern::parse("main").unwrap())], ..pushing.clone() };
    assert!(matches!(Grant::new(vec![short]), Err(GrantError::Rules(_))));
    let again = RepositoryGrant::reading(name("Octo/Spoon"));
    assert_eq!(Grant::new(vec![pushing.clone(), again]), Err(GrantError::Twice(name("Octo/Spoon"))));
    let many = (0..=MAX_REPOSITORIES).map(|number| RepositoryGrant::reading(name(&format!("a/{number}")))).collect();
    assert_eq!(Grant::new(many), Err(GrantError::TooMany));
}

#[test]
fn a_record_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Grant>(text).map_err(|error| error.to_string());
    let written = r#"[{"name":"octo/spoon","access":"write","push":["refs/heads/x"],"grants":["issues"]}]"#;
    let grant = read(written).unwrap();
    let [repository] = grant.repositories() else { panic!("{grant:?}") };
    assert!(repository.create && repository.update && repository.force && !repository.delete);
    assert_eq!(read(&serde_json::to_string(&grant).unwrap()), Ok(grant));
    assert_eq!(read("[]"), Ok(Grant::default()));
    for bad in [
        r#"[{"name":"octo/spoon","wiki":true}]"#,
        r#"[{"name":"octo/spoon","name":"octo/other"}]"#,
        r#"[{"name":"octo/../spoon"}]"#,
        r#"[{"name":"octo/spoon","access":"admin"}]"#,
        r#"[{"name":"octo/spoon","push":["refs/heads/x"]}]"#,
        r#"[{"access":"read"}]"#,
        r#"[{"name":"octo/spoon","upstream_path":"spoon.git"}]"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
#[test]
fn a_sandbox_sees_no_path_of_the_operators() {
    let written = r#"[{"name":"octo/spoon","upstream_path":"/srv/spoon.git"},{"name":"octo/fork"}]"#;
    let grant: Grant = serde_json::from_str(written).unwrap();
    assert_eq!(grant.repositories()[0].upstream_path, Some("/srv/spoon.git".into()));
    assert_eq!(serde_json::from_str::<Grant>(&serde_json::to_string(&grant).unwrap()).unwrap(), grant);
    let names = ["octo/spoon", "octo/fork"].map(|text| RepositoryGrant::reading(name(text)));
    assert_eq!(grant.for_sandbox(), Grant::new(names.into()).unwrap());
}
