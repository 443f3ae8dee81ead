//! Why GitHub turned a credential away, as far as it says so.

/// What stands behind an answer of 401 or 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denied {
    /// The credential is none, or none any more.
    Credential,
    /// It lacks the organisation's single sign-on.
    SingleSignOn,
    /// The organisation lets other addresses in.
    Address,
    /// The account or the installation of the App is suspended.
    Suspended,
    /// It was used too often.
    Rate,
    /// Nobody may write there any more.
    Archived,
    /// It is good, and not for this.
    Permission,
}

impl Denied {
    /// Reads an answer: its status, whether it has the field `X-GitHub-SSO`, and the beginning of its body, of which [`MAX_READ`] octets
    /// count. What no phrase tells is taken for a lack of permission, and 401 for a credential that is none.
    pub fn read(status: u16, names_sso: bool, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body.get(..MAX_READ).unwrap_or(body)).to_ascii_lowercase();
        let said = PHRASES.iter().find(|(phrase, _)| text.contains(phrase)).map(|(_, cause)| *cause);
        match (names_sso, said) {
            (true, _) => Self::SingleSignOn,
            (false, Some(cause)) => cause,
            (false, None) if status == 401 => Self::Credential,
            (false, None) => Self::Permission,
        }
    }

    /// The end of a sentence that begins with who turned it away.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Credential => "does not know the owner's credential, or not any more",
            Self::SingleSignOn => "wants the owner's credential to be authorized for the organisation's single sign-on",
            Self::Address => "lets only addresses on the organisation's IP allow list in, and this proxy's is not on it",
            Self::Suspended => "has suspended the owner's account or the installation of the App",
            Self::Rate => "has seen the owner's credential too often, and wants it to wait",
            Self::Archived => "has the repository archived, where nobody may write",
            Self::Permission => "does not let the owner's credential do this",
        }
    }
}

/// In lower case, the more telling first.
const PHRASES: &[(&str, Denied)] = &[
    ("saml", Denied::SingleSignOn),
    ("single sign-on", Denied::SingleSignOn),
    ("ip allow list", Denied::Address),
    ("suspended", Denied::Suspended),
    ("rate limit", Denied::Rate),
    ("abuse detection", Denied::Rate),
    ("archived", Denied::Archived),
    ("bad credentials", Denied::Credential),
    ("invalid username or", Denied::Credential),
];

/// Octets of a body that are looked at.
pub const MAX_READ: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_says() {
        for (status, sso, body, expected) in [
            (401, false, "", Denied::Credential),
            (403, false, "", Denied::Permission),
            (403, true, "anything", Denied::SingleSignOn),
            (403, false, "remote: The 'octo' organization has enabled or enforced SAML SSO.", Denied::SingleSignOn),
            (403, false, "The repository owner has an IP allow list enabled, and 192.0.2.1 is not permitted", Denied::Address),
            (403, false, "Your account is suspended. Please visit https://support.github.com", Denied::Suspended),
            (403, false, "{\"message\":\"This installation has been suspended\"}", Denied::Suspended),
            (403, false, "You have exceeded a secondary rate limit", Denied::Rate),
            (403, false, "This repository was archived so it is read-only.", Denied::Archived),
            (403, false, "Write access to repository not granted.", Denied::Permission),
            (403, false, "Permission to octo/spoon.git denied to octo.", Denied::Permission),
            (403, false, "Bad credentials", Denied::Credential),
        ] {
            assert_eq!(Denied::read(status, sso, body.as_bytes()), expected, "{status} {body}");
        }
        let late = [vec![b' '; MAX_READ], b"suspended".to_vec()].concat();
        assert_eq!(Denied::read(403, false, &late), Denied::Permission);
        assert_eq!(Denied::read(403, false, b"\xff\xfe SUSPENDED \0"), Denied::Suspended);
    }
}
