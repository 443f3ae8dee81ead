//! A network namespace that others share: rules that stand on their own, which no process keeps up.

use rustix::net::netlink::NETFILTER;

use super::{
    Obstacle, netlink,
    nftables::{INET, NETDEV},
    redirection::{Shared, Wanted},
    routes, standing,
};

/// Whether all of it stands.
#[derive(Debug)]
pub(crate) enum Complete {
    Yes,
    /// What is sent below IP is not held, and why.
    NotBelowIp(Obstacle),
}

/// Leads this namespace to the doors of `shared`, in place of what an earlier call made of it. After an error nothing has changed but that
/// loopback is up.
pub(crate) fn set_up(shared: &Shared) -> Result<Complete, Obstacle> {
    netlink::converse(None, &[routes::loopback_up()])?;
    hold(shared, routes::interfaces()?)
}

fn hold(shared: &Shared, interfaces: Vec<String>) -> Result<Complete, Obstacle> {
    netlink::converse(Some(NETFILTER), &Wanted::redirection(shared.ports, Some(shared)).programme())?;
    Ok(match netlink::converse(Some(NETFILTER), &Wanted::egress(shared, interfaces).programme()) {
        Ok(()) => Complete::Yes,
        Err(obstacle) => Complete::NotBelowIp(obstacle),
    })
}

/// Takes away all that [`set_up`] made but loopback, whether anything is there or not.
pub(crate) fn clear() -> Result<(), Obstacle> {
    netlink::converse(Some(NETFILTER), &Wanted::nothing(INET).programme())?;
    // Who cannot have such a table has none.
    let _ = netlink::converse(Some(NETFILTER), &Wanted::nothing(NETDEV).programme());
    Ok(())
}

/// How the rules that the kernel has differ from what [`set_up`] makes: of the redirection, and of what holds the interfaces. None
/// where they stand.
pub(crate) fn differences(shared: &Shared) -> Result<[Vec<String>; 2], Obstacle> {
    let redirection = standing::differences(&Wanted::redirection(shared.ports, Some(shared)))?;
    let egress = standing::differences(&Wanted::egress(shared, routes::interfaces()?))?;
    Ok([redirection, egress])
}

#[cfg(test)]
mod tests {
    use super::{super::tests::inside, *};
    use crate::confine::network::Ports;

    /// As where the kernel has no chains at egress: what it can have stands, and what is missing is told apart.
    #[test]
    fn a_wall_without_its_lower_part_is_incomplete() {
        inside("shared::tests::a_wall_without_its_lower_part_is_incomplete", || {
            let shared = Shared { ports: Ports { transparent: 1, dns: 2 }, closed: vec![3], exempt: 7 };
            let no_interface = || vec!["longer-than-any-name".to_owned()];
            let Complete::NotBelowIp(obstacle) = hold(&shared, no_interface()).unwrap() else { panic!("there is no such interface") };
            assert!(obstacle.to_string().starts_with("cannot make a chain of nftables: "), "{obstacle}");
            let [redirection, egress] = [&Wanted::redirection(shared.ports, Some(&shared)), &Wanted::egress(&shared, no_interface())]
                .map(|wanted| standing::differences(wanted).unwrap());
            assert_eq!((redirection, egress), (vec![], vec!["there is no table netdev tidegate".to_owned()]));
            clear().unwrap();
            assert_eq!(differences(&shared).unwrap()[0], ["there is no table inet tidegate"]);
        });
    }
}
