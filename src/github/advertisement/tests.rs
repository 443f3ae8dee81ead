use proptest::prelude::*;

use super::*;

const FETCH: Service = Service::UploadPack;
const PUSH: Service = Service::ReceivePack;
const ID: &str = "1111111111111111111111111111111111111111";

fn line(content: &str) -> String {
    format!("{:04x}{content}", content.len() + 4)
}

fn service(service: Service) -> String {
    line(&format!("# service={service}\n")) + "0000"
}

/// The answer to a push's question, with these capabilities.
fn with(capabilities: &str) -> String {
    service(PUSH) + &line(&format!("{ID} refs/heads/main\0{capabilities}\n"))
}

fn read(service: Service, answer: &str) -> Result<Option<Advertisement>, AdvertisementError> {
    AdvertisementReader::new(service).read(answer.as_bytes())
}

/// What is written of an answer that is read to its end, and the version.
fn written(service: Service, answer: &str) -> (String, ProtocolVersion) {
    match read(service, &format!("{answer}what follows")) {
        Ok(Some(advertisement)) => {
            assert_eq!(advertisement.length, answer.len());
            (String::from_utf8(advertisement.written).unwrap(), advertisement.version)
        }
        other => panic!("{answer:?}: {other:?}"),
    }
}

#[test]
fn what_a_push_is_told() {
    let answer = with(
        "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta no-thin push-cert=1-a push-options session-id=x \
         object-format=sha1 agent=git/github-a",
    );
    let expected = with(
        "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta no-thin object-format=sha1 agent=git/github-a",
    );
    assert_eq!(written(PUSH, &answer), (expected.clone(), ProtocolVersion::V0));
    assert_eq!(written(PUSH, &expected), (expected, ProtocolVersion::V0));
}

#[test]
fn capabilities_of_a_push_are_those_that_are_served() {
    for (capabilities, expected) in [
        ("", ""),
        (" report-status  atomic ", "report-status atomic"),
        ("push-options=1 push-cert x-new x-new=1 atomic=1 no-thin=1 agent object-format=md5 quiet", "quiet"),
        ("agent=git/é quiet", "agent=git/é quiet"),
        ("agent=http://example.com quiet", "quiet"),
    ] {
        assert_eq!(written(PUSH, &with(capabilities)).0, with(expected), "{capabilities}");
    }
    // What is offered may be asked for.
    let every = "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta agent=x object-format=sha256";
    assert_eq!(written(PUSH, &with(every)).0, with(every));
    assert_eq!(push::Capabilities::parse(every.as_bytes()).unwrap().to_string(), format!(" {every}"));
}

#[test]
fn what_a_fetch_is_told() {
    let refs = |capabilities: &str| line(&format!("{ID} HEAD\0{capabilities}\n"));
    let came = refs("multi_ack session-id=x symref=HEAD:refs/heads/é mirror=https://example.com/x x-new x-other=1 agent=git/2");
    let left = refs("multi_ack symref=HEAD:refs/heads/é x-new x-other=1 agent=git/2");
    for (before, version) in [(String::new(), ProtocolVersion::V0), (line("version 1\n"), ProtocolVersion::V1)] {
        let before = service(FETCH) + &before;
        assert_eq!(written(FETCH, &format!("{before}{came}")), (format!("{before}{left}"), version));
    }
}

#[test]
fn what_a_fetch_is_told_in_version_2() {
    let list = |lines: &[&str]| lines.iter().map(|content| line(content)).collect::<String>() + "0000";
    let came = list(&[
        "version 2\n",
        "agent=git/github-a\n",
        "ls-refs=unborn\n",
        "fetch=shallow wait-for-done filter packfile-uris\n",
        "server-option\n",
        "object-format=sha1\n",
        "session-id=x\n",
        "bundle-uri\n",
        "bundle-uri=x\n",
        "promisor-remote=name=a,url=b\n",
        "mirror=https://example.com\n",
        "x-new",
    ]);
    let left = list(&[
        "version 2\n",
        "agent=git/github-a\n",
        "ls-refs=unborn\n",
        "fetch=shallow wait-for-done filter\n",
        "server-option\n",
        "object-format=sha1\n",
        "x-new",
    ]);
    for before in [String::new(), service(FETCH)] {
        assert_eq!(written(FETCH, &format!("{before}{came}")), (format!("{before}{left}"), ProtocolVersion::V2));
    }
    for (came, left) in
        [("fetch=packfile-uris", "fetch"), ("fetch=a packfile-uris=1  x=ssh://b", "fetch=a"), ("fetch", "fetch"), ("fetch=", "fetch")]
    {
        assert_eq!(written(FETCH, &list(&["version 2", came])).0, list(&["version 2", left]));
    }
}

