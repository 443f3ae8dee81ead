//! Commits and trees, fetched by ourselves: one command of version 2 to `git-upload-pack` (git's `gitprotocol-v2`, `fetch`) and what comes back.

use std::fmt;

use gix_packetline::PacketLineRef;

use super::{
    pkt_line::{self, LineError},
    push::{ObjectFormat, ObjectId},
};

/// The body of a request for a pack of the commits that `wants` contain and `have` does not, without trees and blobs.
pub fn commits(format: ObjectFormat, wants: &[ObjectId], have: &ObjectId) -> Vec<u8> {
    request(format, &["filter tree:0"], wants, std::slice::from_ref(have))
}

/// The same of all the commits that these contain.
pub fn whole_history(format: ObjectFormat, wants: &[ObjectId]) -> Vec<u8> {
    request(format, &["filter tree:0"], wants, &[])
}

/// The same with trees, of the commits that `wants` contain and none of `haves` does.
pub fn history(format: ObjectFormat, wants: &[ObjectId], haves: &[ObjectId]) -> Vec<u8> {
    request(format, &["filter blob:none"], wants, haves)
}

/// Of these commits alone, each with its own tree and none below that.
pub fn roots(format: ObjectFormat, wants: &[ObjectId]) -> Vec<u8> {
    request(format, &["deepen 1", "filter tree:1"], wants, &[])
}

/// Of these trees and blobs alone.
pub fn objects(format: ObjectFormat, wants: &[ObjectId]) -> Vec<u8> {
    request(format, &["filter tree:0"], wants, &[])
}

fn request(format: ObjectFormat, arguments: &[&str], wants: &[ObjectId], haves: &[ObjectId]) -> Vec<u8> {
    let mut out = Vec::new();
    let line = |text: &str, out: &mut Vec<u8>| pkt_line::write(text.as_bytes(), out);
    line("command=fetch\n", &mut out);
    line(&format!("object-format={format}\n"), &mut out);
    out.extend_from_slice(b"0001");
    line("no-progress\n", &mut out);
    line("ofs-delta\n", &mut out);
    for argument in arguments {
        line(&format!("{argument}\n"), &mut out);
    }
    for id in wants {
        line(&format!("want {id}\n"), &mut out);
    }
    for id in haves {
        line(&format!("have {id}\n"), &mut out);
    }
    line("done\n", &mut out);
    out.extend_from_slice(pkt_line::FLUSH);
    out
}

/// Reads the answer while its octets arrive: where history is cut off, if it is, then `packfile`, a pack in bands, and a flush.
#[derive(Debug, Default)]
pub struct Answer {
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Cut,
    Pack,
    Over,
}

impl Answer {
    /// Is offered what has come and was not used, and says how much of it was, and the pieces of the pack in it.
    pub fn read<'b>(&mut self, bytes: &'b [u8]) -> Result<(usize, Vec<&'b [u8]>), AnswerError> {
        let (mut used, mut pieces) = (0, Vec::new());
        while let Some((line, end)) = pkt_line::read(bytes, used, usize::MAX)? {
            used = end;
            match (&self.state, line) {
                (State::Start, PacketLineRef::Data(b"shallow-info\n" | b"shallow-info")) => self.state = State::Cut,
                (State::Cut, PacketLineRef::Data(_)) => {}
                (State::Cut, PacketLineRef::Delimiter) => self.state = State::Start,
                (State::Start, PacketLineRef::Data(b"packfile\n" | b"packfile")) => self.state = State::Pack,
                (State::Pack, PacketLineRef::Data(line)) => match line.split_first() {
                    Some((1, piece)) => pieces.push(piece),
                    Some((2, _)) => {}
                    _ => return Err(AnswerError),
                },
                (State::Pack, PacketLineRef::Flush) => self.state = State::Over,
                _ => return Err(AnswerError),
            }
        }
        Ok((used, pieces))
    }
}

/// An answer that is no pack. Its words are not repeated: they could hold what the request was sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerError;

impl From<LineError> for AnswerError {
    fn from(_: LineError) -> Self {
        Self
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream does not answer with what it was asked for")
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(content: &[u8]) -> Vec<u8> {
        [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
    }

    #[test]
    fn what_is_asked() {
        let [one, two] = ["1", "2"].map(|digit| ObjectId::parse(digit.repeat(40).as_bytes()).unwrap());
        let asked = String::from_utf8(commits(ObjectFormat::Sha1, std::slice::from_ref(&one), &two)).unwrap();
        assert!(asked.starts_with("0012command=fetch\n0017object-format=sha1\n0001"), "{asked}");
        assert!(asked.ends_with(&format!("0012filter tree:0\n0032want {one}\n0032have {two}\n0009done\n0000")), "{asked}");
    }

    #[test]
    fn what_is_answered() {
        let cut = [&line(b"shallow-info\n")[..], &line(&[b"shallow ", &[b'1'; 40][..]].concat()), b"0001"].concat();
        let whole = [&cut[..], &line(b"packfile\n"), &line(b"\x01PA"), &line(b"\x02words"), &line(b"\x01CK"), b"0000"].concat();
        for piece in [1, 3, whole.len()] {
            let (mut answer, mut pack, mut waiting) = (Answer::default(), Vec::new(), Vec::new());
            for piece in whole.chunks(piece) {
                waiting.extend_from_slice(piece);
                let (used, pieces) = answer.read(&waiting).unwrap();
                pack.extend(pieces.concat());
                waiting.drain(..used);
            }
            assert_eq!((pack.as_slice(), waiting.len(), answer.state), (&b"PACK"[..], 0, State::Over));
        }
        for bad in [&line(b"ERR no")[..], &line(b"acknowledgments\n"), &[line(b"packfile\n"), line(b"\x03no")].concat(), b"0000", b"zzzz"] {
            assert_eq!(Answer::default().read(bad), Err(AnswerError), "{}", bad.escape_ascii());
        }
    }
}
