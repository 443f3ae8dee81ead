//! Differences between two objects (git's `gitformat-pack`, "Deltified representation").

/// What comes of `base` by a difference; `None` where it is none, or more than `bound` octets come of it.
pub(super) fn apply(base: &[u8], delta: &[u8], bound: u64) -> Option<Vec<u8>> {
    let (base_size, rest) = size(delta)?;
    let (result_size, mut rest) = size(rest)?;
    if base_size != base.len() as u64 || result_size > bound {
        return None;
    }
    let mut result = Vec::new();
    while let Some((order, behind)) = rest.split_first() {
        rest = behind;
        let piece = if order & 0x80 != 0 {
            let (offset, length);
            (offset, rest) = number(rest, order & 0x0f)?;
            (length, rest) = number(rest, (order >> 4) & 0x07)?;
            let length = if length == 0 { 0x10000 } else { length };
            base.get(offset..offset.checked_add(length)?)?
        } else if *order > 0 {
            let (piece, behind) = rest.split_at_checked(usize::from(*order))?;
            rest = behind;
            piece
        } else {
            return None;
        };
        if (result.len() + piece.len()) as u64 > result_size {
            return None;
        }
        result.extend_from_slice(piece);
    }
    (result.len() as u64 == result_size).then_some(result)
}

/// A size of seven bits an octet, the lowest first.
fn size(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut size = 0;
    for (number, byte) in bytes.iter().enumerate().take(9) {
        size |= u64::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Some((size, bytes.get(number + 1..)?));
        }
    }
    None
}

/// A number of which only those octets are written that `present` names, the lowest first.
fn number(mut bytes: &[u8], present: u8) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for place in (0..4).filter(|place| present & (1 << place) != 0) {
        let (byte, rest) = bytes.split_first()?;
        number |= usize::from(*byte) << (8 * place);
        bytes = rest;
    }
    Some((number, bytes))
}
