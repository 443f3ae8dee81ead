//! What is counted, in Prometheus' text format: the contract's names, labels from closed sets and never a word of the
//! sandbox's.

use std::{sync::OnceLock, time::Duration};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::{
    limits::Limit,
    reason::{Reason, Verdict},
};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in labels and records.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// A way in.
    Door { Proxy = "proxy", Git = "git", Socks = "socks", Transparent = "transparent", Dns = "dns", Admin = "admin", }
}

words! {
    /// What was decided on.
    Kind {
        Connect = "connect", Http = "http", Dns = "dns", Push = "push", Fetch = "fetch",
        Api = "api", Graphql = "graphql", Lfs = "lfs", Admin = "admin",
    }
}

words! {
    /// What became of an audit record.
    Audited {
        /// In the file.
        Written = "written",
        /// Nowhere, and what it tells of went on (`on_failure = "continue"`).
        Lost = "lost",
        /// Nowhere, and what it tells of was refused (`on_failure = "refuse"`).
        Refused = "refused",
    }
}

words! {
    /// What became of a reload.
    Reload {
        Applied = "applied",
        /// The generation before it stays.
        Failed = "failed",
    }
}

words! {
    /// What became of the wish for a certificate by which a host is served.
    Leaf {
        Made = "made",
        /// One that was made before is served again.
        Cached = "cached",
        Failed = "failed",
    }
}

words! {
    /// What became of the wish for a token of a GitHub App.
    Exchange {
        Made = "made",
        /// GitHub said no.
        Refused = "refused",
        /// There was no answer, or none that could be read.
        Failed = "failed",
        /// What was made was good for something else, and is not used.
        Wider = "wider",
    }
}

/// Every counter there is, in a registry of its own.
pub(crate) struct Metrics {
    registry: Registry,
    decisions: Decisions,
    connections: IntGaugeVec,
    tunnels: IntGauge,
    bytes_up: IntCounter,
    bytes_down: IntCounter,
    dns: Histogram,
    connect: Histogram,
    tls_upstream: Histogram,
    tls_downstream: Histogram,
    first_byte: Histogram,
    leaves: IntCounterVec,
    exchanges: IntCounterVec,
    limited: IntCounterVec,
    audit_records: IntCounterVec,
    policy_generation: IntGauge,
    policy_reloads: IntCounterVec,
    sessions: IntGauge,
    panics: IntCounter,
}