#[test]
fn repositories_without_refs_and_other_forms() {
    let sha256 = "a".repeat(64);
    for rest in [
        line(&format!("{} capabilities^{{}}\0report-status\n", "0".repeat(40))),
        line(&format!("{ID} .have\0report-status")),
        line(&format!("{sha256} refs/heads/main\0object-format=sha256 agent=x\n")),
        line(&format!("{ID} refs/heads/main\n")),
        "0000".into(),
        line("version 1") + "0000",
    ] {
        let answer = service(PUSH) + &rest;
        assert_eq!(written(PUSH, &answer).0, answer);
    }
    // Digits of a length in another case, and no line feed behind the service.
    let other = format!(
        "001E# service={PUSH}0000{}",
        line(&format!("{ID} refs/heads/main\0quiet")).to_uppercase().replace("REFS/HEADS/MAIN\0QUIET", "refs/heads/main\0quiet")
    );
    assert_eq!(written(PUSH, &other).0, other.replacen("001E", "001e", 1).replacen("003D", "003d", 1).replace("004C", "004c"));
}

#[test]
fn what_git_would_take_otherwise_is_not_sent_on() {
    use AdvertisementError as E;
    let (fetch, push) = (service(FETCH), service(PUSH));
    for (asked, answer, expected) in [
        // Another service, none, or more than it.
        (PUSH, fetch.clone(), E::Service(PUSH, "# service=git-upload-pack".into())),
        (FETCH, push.clone(), E::Service(FETCH, "# service=git-receive-pack".into())),
        (FETCH, line("# service=git-upload-pack \n"), E::Service(FETCH, "# service=git-upload-pack ".into())),
        (FETCH, line("version 1\n"), E::Service(FETCH, "version 1".into())),
        (FETCH, line(&format!("{ID} HEAD\0quiet\n")), E::Service(FETCH, format!("{ID} HEAD\\x00quiet").into())),
        (FETCH, line("# service=git-upload-pack\n") + &line("more\n"), E::Service(FETCH, "more".into())),
        (FETCH, "0000".into(), E::End),
        // Versions.
        (PUSH, line("version 2\n"), E::Version(PUSH, "version 2".into())),
        (PUSH, push.clone() + &line("version 2\n"), E::Version(PUSH, "version 2".into())),
        (FETCH, fetch.clone() + &line("version 3\n"), E::Version(FETCH, "version 3".into())),
        (FETCH, fetch.clone() + &line("version 1\n") + &line("version 2\n"), E::Ref("version 2".into())),
        // The first ref.
        (FETCH, fetch.clone() + &line("shallow x"), E::Ref("shallow x".into())),
        (FETCH, fetch.clone() + &line(&format!("{ID} ")), E::Ref(format!("{ID} ").into())),
        (FETCH, fetch.clone() + &line(ID), E::Ref(ID.into())),
        (FETCH, fetch.clone() + &line(&format!("{} HEAD", &ID[1..])), E::Ref(format!("{} HEAD", &ID[1..]).into())),
        (FETCH, fetch.clone() + &line(&format!("{ID} a\tb\0quiet")), E::Ref(format!("{ID} a\\tb").into())),
        // Capabilities that end elsewhere for another reader.
        (PUSH, with("quiet\0push-options"), E::Capability("quiet\\x00push-options".into())),
        (PUSH, with("agent=x\tpush-options"), E::Capability("agent=x\\tpush-options".into())),
        (PUSH, with("quiet\n"), E::Capability("quiet\\n".into())),
        (FETCH, line("version 2") + &line("agent=x\0bundle-uri"), E::Capability("agent=x\\x00bundle-uri".into())),
        (FETCH, line("version 2") + &line("fetch=x\tpackfile-uris"), E::Capability("fetch=x\\tpackfile-uris".into())),
        (FETCH, line("version 2") + &line("\n"), E::Capability("".into())),
        (FETCH, line("version 2") + &line("=x"), E::Capability("=x".into())),
        // Lengths and ends.
        (FETCH, "+01e".into(), E::Line("+01e".into())),
        (FETCH, "0004".into(), E::Line("0004".into())),
        (FETCH, "fff1".into(), E::Line("fff1".into())),
        (FETCH, fetch.clone() + "zzzz", E::Line("zzzz".into())),
        (FETCH, fetch.clone() + "0001", E::End),
        (FETCH, line("version 2") + "0002", E::End),
        (FETCH, line("version 2") + "0001", E::End),
    ] {
        assert_eq!(read(asked, &answer), Err(expected), "{answer:?}");
    }
}

