//! Why something was refused or failed: one closed list of words, shared by replies, records, metrics and `check`.

use std::fmt;

/// What a [`Reason`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Allow,
    /// The policy, the session or a bound refused.
    Deny,
    /// Trouble on the way, ours or the upstream's: no refusal.
    Error,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $status:literal, $verdict:ident, $proxy_status:literal;)*) => {
        /// The closed list of reasons. [`Reason::as_str`] is the word the outside sees.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in replies, records, metrics and `check`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The reason that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }

            /// The HTTP status of an answer in HTTP (the proxy door's, where doors differ).
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// Whether this is a refusal or trouble.
            pub const fn verdict(self) -> Verdict {
                match self { $(Self::$variant => Verdict::$verdict,)* }
            }

            /// The error type of RFC 9209 (`Proxy-Status`, section 2.3).
            pub const fn proxy_status(self) -> &'static str {
                match self { $(Self::$variant => $proxy_status,)* }
            }
        }
    };
}

reasons! {
    BadRequest = "bad_request", 400, Deny, "http_request_error";
    SessionRequired = "session_required", 407, Deny, "http_request_denied";
    SessionUnknown = "session_unknown", 407, Deny, "http_request_denied";
    SessionExpired = "session_expired", 407, Deny, "http_request_denied";
    SessionRevoked = "session_revoked", 407, Deny, "http_request_denied";
    NetworkDisabled = "network_disabled", 403, Deny, "http_request_denied";
    HostDenied = "host_denied", 403, Deny, "http_request_denied";
    HostNotAllowed = "host_not_allowed", 403, Deny, "http_request_denied";
    IpLiteralNotAllowed = "ip_literal_not_allowed", 403, Deny, "http_request_denied";
    AddressNotAllowed = "address_not_allowed", 403, Deny, "destination_ip_prohibited";
    PortNotAllowed = "port_not_allowed", 403, Deny, "http_request_denied";
    MethodNotAllowed = "method_not_allowed", 403, Deny, "http_request_denied";
    PathNotAllowed = "path_not_allowed", 403, Deny, "http_request_denied";
    MethodRefused = "method_refused", 405, Deny, "http_request_denied";
    Misdirected = "misdirected", 421, Deny, "http_request_denied";
    OpaqueTunnel = "opaque_tunnel", 403, Deny, "http_request_denied";
    EchNotAllowed = "ech_not_allowed", 403, Deny, "http_request_denied";
    CredentialNotAllowed = "credential_not_allowed", 403, Deny, "http_request_denied";
    SecretInRequest = "secret_in_request", 403, Deny, "http_request_denied";
    HeadTooLarge = "head_too_large", 431, Deny, "http_request_error";
    HeadTimeout = "head_timeout", 408, Deny, "http_request_error";
    BodyTooLarge = "body_too_large", 413, Deny, "http_request_denied";
    RateLimited = "rate_limited", 429, Deny, "http_request_denied";
    BudgetExhausted = "budget_exhausted", 403, Deny, "http_request_denied";
    TooManyTunnels = "too_many_tunnels", 503, Deny, "connection_limit_reached";
    TooManyConnections = "too_many_connections", 503, Deny, "connection_limit_reached";
    RepositoryNotGranted = "repository_not_granted", 403, Deny, "http_request_denied";
    ReadOnly = "read_only", 403, Deny, "http_request_denied";
    RefNotGranted = "ref_not_granted", 403, Deny, "http_request_denied";
    ApiNotAllowed = "api_not_allowed", 403, Deny, "http_request_denied";
    PushContentNotAllowed = "push_content_not_allowed", 403, Deny, "http_request_denied";
    PushNotJudgeable = "push_not_judgeable", 403, Deny, "http_request_denied";
    LoopDetected = "loop_detected", 508, Deny, "proxy_loop_detected";
    DnsFailed = "dns_failed", 502, Error, "dns_error";
    ConnectFailed = "connect_failed", 502, Error, "connection_refused";
    TlsFailed = "tls_failed", 502, Error, "tls_certificate_error";
    UpstreamClosed = "upstream_closed", 502, Error, "connection_terminated";
    UpstreamTimeout = "upstream_timeout", 504, Error, "connection_timeout";
    CredentialUnavailable = "credential_unavailable", 503, Error, "proxy_internal_error";
    PolicyUnavailable = "policy_unavailable", 503, Error, "proxy_internal_error";
    AuditUnavailable = "audit_unavailable", 503, Error, "proxy_internal_error";
    Overloaded = "overloaded", 503, Error, "proxy_internal_error";
    Internal = "internal", 503, Error, "proxy_internal_error";
}

impl Reason {
    /// Whether something was refused for where it leads, and not for what it is.
    pub const fn is_of_destination(self) -> bool {
        matches!(
            self,
            Self::NetworkDisabled
                | Self::HostDenied
                | Self::HostNotAllowed
                | Self::IpLiteralNotAllowed
                | Self::AddressNotAllowed
                | Self::PortNotAllowed
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    #[test]
    fn trouble_answers_with_a_server_error() {
        for reason in Reason::ALL.iter().filter(|reason| reason.verdict() == Verdict::Error) {
            assert!((502..=504).contains(&reason.status()), "{reason}");
        }
    }
}
