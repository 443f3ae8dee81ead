use super::*;

fn listen(transparent: &[&str], dns: &[&str]) -> Listen {
    let read = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    Listen { transparent: read(transparent), dns: read(dns), ..Listen::default() }
}

#[test]
fn what_the_proxy_listens_on_is_what_the_sandbox_is_led_to() {
    let both = ["127.0.0.1:3130", "[::1]:3130"];
    let metrics = Some("0.0.0.0:9464".parse().unwrap());
    let Shared { ports, closed, exempt } = shared(&Listen { metrics, ..listen(&both, &["[::1]:5353"]) }, 7).unwrap();
    assert_eq!((ports, closed, exempt), (Ports { transparent: 3130, dns: 5353 }, vec![9464], 7));
}

#[test]
fn what_makes_no_wall_is_refused_with_the_way_out() {
    let why = |listen: &Listen, exempt| shared(listen, exempt).unwrap_err();
    let (door, names) = (["127.0.0.1:3130"], ["127.0.0.1:5353"]);
    assert_eq!(
        why(&listen(&[], &names), 7),
        "[listen] has no \"transparent\", so there is nothing to lead the sandbox to: write transparent = \"127.0.0.1:3130\""
    );
    assert_eq!(
        why(&listen(&door, &[]), 7),
        "[listen] has no \"dns\", so there is nothing to lead the sandbox to: write dns = \"127.0.0.1:5353\""
    );
    assert_eq!(
        why(&listen(&["127.0.0.1:0"], &names), 7),
        "transparent 127.0.0.1:0 has a port that is not known before the proxy listens: write one that is free"
    );
    assert_eq!(
        why(&listen(&["10.0.0.2:3130"], &names), 7),
        "transparent 10.0.0.2:3130 is not where the kernel leads to: bind 127.0.0.1, ::1, or both: transparent = [\"127.0.0.1:3130\", …]"
    );
    assert_eq!(
        why(&listen(&door, &["0.0.0.0:5353"]), 7),
        "dns 0.0.0.0:5353 is not where the kernel leads to: bind 127.0.0.1, ::1, or both: dns = [\"127.0.0.1:5353\", …]"
    );
    assert_eq!(
        why(&listen(&["127.0.0.1:3130", "[::1]:3131"], &names), 7),
        "transparent 127.0.0.1:3130 and [::1]:3131 have two ports, and the kernel leads to one: write the same for both"
    );
    assert_eq!(
        why(&Listen { metrics: Some("127.0.0.1:0".parse().unwrap()), ..listen(&door, &names) }, 7),
        "metrics 127.0.0.1:0 has a port that is not known before the proxy listens: write one that is free"
    );
    assert!(why(&listen(&door, &names), 0).starts_with("--exempt-uid 0: whatever runs as root would be let through"));
}
