//! A refusal in the protocol of SOCKS (RFC 1928, section 6), which has numbers for it and no words.

use crate::reason::{Reason, Verdict};

pub(crate) const SUCCEEDED: u8 = 0;
const FAILED: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const TOO_LATE: u8 = 6;
const COMMAND_NOT_SUPPORTED: u8 = 7;
pub(crate) const ADDRESS_TYPE_NOT_SUPPORTED: u8 = 8;

/// The reply with this number. The address in it is none: where we dial from is nobody's business.
pub(crate) fn reply(number: u8) -> [u8; 10] {
    [VERSION, number, 0, IPV4, 0, 0, 0, 0, 0, 0]
}

/// The number that comes nearest to a reason. What may be otherwise the next moment is not called a rule.
pub(crate) fn number(reason: Reason) -> u8 {
    match reason.verdict() {
        Verdict::Error if reason == Reason::DnsFailed => HOST_UNREACHABLE,
        Verdict::Error if reason == Reason::ConnectFailed => CONNECTION_REFUSED,
        Verdict::Error if reason == Reason::UpstreamTimeout => TOO_LATE,
        Verdict::Error => FAILED,
        Verdict::Allow | Verdict::Deny if reason == Reason::MethodRefused => COMMAND_NOT_SUPPORTED,
        Verdict::Allow | Verdict::Deny if reason == Reason::HeadTimeout => TOO_LATE,
        Verdict::Allow | Verdict::Deny if PASSING.contains(&reason) => FAILED,
        Verdict::Allow | Verdict::Deny => NOT_ALLOWED,
    }
}

/// Refused for how it was asked, or for when.
const PASSING: &[Reason] = &[Reason::BadRequest, Reason::RateLimited, Reason::TooManyConnections, Reason::TooManyTunnels];
const VERSION: u8 = 5;
const IPV4: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_number() {
        let numbered = |wanted| {
            let reasons = Reason::ALL.iter().filter(|reason| number(**reason) == wanted);
            reasons.map(|reason| reason.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(numbered(SUCCEEDED), "");
        let failed = "bad_request rate_limited too_many_tunnels too_many_connections tls_failed upstream_closed credential_unavailable \
                      policy_unavailable audit_unavailable overloaded internal";
        assert_eq!(numbered(FAILED), failed);
        for (wanted, reason) in
            [(HOST_UNREACHABLE, "dns_failed"), (CONNECTION_REFUSED, "connect_failed"), (COMMAND_NOT_SUPPORTED, "method_refused")]
        {
            assert_eq!(numbered(wanted), reason);
        }
        assert_eq!(numbered(TOO_LATE), "head_timeout upstream_timeout");
        for reason in [Reason::HostNotAllowed, Reason::AddressNotAllowed, Reason::LoopDetected, Reason::BudgetExhausted] {
            assert_eq!(number(reason), NOT_ALLOWED, "{reason}");
        }
    }
}
