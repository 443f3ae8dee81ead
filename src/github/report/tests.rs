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
    let answer = unpack_error(&Capabilities::parse(PLAIN).unwrap(), "too large", &[]).unwrap();
    assert_eq!(answer, b"0015unpack too large\n0000");
}

#[test]
fn what_cannot_be_unpacked_is_said_before_any_ref() {
    let answer = unpack_error(&Capabilities::parse(V2).unwrap(), "too\nlarge", &["push less".into()]).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "000f\x02push less\n0020\x010017unpack too\u{fffd}large\n00000000");
}

#[test]
fn a_push_that_broke_off_is_neither_refused_nor_done() {
    let answer = interrupted(&Capabilities::parse(V2).unwrap(), "look before\r\nyou push again").unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "0024\x03look before\u{fffd}\u{fffd}you push again0000");
    let only_bands = Capabilities::parse(b"side-band-64k").unwrap();
    assert_eq!(interrupted(&only_bands, "x").unwrap(), b"0006\x03x0000");
    for without in [PLAIN, b""] {
        assert_eq!(interrupted(&Capabilities::parse(without).unwrap(), "x"), None);
    }
}

#[test]
fn who_waits_is_told_so_or_kept_waiting_in_silence() {
    let said = |capabilities: &[u8]| waiting(&Capabilities::parse(capabilities).unwrap(), "3 s\nso far");
    assert_eq!(said(V2).unwrap(), "0012\x023 s\u{fffd}so far\n".as_bytes());
    assert_eq!(said(b" report-status side-band-64k quiet").unwrap(), b"0005\x01");
    for without in [PLAIN, b"", b" side-band-64k", b" report-status quiet"] {
        assert_eq!(said(without), None);
    }
}

#[test]
fn text_is_one_line_of_bounded_length() {
    let [main, _] = refs();
    let plain = Capabilities::parse(PLAIN).unwrap();
    let hostile = format!("a\0b\rc\nd\u{1b}[2J\u{85}{}", "x".repeat(2 * MAX_TEXT));
    let shown = format!("a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}[2J\u{fffd}{}…", "x".repeat(MAX_TEXT - 22));
    let line = |content: &str| format!("{:04x}{content}", content.len() + 4);
    let answer = refusal(&plain, [(&main, hostile.as_str())], &[]).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), format!("000eunpack ok\n{}0000", line(&format!("ng refs/heads/main {shown}\n"))));
    assert_eq!(String::from_utf8(fetch_error(&hostile)).unwrap(), line(&format!("ERR {shown}")));
}

/// As many refs as a push may name, of the longest names: no packet is longer than git reads, and nothing is lost.
#[test]
fn long_reports_are_cut_into_packets() {
    let long = "a".repeat(crate::github::push::MAX_REF_NAME - 15);
    let names: Vec<_> = (0..2000).map(|number| RefName::parse(format!("refs/heads/{number:04}{long}").as_bytes()).unwrap()).collect();
    let text = "é".repeat(MAX_TEXT);
    let advice = std::slice::from_ref(&text);
    let refs = || names.iter().map(|name| (name, text.as_str()));
    let answer = refusal(&Capabilities::parse(V2).unwrap(), refs(), advice).unwrap();
    let (mut report, mut printed, mut longest) = (Vec::new(), Vec::new(), 0);
    let mut rest = &answer[..];
    while let gix_packetline::decode::Stream::Complete { line, bytes_consumed } = gix_packetline::decode::streaming(rest).unwrap() {
        rest = &rest[bytes_consumed..];
        longest = longest.max(bytes_consumed);
        match line.as_slice().and_then(<[u8]>::split_first) {
            Some((1, data)) => report.extend_from_slice(data),
            Some((2, text)) => printed.extend_from_slice(text),
            Some((band, _)) => panic!("band {band}"),
            None => assert_eq!(rest, b""),
        }
    }
    assert_eq!(longest, 65_520);
    assert_eq!(String::from_utf8(printed).unwrap(), format!("{}…\n", "é".repeat(MAX_TEXT / 2)));
    assert_eq!(report, refusal(&Capabilities::parse(PLAIN).unwrap(), refs(), advice).unwrap());
}
