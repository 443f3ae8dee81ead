use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;

use super::{
    super::{
        objects::MAX_MADE,
        tests::{Packed, pack},
    },
    *,
};
use crate::wire::secrets::{Found, Known};

/// A shelf in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Shelf for Memory {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Some(())
    }

    fn get(&self, offset: u64, into: &mut [u8]) -> Option<usize> {
        let all = self.0.lock().unwrap();
        let rest = all.get(usize::try_from(offset).unwrap()..)?;
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Some(length)
    }
}

const TOKEN: &[u8] = b"ghp_0123456789abcdefghijklmnopqrstuvwxyz";
const SECRET: Flaw = Flaw::Secret(Found::Shaped("a GitHub token"));
const FORMAT: ObjectFormat = ObjectFormat::Sha1;

fn looking() -> Looking {
    Looking { secrets: Some(Arc::new(Known::new([]).unwrap())), larger: Some(1000) }
}

fn push(bytes: &[u8]) -> Result<(Contents, Memory), PackError> {
    let mut kept = Memory::default();
    kept.put(bytes).unwrap();
    let mut reader = PackReader::examining(FORMAT, looking(), Box::new(Memory::default()));
    bytes.chunks(333).try_for_each(|piece| reader.take(piece))?;
    Ok((reader.finish_push()?.1.unwrap(), kept))
}

fn add(contents: Contents, bytes: &[u8], origin: Origin) -> Result<Contents, PackError> {
    let mut kept = Memory::default();
    kept.put(bytes).unwrap();
    let mut reader = contents.beside(origin);
    reader.take(bytes)?;
    reader.finish_beside()?.resolve(&kept)
}

fn name(kind: ObjectKind, content: &[u8]) -> Id {
    Id::name(kind, content, FORMAT)
}

