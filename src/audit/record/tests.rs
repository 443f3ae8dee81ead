use proptest::{prelude::*, sample::select};

use super::*;
use crate::recorded::{Asked, MAX_LINE, Recorded};

fn destination() -> impl Strategy<Value = Destination> {
    let host = prop_oneof![
        "[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?(\\.[a-z]{1,9}){1,3}",
        any::<IpAddr>().prop_map(|address| Host::Ip(address).to_string())
    ];
    (host, 1..=u16::MAX).prop_map(|(host, port)| Destination::parse(format!("{host}:{port}").as_bytes(), None).unwrap())
}

fn time() -> impl Strategy<Value = SystemTime> {
    (0..4_000_000_000_000_000u64).prop_map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        time in time(),
        kind in select(Kind::ALL),
        session in prop::option::of("[a-zA-Z0-9._-]{1,64}"),
        to in prop::option::of(destination()),
        from in prop::option::of(destination()),
        address in prop::option::of(any::<IpAddr>()),
        method in prop::option::of(".{0,40}"),
        path in ".{0,60}",
        reason in prop::option::of(select(Reason::ALL)),
        would_deny in prop::option::of(select(Reason::ALL)),
        ended in prop::option::of(any::<u32>()),
    ) {
        let mut record = Record::new(Door::Proxy, kind).would_deny(would_deny);
        if let Some(session) = &session {
            record = record.under(&session.as_str().into(), 7);
        }
        if let Some(to) = &to {
            record = record.to(to);
        }
        if let Some(from) = &from {
            record = record.redirected_by(from.clone());
        }
        if let Some(address) = address {
            record = record.at(Some(address));
        }
        if let Some(method) = &method {
            record = record.requesting(method, Some(&path));
        }
        if let Some(reason) = reason {
            record = record.refused(reason);
        }
        if let Some(millis) = ended {
            record = record.ended(1, 2, Duration::from_millis(millis.into()));
        }
        let line = line(time, 1, &record.to_json().unwrap());
        let expected = Recorded {
            time,
            session: session.map(Into::into),
            asked: match kind {
                Kind::Connect => Asked::Connect,
                Kind::Http => Asked::Http,
                Kind::Dns | Kind::Push | Kind::Fetch | Kind::Api | Kind::Graphql | Kind::Lfs | Kind::Admin => Asked::Other,
            },
            reason,
            would_deny,
            destination: to,
            address,
            path: method.is_some().then(|| bounded_path(&path).into()),
            method: method.map(|method| bounded_method(&method).into()),
            redirected_by: from,
            ended: ended.is_some(),
        };
        prop_assert_eq!(Recorded::read(line.strip_suffix(b"\n").unwrap()), Ok(expected));
    }
}

#[test]
fn the_longest_record_is_read() {
    let name = |number: usize| {
        let bytes = format!("refs/heads/{number:03}/{}", "é".repeat(504));
        RefName::parse(bytes.as_bytes()).unwrap()
    };
    let refs: Vec<_> = (0..2 * MAX_REFS).map(name).collect();
    let repository = RepositoryName::parse("octo/spoon").unwrap();
    let tips = vec![[ObjectId::parse(&[b'1'; 64]).unwrap(), ObjectId::parse(&[b'2'; 64]).unwrap()]; refs.len()];
    let record =
        Record::new(Door::Git, Kind::Push).of(&repository, &refs).moving(&tips).requesting(&"é".repeat(99), Some(&"\u{1}".repeat(9999)));
    let record = record.of_process(Some(&Arc::new(Process { pid: u32::MAX, exe: Some("\u{1}".repeat(9999).into()) })));
    let line = line(SystemTime::UNIX_EPOCH, u64::MAX, &record.to_json().unwrap());
    assert!((MAX_LINE / 2..=MAX_LINE).contains(&line.len()), "{} octets", line.len());
    assert!(Recorded::read(line.strip_suffix(b"\n").unwrap()).is_ok());
}