impl Metrics {
    /// Fails only where two metrics share a name.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let bytes = counters(&registry, "tidegate_bytes_total", "Bytes passed on, by direction.", &["direction"])?;
        let handshakes = HistogramOpts::new("tidegate_tls_handshake_seconds", "Time of a TLS handshake, by the side it was with.");
        let handshakes = registered(&registry, HistogramVec::new(handshakes.buckets(FAST.to_vec()), &["side"])?)?;
        let build = gauges(&registry, "tidegate_build_info", "Always 1; the build is in the labels.", &["version", "commit"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), COMMIT]).set(1);
        let metrics = Self {
            decisions: Decisions::new(&registry)?,
            connections: gauges(&registry, "tidegate_connections", "Downstream connections open, by door.", &["door"])?,
            tunnels: registered(&registry, IntGauge::new("tidegate_tunnels", "Tunnels open.")?)?,
            bytes_up: bytes.with_label_values(&["up"]),
            bytes_down: bytes.with_label_values(&["down"]),
            dns: seconds(&registry, "tidegate_dns_seconds", "Time to resolve an allowed name.", FAST)?,
            connect: seconds(&registry, "tidegate_connect_seconds", "Time to connect upstream.", FAST)?,
            tls_upstream: handshakes.with_label_values(&["upstream"]),
            tls_downstream: handshakes.with_label_values(&["downstream"]),
            first_byte: seconds(&registry, "tidegate_first_byte_seconds", "Time from the end of a request to the first byte back.", SLOW)?,
            leaves: counters(
                &registry,
                "tidegate_leaf_certificates_total",
                "Certificates of hosts wanted, by what came of it.",
                &["result"],
            )?,
            exchanges: counters(
                &registry,
                "tidegate_credential_exchanges_total",
                "Tokens of GitHub Apps wanted, by what came of it.",
                &["result"],
            )?,
            limited: counters(
                &registry,
                "tidegate_limited_total",
                "Refusals by a limit, and waits for it, by the limit's key.",
                &["limit"],
            )?,
            audit_records: counters(&registry, "tidegate_audit_records_total", "Audit records, by what became of them.", &["result"])?,
            policy_generation: registered(&registry, IntGauge::new("tidegate_policy_generation", "Generation of the policies in force.")?)?,
            policy_reloads: counters(&registry, "tidegate_policy_reloads_total", "Reloads, by what became of them.", &["result"])?,
            sessions: registered(&registry, IntGauge::new("tidegate_sessions", "Sessions known.")?)?,
            panics: registered(&registry, IntCounter::new("tidegate_panics_total", "Panics caught.")?)?,
            registry,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Counts one decision: allowed without a reason, else refused or failed as the reason says.
    pub(crate) fn decided(&self, kind: Kind, reason: Option<Reason>) {
        self.decisions.count(kind, reason);
    }

    /// Counts a downstream connection until the guard is dropped.
    pub(crate) fn connection(&self, door: Door) -> Open {
        Open::new(self.connections.with_label_values(&[door.as_str()]))
    }

    /// Counts a tunnel until the guard is dropped.
    pub(crate) fn tunnel(&self) -> Open {
        Open::new(self.tunnels.clone())
    }

    pub(crate) fn sent_up(&self, bytes: u64) {
        self.bytes_up.inc_by(bytes);
    }

    pub(crate) fn sent_down(&self, bytes: u64) {
        self.bytes_down.inc_by(bytes);
    }

    /// A resolution that ended, with addresses or without.
    pub(crate) fn resolved(&self, took: Duration) {
        self.dns.observe(took.as_secs_f64());
    }

    /// A dial that ended, connected or not.
    pub(crate) fn dialled(&self, took: Duration) {
        self.connect.observe(took.as_secs_f64());
    }

    /// A TLS handshake with an upstream that ended, well or not.
    pub(crate) fn tls_upstream(&self, took: Duration) {
        self.tls_upstream.observe(took.as_secs_f64());
    }

    /// A TLS handshake with a sandbox that ended, well or not.
    pub(crate) fn tls_downstream(&self, took: Duration) {
        self.tls_downstream.observe(took.as_secs_f64());
    }

    pub(crate) fn leaf(&self, result: Leaf) {
        self.leaves.with_label_values(&[result.as_str()]).inc();
    }

    pub(crate) fn exchanged(&self, result: Exchange) {
        self.exchanges.with_label_values(&[result.as_str()]).inc();
    }

    pub(crate) fn first_byte(&self, took: Duration) {
        self.first_byte.observe(took.as_secs_f64());
    }

    pub(crate) fn limited(&self, limit: Limit) {
        self.limited.with_label_values(&[limit.as_str()]).inc();
    }

    pub(crate) fn audited(&self, result: Audited) {
        self.audit_records.with_label_values(&[result.as_str()]).inc();
    }

    pub(crate) fn reloaded(&self, result: Reload) {
        self.policy_reloads.with_label_values(&[result.as_str()]).inc();
    }

    pub(crate) fn generation(&self, generation: u64) {
        self.policy_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    pub(crate) fn sessions(&self, known: usize) {
        self.sessions.set(i64::try_from(known).unwrap_or(i64::MAX));
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Everything in the text exposition format, version 0.0.4.
    pub(crate) fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// A series that appears with its first event hides that event from `rate()`.
    fn start_at_zero(&self) {
        for door in Door::ALL {
            self.connections.with_label_values(&[door.as_str()]);
        }
        for limit in Limit::ALL {
            self.limited.with_label_values(&[limit.as_str()]);
        }
        for result in Leaf::ALL {
            self.leaves.with_label_values(&[result.as_str()]);
        }
        for result in Exchange::ALL {
            self.exchanges.with_label_values(&[result.as_str()]);
        }
        for result in Audited::ALL {
            self.audit_records.with_label_values(&[result.as_str()]);
        }
        for result in Reload::ALL {
            self.policy_reloads.with_label_values(&[result.as_str()]);
        }
    }
}

/// Something counted while it is open.
#[derive(Debug)]
#[must_use = "what it counts ends when it is dropped"]
pub(crate) struct Open(IntGauge);

impl Open {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// `tidegate_decisions_total`, each series resolved once and then reached by index.
struct Decisions {
    series: IntCounterVec,
    resolved: Box<[OnceLock<IntCounter>]>,
}

impl Decisions {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let series = counters(registry, "tidegate_decisions_total", "Decisions taken.", &["kind", "verdict", "reason"])?;
        let resolved = (0..Kind::ALL.len() * REASONS).map(|_| OnceLock::new()).collect();
        Ok(Self { series, resolved })
    }

    fn count(&self, kind: Kind, reason: Option<Reason>) {
        let resolve = || {
            let (verdict, word) = reason.map_or((Verdict::Allow, ""), |reason| (reason.verdict(), reason.as_str()));
            self.series.with_label_values(&[kind.as_str(), verdict.as_str(), word])
        };
        let index = kind as usize * REASONS + reason.map_or(0, |reason| reason as usize + 1);
        match self.resolved.get(index) {
            Some(counter) => counter.get_or_init(resolve).inc(),
            None => resolve().inc(),
        }
    }
}

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn seconds(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
}

/// Every reason, and none.
const REASONS: usize = Reason::ALL.len() + 1;
const COMMIT: &str = match option_env!("TIDEGATE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// Upper bounds in seconds, up to the default timeouts of resolving and connecting.
const FAST: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds in seconds, up to the default timeout of a first byte.
const SLOW: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[cfg(test)]
mod tests;
