use proptest::prelude::*;

use super::*;
use crate::wire::http1::parse_head;

const HANDSHAKE: [(&str, &str); 5] = [
    ("Host", "a.test"),
    ("Upgrade", "WebSocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn is_asked(line: &str, fields: &[(&str, &str)]) -> bool {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!("{line}\r\n{}\r\n", fields.concat());
    let (head, _) = parse_head(text.as_bytes()).unwrap().unwrap();
    is_asked_by(&head)
}

#[test]
fn threat_61_only_a_whole_handshake_asks() {
    let line = "GET /chat HTTP/1.1";
    assert!(is_asked(line, &HANDSHAKE));
    for other in ["POST /chat HTTP/1.1", "get /chat HTTP/1.1", "GET /chat HTTP/1.0"] {
        assert!(!is_asked(other, &HANDSHAKE), "{other}");
    }
    for (index, value) in [
        (1, "h2c"),
        (1, "TLS/1.0"),
        (1, "websocket, h2c"),
        (1, "websocket/13"),
        (2, "close"),
        (2, "upgraded"),
        (3, "8"),
        (3, "013"),
        (3, ""),
        (4, ""),
        (4, "dGhlIHNhbXBsZSBub25jZQ"),
        (4, "dGhlIHNhbXBsZSBub25jZQAA"),
        (4, "not base64 of 16 octets"),
    ] {
        let mut fields = HANDSHAKE;
        fields[index].1 = value;
        assert!(!is_asked(line, &fields), "{value}");
    }
    for left_out in &HANDSHAKE[1..] {
        let without: Vec<_> = HANDSHAKE.iter().copied().filter(|field| field != left_out).collect();
        assert!(!is_asked(line, &without), "without {left_out:?}");
    }
    for more in
        [HANDSHAKE[1], HANDSHAKE[3], HANDSHAKE[4], ("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]
    {
        assert!(!is_asked(line, &[&HANDSHAKE[..], &[more]].concat()), "with {more:?}");
    }
}

#[test]
fn an_answer_agrees_with_the_one_accept_that_fits() {
    let answer = |fields: &[(&str, &'static str)]| {
        let fields = fields.to_vec();
        let values = move |name: &'static str| {
            let values: Vec<_> = fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_bytes()).collect();
            values.into_iter()
        };
        agrees(values, b"accept")
    };
    let good = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "accept")];
    assert!(answer(&good));
    assert!(!answer(&good[..2]) && !answer(&good[1..]) && !answer(&[good[0], good[2]]));
    assert!(!answer(&[good[0], good[1], ("sec-websocket-accept", "other")]));
    assert!(!answer(&[&good[..], &good[2..]].concat()));
}

#[test]
fn a_close_frame_carries_its_code_and_a_short_reason() {
    assert_eq!(close(1012, "expired"), b"\x88\x09\x03\xf4expired");
    assert_eq!(close(1012, &"x".repeat(MAX_REASON + 1)), b"\x88\x02\x03\xf4");
    let mut frames = ServerFrames::new(None);
    assert!(frames.pass(&close(1012, &"x".repeat(MAX_REASON))).is_ok() && frames.is_between());
}

