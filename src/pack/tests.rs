use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::github::push::ObjectId;

/// An object of a pack: its kind, what stands between its header and its octets, and those.
pub(super) struct Packed(pub(super) u8, pub(super) Vec<u8>, pub(super) Vec<u8>);

pub(super) fn pack(objects: &[Packed]) -> Vec<u8> {
    let mut out = [b"PACK\0\0\0\x02".as_slice(), &u32::try_from(objects.len()).unwrap().to_be_bytes()].concat();
    for Packed(kind, between, content) in objects {
        let mut size = content.len();
        let mut byte = kind << 4 | u8::try_from(size & 15).unwrap();
        size >>= 4;
        while size > 0 {
            out.push(byte | 0x80);
            byte = u8::try_from(size & 127).unwrap();
            size >>= 7;
        }
        out.push(byte);
        out.extend_from_slice(between);
        let mut encoder = ZlibEncoder::new(&mut out, Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap();
    }
    out.extend_from_slice(&[0; 20]);
    out
}

fn content(number: usize, parents: &[ObjectId]) -> Vec<u8> {
    let parents = parents.iter().map(|parent| format!("parent {parent}\n")).collect::<Vec<_>>().concat();
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    format!("tree {tree}\n{parents}author a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n{number}\nparent {}\n", "3".repeat(40)).into_bytes()
}

fn id(content: &[u8]) -> ObjectId {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(format!("commit {}\0", content.len()).as_bytes());
    hash.update(content);
    let digits: Vec<_> = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ObjectId::parse(digits.concat().as_bytes()).unwrap()
}

fn read(bytes: &[u8], piece: usize) -> Result<Commits, PackError> {
    let mut reader = PackReader::new(ObjectFormat::Sha1);
    bytes.chunks(piece).try_for_each(|piece| reader.take(piece))?;
    reader.finish()
}

fn of(digit: &str) -> ObjectId {
    ObjectId::parse(digit.repeat(40).as_bytes()).unwrap()
}

#[test]
fn a_chain_of_commits_proves_descent() {
    let first = content(1, &[of("1")]);
    let second = content(2, &[id(&first)]);
    let merge = content(3, &[of("2"), id(&second)]);
    let [first_id, second_id, merge_id] = [&first, &second, &merge].map(|content| id(content));
    let other = Packed(3, vec![], vec![7; 5000]);
    let bytes = pack(&[Packed(1, vec![], merge), other, Packed(1, vec![], first), Packed(1, vec![], second)]);
    let commits = read(&bytes, 7).unwrap();
    let proved = |old: &ObjectId, new: &ObjectId| commits.descent(old, new).map(|descent| (descent.old, descent.new));
    for (old, new) in [(&of("1"), &merge_id), (&of("2"), &merge_id), (&first_id, &second_id), (&first_id, &first_id)] {
        assert_eq!(proved(old, new), Ok((old.clone(), new.clone())));
    }
    // What only stands in a message is no parent.
    assert!(matches!(proved(&of("3"), &merge_id), Err(Unproven::Beyond(beyond)) if beyond.len() == 2));
    assert_eq!(proved(&second_id, &first_id), Err(Unproven::Beyond(vec![of("1")])));
    assert_eq!(proved(&of("1"), &of("4")), Err(Unproven::Beyond(vec![of("4")])));
    let root = content(9, &[]);
    let commits = read(&pack(&[Packed(1, vec![], root.clone())]), 1).unwrap();
    assert_eq!(commits.descent(&of("1"), &id(&root)), Err(Unproven::LeftBehind));
}

#[test]
fn a_commit_written_as_a_difference_is_read() {
    let first = content(1, &[of("1")]);
    let second = content(2, &[of("2")]);
    let head = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
    let size = |size: usize| vec![u8::try_from(size & 127).unwrap() | 0x80, u8::try_from(size >> 7).unwrap()];
    let copy = vec![0x80 | 0x10, u8::try_from(head).unwrap()];
    let inserted: Vec<u8> =
        second[head..].chunks(127).flat_map(|piece| [&[u8::try_from(piece.len()).unwrap()][..], piece].concat()).collect();
    let delta = [size(first.len()), size(second.len()), copy, inserted].concat();
    let base = pack(&[Packed(1, vec![], first.clone())]);
    let distance = u8::try_from(base.len() - 20 - 12).unwrap();
    let distance = if distance < 128 { vec![distance] } else { vec![0x80, distance - 128] };
    let raw: Vec<u8> = (0..20).map(|at| u8::from_str_radix(&id(&first).as_str()[2 * at..2 * at + 2], 16).unwrap()).collect();
    for (kind, between) in [(6, distance), (7, raw)] {
        let commits = read(&pack(&[Packed(1, vec![], first.clone()), Packed(kind, between, delta.clone())]), 5).unwrap();
        assert!(commits.descent(&of("2"), &id(&second)).is_ok(), "{kind}");
    }
    // From a base that is not there nothing is known.
    let commits = read(&pack(&[Packed(7, vec![9; 20], delta)]), 5).unwrap();
    assert!(commits.descent(&of("2"), &id(&second)).is_err());
}

#[test]
fn what_is_no_pack() {
    let good = pack(&[Packed(1, vec![], content(1, &[]))]);
    assert!(read(&good, 3).is_ok());
    for (bytes, error) in [
        ([b"PUCK", &good[4..]].concat(), PackError::Start),
        ([b"PACK\0\0\0\x04", &good[8..]].concat(), PackError::Start),
        ([&good[..12], &[0x00; 40]].concat(), PackError::Header),
        ([&good[..12], &[0xff; 40]].concat(), PackError::Header),
        ([&good[..12], &[0xe0], &[0xff; 40]].concat(), PackError::Header),
        ([&good[..14], &[0; 40]].concat(), PackError::Compression),
        ([&good[..12], &[good[12] ^ 1], &good[13..]].concat(), PackError::Size),
        (good[..good.len() - 1].to_vec(), PackError::Short),
        ([&good[..], b"x"].concat(), PackError::Surplus),
        (Vec::new(), PackError::Short),
    ] {
        for piece in [1, 4096] {
            assert_eq!(read(&bytes, piece).map(drop), Err(error), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn what_grows_without_end_is_not_read() {
    let bytes = pack(&[Packed(3, vec![], vec![0; 1 << 20]), Packed(3, vec![], vec![0; 1 << 20])]);
    for (bound, expected) in [(2 << 20, Ok(())), ((2 << 20) - 1, Err(PackError::TooLarge))] {
        let mut reader = PackReader { bound, ..PackReader::new(ObjectFormat::Sha1) };
        assert_eq!(reader.take(&bytes), expected);
    }
}

proptest! {
    /// Against a slow walk of the same history.
    #[test]
    fn descent_is_what_a_slow_walk_finds(
        history in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..12),
        missing in prop::collection::vec(any::<bool>(), 12),
        (old, new) in any::<(prop::sample::Index, prop::sample::Index)>(),
        piece in 1_usize..600,
    ) {
        let mut written: Vec<(ObjectId, Vec<usize>, Vec<u8>)> = Vec::new();
        for (number, parents) in history.iter().enumerate() {
            let parents: Vec<_> = parents.iter().filter(|_| number > 0).map(|parent| parent.index(number.max(1))).collect();
            let names: Vec<_> = parents.iter().map(|parent| written[*parent].0.clone()).collect();
            let content = content(number, &names);
            written.push((id(&content), parents, content));
        }
        let packed: Vec<_> = written.iter().zip(&missing).filter(|(_, missing)| !**missing).collect();
        let objects: Vec<_> = packed.iter().rev().map(|((_, _, content), _)| Packed(1, vec![], content.clone())).collect();
        let commits = read(&pack(&objects), piece).unwrap();
        let (old, new) = (old.index(written.len()), new.index(written.len()));
        let found = commits.descent(&written[old].0, &written[new].0);
        prop_assert_eq!(found.is_ok(), reaches(&written, &missing, new, old));
    }
}

fn reaches(written: &[(ObjectId, Vec<usize>, Vec<u8>)], missing: &[bool], from: usize, to: usize) -> bool {
    from == to || (!missing[from] && written[from].1.iter().any(|parent| reaches(written, missing, *parent, to)))
}
