use proptest::prelude::*;

use super::*;

const ID: &str = "1111111111111111111111111111111111111111";

fn line(content: &str) -> String {
    format!("{:04x}{content}", content.len() + 4)
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

#[test]
fn what_is_asked() {
    let asked = request(ObjectFormat::Sha256, [&name("refs/heads/a")]);
    let expected = [
        &line("command=ls-refs\n"),
        &line("object-format=sha256\n"),
        "0001",
        &line("symrefs\n"),
        &line("unborn\n"),
        &line("ref-prefix HEAD\n"),
        &line("ref-prefix refs/heads/a\n"),
        "0000",
    ];
    assert_eq!(String::from_utf8(asked).unwrap(), expected.concat());
}

#[test]
fn what_is_answered() {
    let head = line(&format!("{ID} HEAD symref-target:refs/heads/trunk\n"));
    let tip = ObjectId::parse(ID.as_bytes()).unwrap();
    let listing = Listing { default: Some(name("refs/heads/trunk")), refs: vec![], tips: vec![tip.clone()] };
    assert_eq!(parse(format!("{head}0000").as_bytes()), Ok(Some(listing.clone())));
    assert_eq!(parse(head.as_bytes()), Ok(None));
    let unborn = Listing { tips: vec![], ..listing.clone() };
    assert_eq!(parse(format!("{}0000", line("unborn HEAD symref-target:refs/heads/trunk\n")).as_bytes()), Ok(Some(unborn)));
    let refs = vec![name("refs/heads/a")];
    let more = format!("{head}{}0000", line(&format!("{ID} refs/heads/a\n")));
    assert_eq!(parse(more.as_bytes()), Ok(Some(Listing { refs, tips: vec![tip.clone(); 2], ..listing })));
    for (nothing, tips) in [("0000".to_owned(), vec![]), (line(&format!("{ID} HEAD\n")) + "0000", vec![tip])] {
        assert_eq!(parse(nothing.as_bytes()), Ok(Some(Listing { tips, ..Listing::default() })), "{nothing}");
    }
}

#[test]
fn what_says_nothing() {
    let head = line(&format!("{ID} HEAD symref-target:refs/heads/trunk\n"));
    let bad = |content: &str| ListingError::Line(excerpt(content.as_bytes()));
    for (body, error) in [
        (line("ERR no\n"), ListingError::Upstream),
        (format!("{head}0001"), ListingError::End),
        ("zzzz".into(), ListingError::Framing),
        (head.repeat(2), bad(&head[4..])),
        (line("x HEAD"), bad("x HEAD")),
        (line(ID), bad(ID)),
        (line(&format!("{ID} refs/heads/a..b")), bad(&format!("{ID} refs/heads/a..b"))),
        (line(&format!("{ID} HEAD symref-target:trunk")), bad(&format!("{ID} HEAD symref-target:trunk"))),
        (line(&format!("{ID} refs/heads/a\n")).repeat(MAX_LISTING / 50), ListingError::Framing),
    ] {
        assert_eq!(parse(body.as_bytes()), Err(error), "{}", &body[..body.len().min(80)]);
    }
}

proptest! {
    #[test]
    fn nothing_is_read_of_what_has_not_come(parts in prop::collection::vec(prop_oneof![
        Just(line(&format!("{ID} HEAD symref-target:refs/heads/trunk\n"))),
        Just(line(&format!("{ID} refs/heads/a"))),
        Just("0000".to_owned()),
        "[ -~]{0,8}",
    ], 0..5)) {
        let body = parts.concat();
        let slowly = (0..=body.len()).map(|end| parse(&body.as_bytes()[..end])).find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        prop_assert_eq!(parse(body.as_bytes()), slowly);
    }
}
