//! Whatever text goes in, a report is made of whole lines, says `ng` once for each ref, and ends where git expects it to.
#![no_main]

use gix_packetline::{PacketLineRef, decode};
use libfuzzer_sys::fuzz_target;
use tidegate::github::{
    push::{Capabilities, RefName},
    report::{fetch_error, interrupted, refusal, unpack_error},
};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let texts: Vec<String> = text.split('|').map(str::to_owned).collect();
    let names: Vec<_> = (0..texts.len()).map(|number| RefName::parse(format!("refs/heads/{number}").as_bytes()).expect("a name")).collect();
    let refs = || names.iter().zip(&texts).map(|(name, text)| (name, text.as_str()));
    for capabilities in [&b"report-status"[..], b"report-status-v2 side-band-64k"] {
        let capabilities = Capabilities::parse(capabilities).expect("capabilities");
        for (answer, said) in [(refusal(&capabilities, refs(), &texts), names.len()), (unpack_error(&capabilities, &text, &texts), 0)] {
            let mut report = answer.expect("a report");
            if capabilities.has_bands() {
                let bands = lines(&report);
                assert!(bands.iter().all(|line| matches!(line.first(), Some(1 | 2))));
                let data = bands.iter().filter(|line| line[0] == 1).map(|line| &line[1..]);
                report = data.collect::<Vec<_>>().concat();
            }
            let lines = lines(&report);
            assert!(lines[0].starts_with(b"unpack ") && lines.len() == said + 1);
            assert!(lines[1..].iter().all(|line| line.starts_with(b"ng refs/heads/")));
            assert!(lines.iter().all(|line| line.iter().position(|byte| *byte == b'\n') == Some(line.len() - 1)));
        }
    }
    assert!(matches!(decode::all_at_once(&fetch_error(&text)), Ok(line) if line.check_error().is_some()));
    let bands = Capabilities::parse(b"side-band-64k").expect("capabilities");
    let broken = interrupted(&bands, &format!("broke off: {text}")).expect("a band");
    assert!(matches!(&lines(&broken)[..], [line] if line[0] == 3 && !line.contains(&b'\n')));
});

/// The lines up to a flush, behind which nothing stands.
fn lines(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    loop {
        match decode::streaming(bytes) {
            Ok(decode::Stream::Complete { line: PacketLineRef::Data(line), bytes_consumed }) => {
                lines.push(line);
                bytes = &bytes[bytes_consumed..];
            }
            Ok(decode::Stream::Complete { line: PacketLineRef::Flush, bytes_consumed }) => {
                assert_eq!(bytes.len(), bytes_consumed);
                return lines;
            }
            other => panic!("{other:?}"),
        }
    }
}
