//! Addresses that stand for names inside a sandbox: what our DNS answers, and what a connection that was redirected to us is told by.
//!
//! They are addresses of nobody: a name is resolved, and judged again, once it is dialled. Whoever guesses one has asked for nothing more
//! than its name.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{destination::Name, policy::NamePermit};

/// The names of one session that have addresses, of which there are at most [`MAX_NAMES`].
#[derive(Debug, Default)]
pub(crate) struct Synthetic(Mutex<Pool>);

/// What stands for one name, by the family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lent {
    /// In 198.18.0.0/15, which is for benchmarks (RFC 2544).
    pub(crate) four: Ipv4Addr,
    /// The same in [`PREFIX`].
    pub(crate) six: Ipv6Addr,
}

/// What an address stands for.
#[derive(Debug)]
pub(crate) enum Found {
    Name(InUse),
    /// It lies in the pool and stands for nothing, or for nothing any more.
    Unlent,
    Outside,
}

/// A name that keeps its addresses while this lives.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Name>);

impl InUse {
    pub(crate) fn name(&self) -> &Name {
        &self.0
    }
}

impl Synthetic {
    /// The addresses of a permitted name: those it has, else new ones, for which the name that was used least recently gives up its own. None where
    /// all names are in use.
    pub(crate) fn lend(&self, permit: &NamePermit) -> Option<Lent> {
        self.lock().lend(permit.name()).map(Lent::of)
    }