#[test]
fn what_an_upstream_says_in_the_place_of_refs_is_not_repeated() {
    for before in [String::new(), service(FETCH) + &line("version 1\n"), line("version 2\n")] {
        assert_eq!(read(FETCH, &(before + &line("ERR authorization: Basic eA==\n"))), Err(AdvertisementError::Upstream));
    }
    let shown = AdvertisementError::Upstream;
    assert_eq!((shown.to_string().as_str(), shown.reason()), ("it says ERR in the place of refs", Reason::UpstreamClosed));
    // Behind the first ref it is the client's to read.
    let answer = with("quiet");
    assert_eq!(written(PUSH, &answer).0, answer);
}

#[test]
fn bounds() {
    let longest = format!("{ID} refs/heads/main\0agent={}", "x".repeat(65_516 - 63));
    let answer = service(PUSH) + &line("version 1\n") + &line(&longest);
    assert_eq!(written(PUSH, &answer).0, answer);
    let capabilities = |count: usize| line("version 2\n") + &line("agent=x\n").repeat(count);
    assert!(matches!(read(FETCH, &(capabilities(MAX_LINES - 2) + "0000")), Ok(Some(_))));
    assert_eq!(read(FETCH, &capabilities(MAX_LINES - 1)), Ok(None));
    assert_eq!(read(FETCH, &capabilities(MAX_LINES)), Err(AdvertisementError::TooManyLines));
    // A line that would end past the bound is not waited for.
    assert_eq!(read(FETCH, &(line("version 2\n") + &line(&"x".repeat(3000)) + "fff0")), Err(AdvertisementError::TooLong));
    let full = line("version 2\n") + &line(&"x".repeat(MAX_ADVERTISEMENT / 2 - 4)) + &line(&"x".repeat(MAX_ADVERTISEMENT / 2 - 4 - 15));
    assert_eq!(full.len(), MAX_ADVERTISEMENT - 1);
    // Not even the length of the next would end before.
    assert_eq!(
        (read(FETCH, &full), read(FETCH, &(full.clone() + "z"))),
        (Err(AdvertisementError::TooLong), Err(AdvertisementError::TooLong))
    );
}

proptest! {
    #[test]
    fn where_the_bytes_are_cut_changes_nothing(push in any::<bool>(), parts in prop::collection::vec(prop_oneof![
        4 => Just(service(FETCH)),
        4 => Just(service(PUSH)),
        1 => Just(line("version 1\n")),
        3 => Just(line("version 2\n")),
        4 => "( |quiet|push-options|session-id=[a-c]|push-cert=x|x-new|agent=[a-z:/é]{1,5}|\t){0,4}\n?"
            .prop_map(|words| line(&format!("{ID} refs/heads/a\0{words}"))),
        4 => "(fetch=|bundle-uri|session-id=|=)?(shallow|packfile-uris| |\0|x://y){0,3}\n?".prop_filter_map("a line", |text| {
            (!text.is_empty()).then(|| line(&text))
        }),
        2 => Just("0000".to_owned()),
        1 => "[ -~]{0,8}",
    ], 0..6)) {
        let service = if push { PUSH } else { FETCH };
        let answer = parts.concat();
        let at_once = read(service, &answer);
        let mut reader = AdvertisementReader::new(service);
        let mut cuts = (0..=answer.len()).map(|end| reader.read(&answer.as_bytes()[..end]));
        let slowly = cuts.find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        prop_assert_eq!(&at_once, &slowly);
        if let Ok(Some(advertisement)) = slowly {
            prop_assert!(advertisement.written.len() <= advertisement.length && advertisement.length <= answer.len());
            let Advertisement { written, version, .. } = advertisement;
            let again = Advertisement { length: written.len(), written: written.clone(), version };
            prop_assert_eq!(AdvertisementReader::new(service).read(&written), Ok(Some(again)));
        }
    }
}
