use super::*;

fn line(metrics: &Metrics, start: &str) -> Option<String> {
    metrics.render().lines().find(|line| line.starts_with(start)).map(ToOwned::to_owned)
}

#[test]
fn decisions_are_counted_by_kind_verdict_and_reason() {
    let metrics = Metrics::new().unwrap();
    metrics.decided(Kind::Connect, None);
    metrics.decided(Kind::Connect, None);
    metrics.decided(Kind::Http, Some(Reason::HostNotAllowed));
    metrics.decided(Kind::Connect, Some(Reason::DnsFailed));
    let decisions: Vec<_> =
        metrics.render().lines().filter(|line| line.starts_with("tidegate_decisions_total{")).map(ToOwned::to_owned).collect();
    assert_eq!(
        decisions,
        [
            r#"tidegate_decisions_total{kind="connect",reason="",verdict="allow"} 2"#,
            r#"tidegate_decisions_total{kind="connect",reason="dns_failed",verdict="error"} 1"#,
            r#"tidegate_decisions_total{kind="http",reason="host_not_allowed",verdict="deny"} 1"#,
        ]
    );
}

#[test]
fn every_kind_and_reason_has_a_series_of_its_own() {
    let metrics = Metrics::new().unwrap();
    let reasons = || std::iter::once(None).chain(Reason::ALL.iter().copied().map(Some));
    for &kind in Kind::ALL {
        for reason in reasons() {
            metrics.decided(kind, reason);
        }
    }
    let rendered = metrics.render();
    let counted = rendered.lines().filter(|line| line.starts_with("tidegate_decisions_total{"));
    assert_eq!(counted.clone().count(), Kind::ALL.len() * REASONS);
    assert!(counted.clone().all(|line| line.ends_with("} 1")));
}

#[test]
fn what_is_open_is_counted_until_it_is_dropped() {
    let metrics = Metrics::new().unwrap();
    let open = (metrics.connection(Door::Proxy), metrics.connection(Door::Proxy), metrics.tunnel());
    assert_eq!(line(&metrics, "tidegate_connections{door=\"proxy\"").unwrap(), r#"tidegate_connections{door="proxy"} 2"#);
    assert_eq!(line(&metrics, "tidegate_tunnels ").unwrap(), "tidegate_tunnels 1");
    drop(open);
    assert_eq!(line(&metrics, "tidegate_connections{door=\"proxy\"").unwrap(), r#"tidegate_connections{door="proxy"} 0"#);
    assert_eq!(line(&metrics, "tidegate_tunnels ").unwrap(), "tidegate_tunnels 0");
}

#[test]
fn every_other_event_has_its_line() {
    let metrics = Metrics::new().unwrap();
    metrics.sent_up(3);
    metrics.sent_down(5);
    metrics.resolved(Duration::from_millis(3));
    metrics.dialled(Duration::from_millis(3));
    metrics.tls_upstream(Duration::from_millis(3));
    metrics.first_byte(Duration::from_millis(3));
    metrics.limited(Limit::Tunnels);
    metrics.audited(Audited::Lost);
    metrics.reloaded(Reload::Failed);
    metrics.generation(7);
    metrics.sessions(2);
    metrics.panicked();
    for expected in [
        r#"tidegate_bytes_total{direction="up"} 3"#,
        r#"tidegate_bytes_total{direction="down"} 5"#,
        r#"tidegate_dns_seconds_bucket{le="0.005"} 1"#,
        r#"tidegate_connect_seconds_bucket{le="0.002"} 0"#,
        r#"tidegate_tls_handshake_seconds_bucket{side="upstream",le="0.005"} 1"#,
        "tidegate_first_byte_seconds_count 1",
        r#"tidegate_limited_total{limit="tunnels"} 1"#,
        r#"tidegate_limited_total{limit="requests_per_second"} 0"#,
        r#"tidegate_audit_records_total{result="lost"} 1"#,
        r#"tidegate_audit_records_total{result="written"} 0"#,
        r#"tidegate_policy_reloads_total{result="failed"} 1"#,
        r#"tidegate_policy_reloads_total{result="applied"} 0"#,
        "tidegate_policy_generation 7",
        "tidegate_sessions 2",
        "tidegate_panics_total 1",
    ] {
        assert!(metrics.render().lines().any(|line| line == expected), "{expected}\n{}", metrics.render());
    }
    assert!(line(&metrics, "tidegate_build_info{").unwrap().contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")));
}