    pub(crate) fn find(&self, address: IpAddr) -> Found {
        match lendable(address.to_canonical()) {
            None => Found::Outside,
            Some(four) => self.lock().find(four).map_or(Found::Unlent, |name| Found::Name(InUse(name))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    fn of(four: Ipv4Addr) -> Self {
        Self { four, six: Ipv6Addr::from_bits(PREFIX.to_bits() | u128::from(four.to_bits())) }
    }
}

#[derive(Debug, Default)]
struct Pool {
    addresses: HashMap<Name, Ipv4Addr>,
    /// The same the other way round.
    loans: HashMap<Ipv4Addr, Loan>,
    /// Addresses are given in turn, so that one which stood for another name comes again as late as can be.
    next: u32,
    /// Counts uses, as a clock would.
    uses: u64,
}

#[derive(Debug)]
struct Loan {
    /// Each [`InUse`] of it holds it too.
    name: Arc<Name>,
    last_used: u64,
}

impl Pool {
    fn lend(&mut self, name: &Name) -> Option<Ipv4Addr> {
        if let Some(&four) = self.addresses.get(name) {
            self.find(four);
            return Some(four);
        }
        if self.loans.len() >= MAX_NAMES {
            self.evict()?;
        }
        let four = self.free_address();
        self.addresses.insert(name.clone(), four);
        self.uses += 1;
        self.loans.insert(four, Loan { name: Arc::new(name.clone()), last_used: self.uses });
        Some(four)
    }

    fn find(&mut self, four: Ipv4Addr) -> Option<Arc<Name>> {
        let loan = self.loans.get_mut(&four)?;
        self.uses += 1;
        loan.last_used = self.uses;
        Some(Arc::clone(&loan.name))
    }

    /// Takes its address from the name that was used least recently and that no [`InUse`] holds.
    fn evict(&mut self) -> Option<()> {
        let unheld = self.loans.iter().filter(|(_, loan)| Arc::strong_count(&loan.name) == 1);
        let (&four, _) = unheld.min_by_key(|(_, loan)| loan.last_used)?;
        let loan = self.loans.remove(&four)?;
        self.addresses.remove(&*loan.name);
        Some(())
    }

    /// The next address that stands for nothing; there are far more of them than names.
    fn free_address(&mut self) -> Ipv4Addr {
        loop {
            let number = self.next;
            self.next = (number + 1) % ADDRESSES;
            let four = Ipv4Addr::from_bits(FIRST.to_bits() + number);
            if !is_edge(four) && !self.loans.contains_key(&four) {
                return four;
            }
        }
    }
}

/// The IPv4 address under which an address of the pool is known, of either family.
fn lendable(address: IpAddr) -> Option<Ipv4Addr> {
    let four = match address {
        IpAddr::V4(four) => four,
        IpAddr::V6(six) if six.octets()[..8] == PREFIX.octets()[..8] => {
            let [.., a, b, c, d] = six.octets();
            let four = Ipv4Addr::new(a, b, c, d);
            // The rest of the /64 is of the pool too, and stands for nothing.
            return Some(if Lent::of(four).six == six { four } else { FIRST });
        }
        IpAddr::V6(_) => return None,
    };
    (four.to_bits().wrapping_sub(FIRST.to_bits()) < ADDRESSES).then_some(four)
}

/// Whether programs could take it for the address of a network or of all its hosts.
fn is_edge(four: Ipv4Addr) -> bool {
    matches!(four.octets()[3], 0 | 255)
}

/// Names that have addresses at once.
pub(crate) const MAX_NAMES: usize = 4096;
/// Of the pool. It stands for no name.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// In a /15.
const ADDRESSES: u32 = 1 << 17;
/// A unique local /64 (RFC 4193), drawn once by lot and the same everywhere, so that it can be told in a capture.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd61, 0x4c6b, 0x3f61, 0x4c72, 0, 0, 0, 0);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        address::{AddressClass, classify},
        destination::Host,
        policy::ForgeHosts,
    };

    fn name(number: usize) -> Name {
        let host = Host::parse(format!("n{number}.test").as_bytes()).unwrap();
        host.name().unwrap().clone()
    }

    fn lend(synthetic: &Synthetic, number: usize) -> Option<Lent> {
        synthetic.lend(&ForgeHosts::new([name(number)]).decide_name(&name(number)).unwrap())
    }

    fn found(synthetic: &Synthetic, address: impl Into<IpAddr>) -> Option<InUse> {
        match synthetic.find(address.into()) {
            Found::Name(in_use) => Some(in_use),
            Found::Unlent => None,
            Found::Outside => panic!("an address of the pool"),
        }
    }

    #[test]
    fn a_name_keeps_one_address_of_each_family() {
        let synthetic = Synthetic::default();
        let lent = lend(&synthetic, 1).unwrap();
        assert_eq!(lent.four, Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(lent.six.to_string(), "fd61:4c6b:3f61:4c72::c612:1");
        assert_eq!(lend(&synthetic, 2).unwrap().four, Ipv4Addr::new(198, 18, 0, 2));
        assert_eq!(lend(&synthetic, 1).unwrap(), lent);
        assert_eq!(found(&synthetic, lent.four).unwrap().name(), &name(1));
        assert_eq!(found(&synthetic, lent.six).unwrap().name(), &name(1));
        assert_eq!(found(&synthetic, lent.four.to_ipv6_mapped()).unwrap().name(), &name(1));
    }

    #[test]
    fn what_was_lent_to_nobody_is_told_from_what_lies_outside() {
        let synthetic = Synthetic::default();
        lend(&synthetic, 1).unwrap();
        for unlent in ["198.18.0.0", "198.18.0.2", "198.19.255.255", "fd61:4c6b:3f61:4c72::", "fd61:4c6b:3f61:4c72:1::c612:1"] {
            assert!(matches!(synthetic.find(unlent.parse().unwrap()), Found::Unlent), "{unlent}");
        }
        for outside in ["198.17.255.255", "198.20.0.0", "127.0.0.1", "::1", "fd61:4c6b:3f61:4c73::c612:1", "::c612:1"] {
            assert!(matches!(synthetic.find(outside.parse().unwrap()), Found::Outside), "{outside}");
        }
    }

    #[test]
    fn addresses_that_stand_for_names_are_dialled_by_nobody() {
        let lent = lend(&Synthetic::default(), 1).unwrap();
        assert_eq!(classify(lent.four.into()), AddressClass::Benchmarking);
        assert_eq!(classify(lent.six.into()), AddressClass::UniqueLocal);
    }

    #[test]
    fn no_address_looks_like_a_network_or_a_broadcast() {
        let synthetic = Synthetic::default();
        let lent: HashSet<_> = (0..MAX_NAMES).map(|number| lend(&synthetic, number).unwrap().four).collect();
        assert_eq!(lent.len(), MAX_NAMES);
        assert!(lent.iter().all(|four| (1..=254).contains(&four.octets()[3])));
    }

    #[test]
    fn the_name_used_least_recently_gives_way_and_one_in_use_never_does() {
        let synthetic = Synthetic::default();
        let lent: Vec<_> = (0..MAX_NAMES).map(|number| lend(&synthetic, number).unwrap()).collect();
        let held = found(&synthetic, lent[0].six).unwrap();
        lend(&synthetic, 1).unwrap();
        for more in 0..MAX_NAMES - 2 {
            lend(&synthetic, MAX_NAMES + more).unwrap();
        }
        assert_eq!(lend(&synthetic, 0).unwrap(), lent[0]);
        assert_eq!(lend(&synthetic, 1).unwrap(), lent[1]);
        assert!(found(&synthetic, lent[2].four).is_none(), "its address stands for nothing, not for another name");
        drop(held);
        for more in 0..MAX_NAMES {
            lend(&synthetic, 3 * MAX_NAMES + more).unwrap();
        }
        assert!(found(&synthetic, lent[0].four).is_none());
    }

    #[test]
    fn where_all_names_are_in_use_no_other_gets_an_address() {
        let synthetic = Synthetic::default();
        let lent: Vec<_> = (0..MAX_NAMES).map(|number| lend(&synthetic, number).unwrap()).collect();
        let mut held: Vec<_> = lent.iter().map(|lent| found(&synthetic, lent.four).unwrap()).collect();
        assert_eq!(lend(&synthetic, MAX_NAMES), None);
        assert_eq!(lend(&synthetic, 7), Some(lent[7]));
        held.swap_remove(7);
        assert!(lend(&synthetic, MAX_NAMES).is_some());
        assert!(found(&synthetic, lent[7].four).is_none());
    }

    #[test]
    fn addresses_come_again_only_after_all_others() {
        let synthetic = Synthetic::default();
        let held = found(&synthetic, lend(&synthetic, 0).unwrap().four).unwrap();
        synthetic.lock().next = ADDRESSES - 2;
        assert_eq!(lend(&synthetic, 1).unwrap().four, Ipv4Addr::new(198, 19, 255, 254));
        assert_eq!(lend(&synthetic, 2).unwrap().four, Ipv4Addr::new(198, 18, 0, 2), "the first one still stands for a name");
        drop(held);
    }

    proptest! {
        /// Whatever is asked for, held and let go: no address stands for two names, and none that is held is taken away.
        #[test]
        fn an_address_stands_for_one_name(steps in vec((0..6000usize, any::<bool>()), 1..200), full in any::<bool>()) {
            let synthetic = Synthetic::default();
            if full {
                for number in 0..MAX_NAMES {
            lend(&synthetic, 10_000 + number).unwrap();
        }
            }
            let mut held = HashMap::new();
            for (number, hold) in steps {
                let lent = lend(&synthetic, number).unwrap();
                let in_use = found(&synthetic, if hold { lent.four.into() } else { IpAddr::from(lent.six) }).unwrap();
                prop_assert_eq!(in_use.name(), &name(number));
                if hold {
                    held.insert(number, (lent, in_use));
                } else {
                    held.remove(&number);
                }
            }
            let addresses: HashSet<_> = held.values().map(|(lent, _)| lent.four).collect();
            prop_assert_eq!(addresses.len(), held.len());
            for (number, (lent, _)) in &held {
                prop_assert_eq!(lend(&synthetic, *number), Some(*lent));
            }
        }
    }
}
