//! How much a pattern lets through: refused where that is more than anyone means.

use super::patterns::{HostPattern, NamePattern, Pattern, PatternError};

impl Pattern {
    /// Refuses what would let through far more than anyone means: names that strangers may register, every address.
    pub(super) fn check_width(&self) -> Result<(), PatternError> {
        match &self.host {
            HostPattern::Net(net) if net.prefix_len() == 0 => Err(PatternError::new(
                format!("\"{self}\" would match every address"),
                "write the network that is meant, such as \"10.1.2.0/24\"",
            )),
            HostPattern::Net(_) => Ok(()),
            HostPattern::Name(name) => name.check_width(&self.to_string()),
        }
    }

    /// The private public suffix (such as `github.io`) under which the pattern matches everybody's names.
    pub(super) fn shared_suffix(&self) -> Option<&str> {
        match &self.host {
            HostPattern::Name(name) if name.is_wild() => Some(name.literal_suffix()).filter(|suffix| is_suffix(suffix, psl::Type::Private)),
            HostPattern::Name(_) | HostPattern::Net(_) => None,
        }
    }
}

impl NamePattern {
    fn check_width(&self, shown: &str) -> Result<(), PatternError> {
        let suffix = self.literal_suffix();
        // The second look catches rules such as `*.ck`, by which every `x.ck` is a public suffix.
        let public = is_suffix(suffix, psl::Type::Icann) || (self.is_wild() && is_suffix(&format!("any.{suffix}"), psl::Type::Icann));
        if !public {
            return Ok(());
        }
        let help = format!("write the domain that is meant, such as \"*.example.{suffix}\"");
        Err(if self.is_wild() {
            PatternError::new(format!("\"{shown}\" would match every name under the public suffix \"{suffix}\""), help)
        } else {
            PatternError::new(format!("\"{shown}\" is a public suffix, nobody's host"), help)
        })
    }
}

/// Whether a name is itself a public suffix of a section of the list.
fn is_suffix(name: &str, section: psl::Type) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == name.as_bytes() && suffix.typ() == Some(section))
}
