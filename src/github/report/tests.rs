use super::*;

const V2: &[u8] = b" report-status-v2 side-band-64k";
const PLAIN: &[u8] = b" report-status";

fn refs() -> [RefName; 2] {
    ["refs/heads/main", "refs/tags/v1"].map(|name| RefName::parse(name.as_bytes()).unwrap())
}

#[test]
fn a_refusal_in_bands() {
    let [main, tag] = refs();
    let answer = refusal(&Capabilities::parse(V2).unwrap(), [(&main, "no"), (&tag, "not\nattempted")], &["push x".into()]).unwrap();
    let expected = "000c\x02push x\n0055\x01000eunpack ok\n001ang refs/heads/main no\n0024ng refs/tags/v1 not\u{fffd}attempted\n00000000";
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

#[test]
fn a_refusal_without_bands() {
    let [main, _] = refs();
    let answer = refusal(&Capabilities::parse(PLAIN).unwrap(), [(&main, "no")], &["unseen".into()]).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "000eunpack ok\n001ang refs/heads/main no\n0000");
}

#[test]
fn who_reads_no_report_gets_none() {
    let [main, _] = refs();
    for capabilities in [&b""[..], b" side-band-64k", b" quiet agent=x"] {
        let capabilities = Capabilities::parse(capabilities).unwrap();
        assert_eq!((refusal(&capabilities, [(&main, "no")], &[]), unpack_error(&capabilities, "no", &[])), (None, None));
    }
}

#[test]
fn errors() {
    assert_eq!(fetch_error("no\r\n"), "0010ERR no\u{fffd}\u{fffd}".as_bytes());
    assert_eq!(advertisement_error(Service::ReceivePack, "read only"), b"001f# service=git-receive-pack\n00000011ERR read only");
    let answer = unpack_error(&Capabilities::parse(PLAIN).unwrap(), "too large", &[]).unwrap();
    assert_eq!(answer, b"0015unpack too large\n0000");
}

#[test]
fn long_reports_are_cut_into_lines() {
    let names: Vec<_> = (0..2000).map(|number| RefName::parse(format!("refs/heads/{number:060}").as_bytes()).unwrap()).collect();
    let long = "é".repeat(MAX_TEXT);
    let answer = refusal(&Capabilities::parse(V2).unwrap(), names.iter().map(|name| (name, "no")), std::slice::from_ref(&long)).unwrap();
    let (mut report, mut advice, mut rest) = (Vec::new(), Vec::new(), &answer[..]);
    while let gix_packetline::decode::Stream::Complete { line, bytes_consumed } = gix_packetline::decode::streaming(rest).unwrap() {
        rest = &rest[bytes_consumed..];
        match line.as_slice().and_then(<[u8]>::split_first) {
            Some((1, data)) => report.extend_from_slice(data),
            Some((2, text)) => advice.extend_from_slice(text),
            Some((band, _)) => panic!("band {band}"),
            None => assert_eq!(rest, b""),
        }
    }
    assert_eq!(String::from_utf8(advice).unwrap(), format!("{}…\n", "é".repeat(MAX_TEXT / 2)));
    assert_eq!(String::from_utf8(report).unwrap().matches("ng refs/heads/").count(), names.len());
}
