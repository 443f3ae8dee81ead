//! What stands in the kernel of a table that is wanted.

use rustix::net::netlink::NETFILTER;

use super::{
    Obstacle,
    netlink::{self, Attributes, Garbled, KIND, NESTED, Read, attributes},
    nftables::{
        CHAIN_FLAGS, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, Chain, GET_CHAIN, GET_RULE, GET_TABLE, HOOK_INTERFACES,
        HOOK_NUMBER, HOOK_PRIORITY, NETDEV, TABLE, TABLE_FLAGS, TABLE_NAME, listed,
    },
    redirection::Wanted,
    rules::{RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE},
};

/// Each difference between a table of ours as it is wanted and as the kernel has it, in words; none where it stands.
pub(super) fn differences(wanted: &Wanted) -> Result<Vec<String>, Obstacle> {
    let family = wanted.family;
    let shown = if family == NETDEV { "table netdev tidegate" } else { "table inet tidegate" };
    let (tables, chains, rules) =
        (ours(GET_TABLE, family, TABLE_NAME)?, ours(GET_CHAIN, family, CHAIN_TABLE)?, ours(GET_RULE, family, RULE_TABLE)?);
    let Some(table) = tables.first() else {
        return Ok(if wanted.chains.is_empty() { Vec::new() } else { vec![format!("there is no {shown}")] });
    };
    let mut found = Vec::new();
    if of(table).number(TABLE_FLAGS).is_some_and(|flags| flags & DORMANT != 0) {
        found.push(format!("{shown} is switched off"));
    }
    for chain in &wanted.chains {
        let name = chain.name;
        let Some(standing) = chains.iter().map(|standing| of(standing)).find(|known| known.text(CHAIN_NAME).as_deref() == Some(name))
        else {
            found.push(format!("{shown} has no chain {name}"));
            continue;
        };
        if !is_at_its_place(chain, &standing) {
            found.push(format!("chain {name} of {shown} is not the one that is wanted"));
        }
        found.extend(not_held(wanted, &standing).map(|interface| format!("chain {name} of {shown} does not hold interface {interface}")));
        let standing: Vec<_> = rules.iter().map(|rule| of(rule)).filter(|rule| rule.text(RULE_CHAIN).as_deref() == Some(name)).collect();
        let wanted: Vec<_> = wanted.rules.iter().filter(|rule| rule.chain == *chain).map(|rule| &rule.expressions).collect();
        if standing.len() != wanted.len() {
            found.push(format!("chain {name} of {shown} has {} rules, and {} are wanted", standing.len(), wanted.len()));
        } else if let Some(at) = wanted.iter().zip(&standing).position(|(wanted, standing)| !is_as_wanted(wanted, standing)) {
            found.push(format!("rule {} of chain {name} of {shown} is not the one that is wanted", at + 1));
        }
    }
    if chains.len() > wanted.chains.len() {
        found.push(format!("{shown} has more chains than are wanted"));
    }
    Ok(found)
}

/// The attributes of everything in our table of a family, in octets; `kind` is the one that names the table.
fn ours(what: u16, family: u8, kind: u16) -> Result<Vec<Vec<u8>>, Obstacle> {
    let request = listed(what, family);
    let mut ours = Vec::new();
    for mut message in netlink::list(Some(NETFILTER), &request)? {
        let octets = message.split_off(message.len().min(request.header.len()));
        let garbled = |Garbled| Obstacle::new(request.purpose, std::io::Error::other("the kernel's answer is garbled"));
        if attributes(&octets).map_err(garbled)?.text(kind).as_deref() == Some(TABLE) {
            ours.push(octets);
        }
    }
    Ok(ours)
}

/// What was read once, and so can be.
fn of(octets: &[u8]) -> Read<'_> {
    attributes(octets).unwrap_or_default()
}

fn is_at_its_place(chain: &Chain, standing: &Read<'_>) -> bool {
    let hook = of(standing.of(CHAIN_HOOK).unwrap_or_default());
    standing.text(CHAIN_TYPE).as_deref() == Some(chain.kind)
        && standing.number(CHAIN_POLICY) == Some(chain.policy)
        && standing.number(CHAIN_FLAGS).is_none_or(|flags| flags == AT_A_HOOK)
        && hook.number(HOOK_NUMBER) == Some(chain.hook)
        && hook.number(HOOK_PRIORITY).map(u32::cast_signed) == Some(chain.priority)
}

/// The wanted interfaces that a chain does not hold.
fn not_held<'w>(wanted: &'w Wanted, standing: &Read<'_>) -> impl Iterator<Item = &'w String> {
    let hook = of(standing.of(CHAIN_HOOK).unwrap_or_default());
    let held: Vec<_> = hook.of(HOOK_INTERFACES).map(|names| of(names).texts()).unwrap_or_default();
    wanted.interfaces.iter().filter(move |name| !held.contains(name))
}

fn is_as_wanted(wanted: &Attributes, standing: &Read<'_>) -> bool {
    standing.of(RULE_EXPRESSIONS).is_some_and(|standing| same(wanted.octets(), standing))
}

/// Whether attributes that the kernel has say what was written: each with its value, in whatever order; where there are several of a kind,
/// in theirs. The kernel may name more only where it names nothing: in zeros.
fn same(written: &[u8], standing: &[u8]) -> bool {
    let (Ok(Read(mut written)), Ok(Read(mut standing))) = (attributes(written), attributes(standing)) else { return false };
    let number = |kind: u16| kind & KIND;
    standing.retain(|(kind, value)| {
        let is_written = written.iter().any(|(known, _)| number(*known) == number(*kind));
        is_written || value.is_empty() || value.iter().any(|octet| *octet != 0)
    });
    written.sort_by_key(|(kind, _)| number(*kind));
    standing.sort_by_key(|(kind, _)| number(*kind));
    let pairs = written.iter().zip(&standing);
    written.len() == standing.len()
        && pairs.into_iter().all(|((kind, written), (other, standing))| {
            number(*kind) == number(*other) && if kind & NESTED != 0 { same(written, standing) } else { written == standing }
        })
}

// linux/netfilter/nf_tables.h
const DORMANT: u32 = 1;
const AT_A_HOOK: u32 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn octets(attributes: &Attributes) -> Vec<u8> {
        attributes.octets().to_vec()
    }

    #[test]
    fn what_was_written_is_told_from_what_was_not() {
        let inner = |value: u8| Attributes::new().with(1, &[value]).with(2, &[9]);
        let written = octets(&Attributes::new().nested(1, &inner(7)).nested(1, &inner(8)).with(2, &[5]));
        assert!(same(&written, &written));
        let standing =
            |first: &Attributes, second: &Attributes| Attributes::new().with(2, &[5]).with(1, first.octets()).with(1, second.octets());
        assert!(same(&written, &octets(&standing(&inner(7), &inner(8)))), "without the flag, and in another order");
        assert!(same(&written, &octets(&standing(&inner(7).with(3, &[0, 0]), &inner(8)))), "nothing said in more words");
        for other in [
            standing(&inner(8), &inner(7)),
            standing(&inner(7), &inner(7)),
            standing(&inner(7).with(3, &[0, 1]), &inner(8)),
            standing(&inner(7), &inner(8)).with(1, &[]),
            standing(&inner(7), &Attributes::new().with(1, &[8])),
            Attributes::new().nested(1, &inner(7)).nested(1, &inner(8)),
        ] {
            assert!(!same(&written, &octets(&other)), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_the_same_or_not(written: Vec<u8>, standing: Vec<u8>) {
            let _ = same(&written, &standing);
        }
    }
}
