//! Many texts looked for at once, octet by octet.

use aho_corasick::{
    Anchored,
    automaton::{Automaton, StateID},
    dfa::DFA,
    nfa::contiguous::NFA,
};

use super::TooMany;

/// Fast where the texts are few, and small where they are many.
pub(super) enum Machine {
    Fast(Box<DFA>, StateID),
    Small(Box<NFA>, StateID),
}

/// Whether a text ends at a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    None,
    Some,
}

impl Machine {
    pub(super) fn new(texts: &[&[u8]]) -> Result<Self, TooMany> {
        let octets: usize = texts.iter().map(|text| text.len()).sum();
        if octets <= FAST {
            let machine = DFA::new(texts).map_err(|_| TooMany)?;
            let start = machine.start_state(Anchored::No).map_err(|_| TooMany)?;
            return Ok(Self::Fast(Box::new(machine), start));
        }
        let machine = NFA::new(texts).map_err(|_| TooMany)?;
        let start = machine.start_state(Anchored::No).map_err(|_| TooMany)?;
        Ok(Self::Small(Box::new(machine), start))
    }

    pub(super) fn start(&self) -> StateID {
        match self {
            Self::Fast(_, start) | Self::Small(_, start) => *start,
        }
    }

    #[inline]
    pub(super) fn step(&self, state: StateID, byte: u8) -> (StateID, Match) {
        let (next, matches) = match self {
            Self::Fast(machine, _) => {
                let next = machine.next_state(Anchored::No, state, byte);
                (next, machine.is_special(next) && machine.is_match(next))
            }
            Self::Small(machine, _) => {
                let next = machine.next_state(Anchored::No, state, byte);
                (next, machine.is_match(next))
            }
        };
        (next, if matches { Match::Some } else { Match::None })
    }

    /// The numbers of the texts that end at a state.
    pub(super) fn patterns_at(&self, state: StateID) -> impl Iterator<Item = usize> {
        let count = match self {
            Self::Fast(machine, _) => machine.match_len(state),
            Self::Small(machine, _) => machine.match_len(state),
        };
        (0..count).map(move |index| match self {
            Self::Fast(machine, _) => machine.match_pattern(state, index).as_usize(),
            Self::Small(machine, _) => machine.match_pattern(state, index).as_usize(),
        })
    }
}

/// Most octets of texts for which a table of every state and octet is made: it takes up to a thousand times as many.
const FAST: usize = 64 * 1024;