fn raw(id: &Id) -> Vec<u8> {
    let digits = id.shown(FORMAT).unwrap();
    (0..20).map(|at| u8::from_str_radix(&digits.as_str()[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn size(size: usize) -> Vec<u8> {
    vec![u8::try_from(size & 127).unwrap() | 0x80, u8::try_from(size >> 7 & 127).unwrap() | 0x80, u8::try_from(size >> 14).unwrap()]
}

/// A difference that copies all of `base` and puts something behind it.
fn append(base: &[u8], more: &[u8]) -> Vec<u8> {
    let length = base.len();
    let copy = vec![0xb0, u8::try_from(length & 255).unwrap(), u8::try_from(length >> 8).unwrap()];
    [size(length), size(length + more.len()), copy, vec![u8::try_from(more.len()).unwrap()], more.to_vec()].concat()
}

fn flaws(contents: &Contents) -> Vec<(Option<String>, Flaw)> {
    let examined = contents.examined(None).unwrap();
    let shown = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
    examined.flaws().iter().map(|found| (found.path.as_deref().map(shown), found.flaw)).collect()
}

#[test]
fn a_secret_is_found_however_many_differences_deep() {
    let versions: Vec<Vec<u8>> = (0..5_u8).map(|more| [&b"a text of some length "[..], &vec![b'x'; more.into()]].concat()).collect();
    let last = append(&versions[4], TOKEN);
    let deltas = |base: usize| append(&versions[base], b"x");
    let named = |base: usize| raw(&name(ObjectKind::Blob, &versions[base]));
    // By names, the deepest first: none of the bases is known when a difference is read.
    let mut packed = vec![Packed(7, named(4), last.clone())];
    packed.extend((0..4).rev().map(|base| Packed(7, named(base), deltas(base))));
    packed.push(Packed(3, vec![], versions[0].clone()));
    let (mut contents, kept) = push(&pack(&packed)).unwrap();
    assert_eq!((contents.resolve(&kept), flaws(&contents)), (Ok(vec![]), vec![(None, SECRET)]));
    // By distances.
    let mut packed = vec![Packed(3, vec![], versions[0].clone())];
    for base in 0..5 {
        let before = pack(&packed).len() - 20;
        let place = pack(&packed[..base]).len() - 20;
        let delta = if base == 4 { last.clone() } else { deltas(base) };
        packed.push(Packed(6, vec![u8::try_from(before - place).unwrap()], delta));
    }
    let (mut contents, kept) = push(&pack(&packed)).unwrap();
    assert_eq!((contents.resolve(&kept), flaws(&contents)), (Ok(vec![]), vec![(None, SECRET)]));
}

#[test]
fn the_base_of_a_thin_pack_is_asked_for() {
    let base = [&b"first half: "[..], &TOKEN[..20]].concat();
    let thin = pack(&[Packed(7, raw(&name(ObjectKind::Blob, &base)), append(&base, &TOKEN[20..]))]);
    let (mut contents, kept) = push(&thin).unwrap();
    assert_eq!(contents.resolve(&kept), Ok(vec![name(ObjectKind::Blob, &base).shown(FORMAT).unwrap()]));
    let mut contents = add(contents, &pack(&[Packed(3, vec![], base.clone())]), Origin::Upstream).unwrap();
    assert_eq!((contents.resolve(&kept), flaws(&contents)), (Ok(vec![]), vec![(None, SECRET)]));
    // What the upstream has itself is not looked through.
    let (contents, _) = push(&pack(&[])).unwrap();
    let contents = add(contents, &pack(&[Packed(3, vec![], TOKEN.to_vec())]), Origin::Upstream).unwrap();
    assert_eq!(flaws(&contents), []);
    // Nor does it send differences from what it does not.
    let (contents, _) = push(&pack(&[])).unwrap();
    assert_eq!(add(contents, &thin, Origin::Beyond).map(drop), Err(PackError::Base));
}

#[test]
fn what_cannot_be_judged_is_none() {
    let text = b"some text".to_vec();
    let twice = |id: [u8; 20]| Packed(7, id.to_vec(), append(&text, b"x"));
    // Two differences from each other are from nothing.
    let (mut contents, kept) = push(&pack(&[twice([1; 20]), twice([2; 20])])).unwrap();
    assert_eq!(contents.resolve(&kept).map(|missing| missing.len()), Ok(2));
    for bad in [
        // From within an object, before the pack, from another size, of an order that means nothing.
        vec![Packed(3, vec![], text.clone()), Packed(6, vec![3], append(&text, b"x"))],
        vec![Packed(6, vec![100], append(&text, b"x"))],
        vec![Packed(3, vec![], text.clone()), Packed(7, raw(&name(ObjectKind::Blob, &text)), append(b"some", b"x"))],
        vec![Packed(3, vec![], text.clone()), Packed(7, raw(&name(ObjectKind::Blob, &text)), vec![9, 9, 0])],
        vec![Packed(3, vec![], text.clone()), Packed(7, raw(&name(ObjectKind::Blob, &text)), vec![])],
    ] {
        let (mut contents, kept) = push(&pack(&bad)).unwrap();
        assert!(matches!(contents.resolve(&kept), Err(PackError::Base | PackError::Difference)));
    }
}

#[test]
fn differences_that_grow_without_end_are_given_up() {
    let base = vec![b'x'; 1000];
    // Each is of a few octets and makes a megabyte.
    let copies = [0xb0, 0xe8, 0x03].repeat(1000);
    let delta = [size(1000), vec![0xc0, 0x84, 0x3d], copies].concat();
    let mut packed = vec![Packed(3, vec![], base.clone())];
    packed.extend((0..20).map(|_| Packed(7, raw(&name(ObjectKind::Blob, &base)), delta.clone())));
    let (mut contents, kept) = push(&pack(&packed)).unwrap();
    contents.objects.left = 10_000_000;
    assert_eq!(contents.resolve(&kept), Err(PackError::Beyond));
    let huge = [size(1000), vec![0xff, 0xff, 0xff, 0x7f], vec![0xb0, 0xe8, 0x03]].concat();
    let (mut contents, kept) =
        push(&pack(&[Packed(3, vec![], base.clone()), Packed(7, raw(&name(ObjectKind::Blob, &base)), huge)])).unwrap();
    assert_eq!(contents.resolve(&kept), Err(PackError::Difference));
}

/// What a directory holds.
type Files = BTreeMap<String, u8>;

/// Many beginnings of secrets in few octets of a pack.
#[test]
fn what_is_looked_at_closely_counts_for_more() {
    let used = |text: &[u8], delta: bool| {
        let content = text.repeat(50_000);
        let base = Packed(3, vec![], b"x".to_vec());
        let pieces: Vec<u8> = content.chunks(100).flat_map(|piece| [&[100][..], piece].concat()).collect();
        let difference = Packed(7, raw(&name(ObjectKind::Blob, b"x")), [size(1), size(content.len()), pieces].concat());
        let packed = if delta { vec![base, difference] } else { vec![Packed(3, vec![], content)] };
        let (mut contents, kept) = push(&pack(&packed)).unwrap();
        assert_eq!(contents.resolve(&kept), Ok(vec![]));
        MAX_MADE - contents.objects.left
    };
    for delta in [false, true] {
        let [plain, close] = [&b"abc "[..], b"ghp_"].map(|text| used(text, delta));
        assert!(plain < 1_000_000 && close > 3_000_000, "{delta}: {plain}, {close}");
    }
}

fn blob(content: u8) -> Vec<u8> {
    vec![content; if content == 9 { 2000 } else { 5 }]
}

/// Writes trees, of which the last is the root.
fn write_trees(files: &Files, packed: &mut Vec<Packed>) -> Id {
    let mut entries: BTreeMap<&str, Files> = BTreeMap::new();
    for (path, content) in files {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        entries.entry(name).or_default().insert(rest.to_owned(), *content);
    }
    let mut tree = Vec::new();
    for (name, below) in entries {
        let (mode, id) = match below.get("") {
            Some(content) => {
                packed.push(Packed(3, vec![], blob(*content)));
                ("100644", self::name(ObjectKind::Blob, &blob(*content)))
            }
            None => ("40000", write_trees(&below, packed)),
        };
        tree.extend([mode.as_bytes(), b" ", name.as_bytes(), b"\0", &raw(&id)].concat());
    }
    packed.push(Packed(2, vec![], tree.clone()));
    name(ObjectKind::Tree, &tree)
}

fn write_commit(files: &Files, parents: &[ObjectId], packed: &mut Vec<Packed>) -> ObjectId {
    let tree = write_trees(files, packed).shown(FORMAT).unwrap();
    let parents: Vec<_> = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    let content = format!("tree {tree}\n{}author a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nwords\n", parents.concat());
    packed.push(Packed(1, vec![], content.clone().into_bytes()));
    name(ObjectKind::Commit, content.as_bytes()).shown(FORMAT).unwrap()
}

fn files(text: &[(&str, u8)]) -> Files {
    text.iter().map(|(path, content)| ((*path).to_owned(), *content)).collect()
}

/// What a push of these commits touches beside those, whose trees come one by one as they are asked for.
fn survey(new: &[Files], before: &[Files]) -> Vec<String> {
    let (mut pushed, mut there) = (Vec::new(), Vec::new());
    let before: Vec<_> = before.iter().map(|files| write_commit(files, &[], &mut there)).collect();
    for files in new {
        write_commit(files, &before, &mut pushed);
    }
    let (mut contents, kept) = push(&pack(&pushed)).unwrap();
    assert_eq!(contents.resolve(&kept), Ok(vec![]));
    let commits: Vec<_> =
        there.iter().filter(|packed| packed.0 == 1).map(|Packed(_, _, content)| Packed(1, vec![], content.clone())).collect();
    let mut contents = add(contents, &pack(&commits), Origin::Upstream).unwrap();
    let mut survey = contents.survey(&before, None).unwrap();
    loop {
        let missing = survey.run(&contents, &|_, _| true).unwrap();
        let Some(wanted) = missing.first() else { break };
        let wanted = there.iter().find(|packed| packed.0 == 2 && name(ObjectKind::Tree, &packed.2).shown(FORMAT).as_ref() == Some(wanted));
        contents = add(contents, &pack(&[Packed(2, vec![], wanted.unwrap().2.clone())]), Origin::Upstream).unwrap();
    }
    let examined = contents.examined(Some(survey)).unwrap();
    examined.touched().unwrap().iter().map(|path| String::from_utf8(path.to_vec()).unwrap()).collect()
}

#[test]
fn what_is_like_one_of_those_before_is_not_touched() {
    let old = files(&[("a", 1), ("d/x", 1), ("d/y", 1)]);
    for (new, expected) in [
        (files(&[("a", 1), ("d/x", 1), ("d/y", 1)]), vec![]),
        (files(&[("a", 2), ("d/x", 1), ("d/y", 1)]), vec!["a"]),
        (files(&[("d/x", 1), ("d/y", 1)]), vec!["a"]),
        (files(&[("a", 1), ("d/x", 2), ("d/y", 1), ("e/z", 1)]), vec!["d/x", "e/z"]),
        (files(&[("a/b", 1), ("d", 1)]), vec!["a", "a/b", "d", "d/x", "d/y"]),
    ] {
        assert_eq!(survey(std::slice::from_ref(&new), std::slice::from_ref(&old)), expected, "{new:?}");
        assert_eq!(survey(std::slice::from_ref(&new), &[old.clone(), new.clone()]), Vec::<String>::new());
        // A commit in between is one, too.
        assert_eq!(survey(&[old.clone(), new.clone(), old.clone()], std::slice::from_ref(&old)), expected, "{new:?}");
    }
    assert_eq!(survey(std::slice::from_ref(&old), &[]), ["a", "d/x", "d/y"]);
}

#[test]
fn a_flaw_is_told_by_its_path() {
    let mut packed = Vec::new();
    write_commit(&files(&[("a", 1), ("d/e/large", 9)]), &[], &mut packed);
    packed.push(Packed(4, vec![], [b"object ", "1".repeat(40).as_bytes(), b"\n\n", TOKEN].concat()));
    let (mut contents, kept) = push(&pack(&packed)).unwrap();
    assert_eq!(contents.resolve(&kept), Ok(vec![]));
    assert_eq!(flaws(&contents), [(Some("d/e/large".into()), Flaw::Large(2000)), (None, SECRET)]);
    assert!(contents.examined(None).unwrap().flaws()[1].object.starts_with("the tag "));
}

#[test]
fn what_a_history_goes_on_with() {
    let outside = |digit: &str| ObjectId::parse(digit.repeat(40).as_bytes()).unwrap();
    let mut packed = Vec::new();
    let first = write_commit(&files(&[("a", 1)]), &[outside("1")], &mut packed);
    let second = write_commit(&files(&[("a", 2)]), &[first.clone(), outside("2")], &mut packed);
    let tag = format!("object {second}\ntype commit\n").into_bytes();
    packed.push(Packed(4, vec![], tag.clone()));
    let (mut contents, kept) = push(&pack(&packed)).unwrap();
    contents.resolve(&kept).unwrap();
    let tag = name(ObjectKind::Tag, &tag).shown(FORMAT).unwrap();
    assert_eq!(contents.beyond(&[tag]), Ok(vec![outside("1"), outside("2")]));
    assert_eq!(contents.beyond(&[second, outside("3")]), Ok(vec![outside("1"), outside("2"), outside("3")]));
    let tree = packed.iter().find(|packed| packed.0 == 2).map(|packed| name(ObjectKind::Tree, &packed.2).shown(FORMAT).unwrap());
    assert_eq!(contents.beyond(&[tree.unwrap()]), Err(PackError::Tip));
}

/// A commit that came as the base of a difference is judged as any other that is on no branch.
#[test]
fn what_the_upstream_was_asked_for_is_not_judged_by_that() {
    let (mut pushed, mut there) = (Vec::new(), Vec::new());
    let hidden = write_commit(&files(&[("a", 1)]), &[], &mut there);
    let new = write_commit(&files(&[("a", 2)]), std::slice::from_ref(&hidden), &mut pushed);
    let (mut contents, kept) = push(&pack(&pushed)).unwrap();
    assert_eq!(contents.resolve(&kept), Ok(vec![]));
    let contents = add(contents, &pack(&there), Origin::Upstream).unwrap();
    assert_eq!(contents.beyond(std::slice::from_ref(&new)), Ok(vec![hidden.clone()]));
    assert_eq!(contents.beyond(&[new.clone(), hidden.clone()]), Ok(vec![hidden.clone()]));
    let contents = add(contents, &pack(&there), Origin::Beyond).unwrap();
    assert_eq!(contents.beyond(&[new, hidden]), Ok(vec![]));
}

/// git reads the name of a parent in upper case, too.
#[test]
fn a_parent_is_a_parent_however_it_is_spelled() {
    let parent = ObjectId::parse("ab".repeat(20).as_bytes()).unwrap();
    let mut packed = Vec::new();
    write_commit(&files(&[("a", 1)]), std::slice::from_ref(&parent), &mut packed);
    let Some(Packed(1, _, commit)) = packed.pop() else { panic!("the commit comes last") };
    let commit = String::from_utf8(commit).unwrap().replace(parent.as_str(), &parent.as_str().to_uppercase()).into_bytes();
    let tip = name(ObjectKind::Commit, &commit).shown(FORMAT).unwrap();
    packed.push(Packed(1, vec![], commit));
    let (contents, _) = push(&pack(&packed)).unwrap();
    assert_eq!(contents.beyond(&[tip]), Ok(vec![parent]));
}

fn any_files() -> impl Strategy<Value = Files> {
    prop::collection::btree_map("[ab](/[ab]){0,2}", 1..3_u8, 0..5).prop_map(|mut files| {
        // A file is no directory.
        let all: Vec<_> = files.keys().cloned().collect();
        files.retain(|path, _| !all.iter().any(|other| other.starts_with(&format!("{path}/"))));
        files
    })
}

proptest! {
    /// Against a comparison of whole lists of files.
    #[test]
    fn a_survey_finds_what_a_slow_comparison_finds(
        new in prop::collection::vec(any_files(), 1..3), before in prop::collection::vec(any_files(), 0..3)
    ) {
        let mut expected: Vec<_> = new.iter().flat_map(|new| {
            let paths = before.iter().flat_map(BTreeMap::keys).chain(new.keys()).cloned();
            let touched = |path: &String| if before.is_empty() { true } else { before.iter().all(|before| before.get(path) != new.get(path)) };
            paths.filter(|path| touched(path)).collect::<Vec<_>>()
        }).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(survey(&new, &before), expected);
    }

    /// Whatever a pack holds, it is judged or refused.
    #[test]
    fn any_pack_is_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let mut packed = vec![Packed(3, vec![], b"base".to_vec()), Packed(7, raw(&name(ObjectKind::Blob, b"base")), bytes.clone())];
        write_commit(&files(&[("a", 1), ("b/c", 2)]), &[], &mut packed);
        let mut whole = pack(&packed);
        let at = cut.index(whole.len());
        whole.splice(at..at, bytes);
        if let Ok((mut contents, kept)) = push(&whole) {
            let _ = contents.resolve(&kept);
        }
    }
}