#[test]
fn what_no_server_sends_is_an_error() {
    let pass = |bytes: &[u8]| ServerFrames::new(None).pass(bytes).map(Cow::into_owned);
    assert_eq!(pass(b"\x82\x81abcd"), Err(FrameError::Masked));
    assert_eq!(pass(b"\x82\x01a\x82\xfe\x00\x7f"), Err(FrameError::Masked));
    assert_eq!(pass(b"\x82\x7f\x80\0\0\0\0\0\0\0"), Err(FrameError::Length(1 << 63)));
    assert!(pass(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc").is_ok());
}

#[test]
fn threat_89_a_secret_in_a_frame_is_masked_and_no_message_waits_for_the_next() {
    let mut frames = ServerFrames::new(Some(Masker::new([b"secret".as_slice()])));
    let mut pass = |bytes: &[u8]| (frames.pass(bytes).unwrap().into_owned(), frames.is_between());
    assert_eq!(pass(b"\x81\x0emy secret: sec"), (b"\x81\x0emy ******: sec".to_vec(), true));
    assert_eq!(pass(b"\x81\x06sec"), (b"\x81\x06".to_vec(), false));
    assert_eq!(pass(b"ret\x81"), (b"******\x81".to_vec(), false));
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let head = match payload.len() {
        short @ ..126 => vec![0x82, u8::try_from(short).unwrap()],
        medium @ ..0x1_0000 => [&[0x82, 126], &u16::try_from(medium).unwrap().to_be_bytes()[..]].concat(),
        long => [&[0x82, 127], &(long as u64).to_be_bytes()[..]].concat(),
    };
    [&head, payload].concat()
}

proptest! {
    #[test]
    fn pieces_change_nothing_and_every_end_of_a_frame_is_found(
        lengths in proptest::collection::vec(prop_oneof![0usize..4, 120usize..130, 65530usize..65540], 0..4),
        cuts in proptest::collection::vec(0usize..70_000, 0..8),
        masks: bool,
    ) {
        let whole: Vec<u8> = lengths.iter().flat_map(|length| frame(&b"abcd".repeat(length / 4 + 1)[..*length])).collect();
        let mut ends = vec![0];
        ends.extend(lengths.iter().scan(0, |end, length| { *end += frame(&vec![0; *length]).len(); Some(*end) }));
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(whole.len())).chain([0, whole.len()]).chain(ends.iter().copied()).collect();
        cuts.sort_unstable();
        let masker = || masks.then(|| Masker::new([b"cdab".as_slice()]));
        let at_once = ServerFrames::new(masker()).pass(&whole).unwrap().into_owned();
        let mut slow = ServerFrames::new(masker());
        let mut slowly = Vec::new();
        for pair in cuts.windows(2) {
            slowly.extend_from_slice(&slow.pass(&whole[pair[0]..pair[1]]).unwrap());
            prop_assert_eq!(slow.is_between(), ends.contains(&pair[1]));
            if slow.is_between() {
                prop_assert_eq!(slowly.len(), pair[1]);
            }
        }
        prop_assert_eq!(at_once.len(), whole.len());
        prop_assert!(masks || at_once == whole);
        prop_assert_eq!(slowly, at_once);
    }

    #[test]
    fn nothing_that_a_server_sends_breaks_the_reader(bytes: Vec<u8>) {
        if let Ok(passed) = ServerFrames::new(None).pass(&bytes) {
            prop_assert_eq!(&*passed, &*bytes);
        }
    }
}

/// A frame of a client.
fn masked(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(payload);
    let head = frame.len() - payload.len();
    (frame[0], frame[1]) = (first, frame[1] | 0x80);
    let payload: Vec<_> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    frame.truncate(head);
    [frame, key.to_vec(), payload].concat()
}

const SECRET: &[u8] = b"real-credential-0123456789";

fn known() -> Arc<Known> {
    Arc::new(Known::new([SECRET]).unwrap())
}

#[test]
fn a_secret_in_what_a_client_sends_is_found_whatever_stands_in_between() {
    let (one, other) = SECRET.split_at(9);
    let key = *b"\x01\xfe%\0";
    for stream in [
        masked(0x81, key, SECRET),
        masked(0x82, [0; 4], SECRET),
        frame(SECRET),
        [masked(0x01, key, one), masked(0x80, *b"abcd", other)].concat(),
        [masked(0x01, key, one), masked(0x89, key, b"ping"), masked(0x80, key, other)].concat(),
        [masked(0x81, key, one), masked(0x81, key, other)].concat(),
        [masked(0x89, key, one), masked(0x81, key, b"in between"), masked(0x8a, key, other)].concat(),
        masked(0x81, key, &[&b"x".repeat(65_533)[..], SECRET].concat()),
        masked(0x81, key, &[&b"x".repeat(123)[..], SECRET].concat()),
    ] {
        for size in [1, 3, stream.len()] {
            let mut frames = ClientFrames::new(&known());
            let found = stream.chunks(size).position(|piece| frames.push(piece).unwrap().is_some());
            assert!(found.is_some_and(|at| at * size < stream.len()), "in pieces of {size}");
        }
    }
    for harmless in [masked(0x81, key, &SECRET[1..]), [masked(0x81, key, one), masked(0x81, key, b" "), masked(0x81, key, other)].concat()]
    {
        assert_eq!(ClientFrames::new(&known()).push(&harmless), Ok(None));
    }
    assert_eq!(ClientFrames::new(&known()).push(b"\x82\xff\x80\0\0\0\0\0\0\0abcd"), Err(FrameError::Length(1 << 63)));
}

proptest! {
    #[test]
    fn pieces_change_nothing_of_what_a_client_sends(
        payloads in proptest::collection::vec((0x80..0x8b_u8, any::<[u8; 4]>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..5),
        at in 0..6_usize,
        size in 1..300_usize,
    ) {
        let mut frames: Vec<_> = payloads.iter().map(|(first, key, payload)| masked(*first, *key, payload)).collect();
        let holds = at <= frames.len();
        if holds {
            frames.insert(at, masked(0x81, *b"mask", SECRET));
        }
        let stream = frames.concat();
        let mut slow = ClientFrames::new(&known());
        let slowly = stream.chunks(size).find_map(|piece| slow.push(piece).unwrap());
        prop_assert_eq!(slowly, ClientFrames::new(&known()).push(&stream).unwrap());
        prop_assert!(!holds || slowly.is_some());
    }

    #[test]
    fn nothing_that_a_client_sends_breaks_the_reader(bytes: Vec<u8>) {
        let _ = ClientFrames::new(&known()).push(&bytes);
    }
}
