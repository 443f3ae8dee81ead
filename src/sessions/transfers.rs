//! Links of upstreams to objects of Git LFS, each by the handle that one session has in its place. They are in memory alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aws_lc_rs::rand;

use crate::github::{
    RepositoryName,
    lfs::{Action, HANDLE, Handle, Object, Way},
    push::RefName,
};

/// The links of one session: at most [`MAX_TRANSFERS`] of them and [`MAX_WEIGHT`] octets, for which the oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Transfers(Mutex<Table>);

/// One link, and all that it may be used for.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) repository: RepositoryName,
    pub(crate) object: Object,
    pub(crate) way: Way,
    pub(crate) action: Action,
    /// What an upload is for.
    pub(crate) reference: Option<RefName>,
    /// It was handed out as anybody gets it.
    pub(crate) is_public: bool,
}

#[derive(Debug, Default)]
struct Table {
    transfers: HashMap<Handle, Arc<Transfer>>,
    /// The oldest first.
    order: VecDeque<Handle>,
    weight: usize,
}

impl Transfers {
    /// A handle that stands for a link from now on; none where there is no randomness to be had.
    pub(crate) fn lend(&self, transfer: Transfer) -> Option<Handle> {
        let mut random = [0; HANDLE];
        rand::fill(&mut random).ok()?;
        let handle = Handle::new(random);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.weight += transfer.action.weight();
        table.order.push_back(handle);
        table.transfers.insert(handle, Arc::new(transfer));
        while table.order.len() > MAX_TRANSFERS || table.weight > MAX_WEIGHT {
            table.forget_oldest();
        }
        Some(handle)
    }

    /// What a handle stands for, until its link ends.
    pub(crate) fn find(&self, handle: &Handle, now: SystemTime) -> Option<Arc<Transfer>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.transfers.get(handle).filter(|transfer| transfer.action.until > now).cloned()
    }
}

impl Table {
    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|handle| self.transfers.remove(&handle));
        self.weight = self.weight.saturating_sub(oldest.map_or(usize::MAX, |transfer| transfer.action.weight()));
    }
}

/// A client asks for a hundred links at a time, and uses them before it asks for more.
const MAX_TRANSFERS: usize = 4096;
const MAX_WEIGHT: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;
    use crate::github::lfs::{Href, Oid};

    fn transfer(target: &str) -> Transfer {
        Transfer {
            repository: RepositoryName::parse("octo/spoon").unwrap(),
            object: Object { oid: Oid::parse(&"a".repeat(64)).unwrap(), size: 1 },
            way: Way::Download,
            action: Action { href: Href::parse(&format!("https://s.test/{target}")).unwrap(), headers: HeaderMap::new(), until: at(10) },
            reference: None,
            is_public: false,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn l_4_a_handle_stands_for_its_link_until_that_ends() {
        let (one, other) = (Transfers::default(), Transfers::default());
        let handle = one.lend(transfer("x")).unwrap();
        assert_eq!(one.find(&handle, at(9)).unwrap().action.href.target(), "/x");
        assert!(one.find(&handle, at(10)).is_none(), "it has ended");
        assert!(other.find(&handle, at(9)).is_none(), "it is another session's");
        assert_ne!(one.lend(transfer("x")).unwrap(), handle);
    }

    #[test]
    fn links_are_bounded_in_number_and_length() {
        let transfers = Transfers::default();
        let first = transfers.lend(transfer("first")).unwrap();
        for _ in 1..MAX_TRANSFERS {
            transfers.lend(transfer("x")).unwrap();
        }
        assert!(transfers.find(&first, at(0)).is_some());
        transfers.lend(transfer("x")).unwrap();
        assert!(transfers.find(&first, at(0)).is_none());
        let long = "x".repeat(8000);
        for _ in 0..MAX_TRANSFERS {
            transfers.lend(transfer(&long)).unwrap();
        }
        let table = transfers.0.lock().unwrap();
        assert!(table.weight <= MAX_WEIGHT && table.order.len() == table.transfers.len() && table.order.len() <= MAX_WEIGHT / 8000);
        assert_eq!(table.weight, table.transfers.values().map(|transfer| transfer.action.weight()).sum::<usize>());
    }
}
