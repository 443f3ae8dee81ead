//! What one policy refuses that another lets out.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use super::observed::{Said, said};
use crate::{
    destination::Destination,
    policy::{Approval, Denial, Policy, Question, RuleRef, Way},
    reason::Reason,
    recorded::{Asked, Recorded},
};

/// Records judged again, by two policies.
#[derive(Debug)]
pub struct Replay<'p> {
    old: &'p Policy,
    new: &'p Policy,
    now: SystemTime,
    /// To what each session had a tunnel: requests to it stood inside.
    tunnels: HashSet<(Option<Box<str>>, Destination)>,
    judged: u64,
    changes: BTreeMap<Key, Change>,
}

/// Changes alike are counted together.
type Key = (bool, Reason, String, Option<String>);

/// A verdict that the new policy changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub destination: Destination,
    /// Whether the new policy refuses, and the old one does not; else it is the other way round.
    pub refuses: bool,
    /// Why the one refuses that does.
    pub reason: Reason,
    /// The entry of the new policy that decides, where one does.
    pub rule: Option<RuleRef>,
    /// The entry of the old policy that did.
    pub old_rule: Option<RuleRef>,
    /// The first method and path, where requests were recorded.
    pub first: Option<(Box<str>, Box<str>)>,
    pub count: u64,
}

impl<'p> Replay<'p> {
    /// Both policies judge as they would at this moment.
    pub fn new(old: &'p Policy, new: &'p Policy, now: SystemTime) -> Self {
        Self { old, new, now, tunnels: HashSet::new(), judged: 0, changes: BTreeMap::new() }
    }

    /// Judges one record again: its destination, the address that was dialled, its method and path. What was decided before any policy
    /// had a say is passed over.
    pub fn add(&mut self, recorded: &Recorded) {
        let Some((destination, said)) = said(recorded).filter(|_| !recorded.ended) else { return };
        let question = self.question(recorded, destination, said);
        self.judged += 1;
        let change = match (question.decide(self.old, self.now), question.decide(self.new, self.now)) {
            (Ok(Approval { rule, .. }), Err(denial)) => {
                let Denial { reason, rule: new, .. } = *denial;
                Change { destination: question.destination, refuses: true, reason, rule: new, old_rule: rule, first: None, count: 0 }
            }
            (Err(denial), Ok(Approval { rule, .. })) => {
                let Denial { reason, rule: old, .. } = *denial;
                Change { destination: question.destination, refuses: false, reason, rule, old_rule: old, first: None, count: 0 }
            }
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => return,
        };
        let rule = change.rule.as_ref().map(ToString::to_string);
        let key = (!change.refuses, change.reason, change.destination.to_string(), rule);
        let counted = self.changes.entry(key).or_insert(change);
        counted.count += 1;
        if counted.first.is_none() {
            counted.first = question.method.map(|method| (method, question.origin_form));
        }
    }

    /// A request inside a tunnel stands there in place of its bytes; which one it was is not on record, but that there was one.
    fn question(&mut self, recorded: &Recorded, destination: &Destination, said: Said) -> Question {
        let is_request = recorded.asked == Asked::Http;
        let tunnel = (recorded.session.clone(), destination.clone());
        // Plain requests to 443 are refused by every policy, so whatever was recorded there stood in a tunnel.
        let inside = destination.port == 443 || self.tunnels.contains(&tunnel);
        if !is_request && said == Said::LetOut && self.tunnels.len() < MAX_TUNNELS {
            self.tunnels.insert(tunnel);
        }
        Question {
            destination: destination.clone(),
            address: recorded.address,
            way: if is_request && !inside { Way::Http } else { Way::Connect },
            tls: false,
            method: recorded.method.clone().filter(|_| is_request),
            origin_form: recorded.path.clone().unwrap_or_else(|| "/".into()),
        }
    }

    /// How many records were judged.
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// Those whose verdict changes: what is refused now first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.values()
    }
}

/// Destinations of sessions that are known to have had a tunnel.
const MAX_TUNNELS: usize = 65_536;
