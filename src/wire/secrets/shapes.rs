//! What tokens look like whose issuers give them a beginning of their own, and keys whose files do.

/// What a secret that nobody here holds is known by: how it begins, and how it goes on.
#[derive(Debug)]
pub(super) struct Shape {
    /// What is told of it.
    pub(super) name: &'static str,
    pub(super) beginnings: &'static [&'static str],
    /// At least so many octets follow,
    pub(super) length: u16,
    /// each of which is one of these.
    pub(super) takes: fn(u8) -> bool,
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn dashed(byte: u8) -> bool {
    word(byte) || byte == b'-'
}

fn dotted(byte: u8) -> bool {
    dashed(byte) || byte == b'.'
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn hexadecimal(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// How many of the first shapes are GitHub's: the octet before what goes on is an underscore in all of them.
pub(super) const GITHUB: usize = 3;

/// By the documentation of their issuers. A beginning of few octets needs a length that no accident has. Tokens of a GitHub App's
/// installation may hold a JWT behind the App's number.
pub(super) const SHAPES: &[Shape] = &[
    Shape { name: "a GitHub token", beginnings: &["ghp_", "gho_", "ghu_", "ghr_"], length: 36, takes: alphanumeric },
    Shape { name: "a GitHub token", beginnings: &["ghs_"], length: 36, takes: dotted },
    Shape { name: "a GitHub token", beginnings: &["github_pat_"], length: 60, takes: word },
    Shape { name: "a GitLab token", beginnings: &["glpat-", "gldt-", "glrt-"], length: 20, takes: dashed },
    Shape { name: "an Anthropic key", beginnings: &["sk-ant-"], length: 40, takes: dashed },
    Shape { name: "an OpenAI key", beginnings: &["sk-proj-", "sk-svcacct-", "sk-admin-"], length: 40, takes: dashed },
    Shape { name: "an OpenAI key", beginnings: &["sk-"], length: 48, takes: alphanumeric },
    Shape { name: "an AWS access key", beginnings: &["AKIA", "ASIA"], length: 16, takes: upper },
    Shape { name: "a Google API key", beginnings: &["AIzaSy"], length: 33, takes: dashed },
    Shape { name: "a Google access token", beginnings: &["ya29."], length: 30, takes: dashed },
    Shape {
        name: "a Slack token",
        beginnings: &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"],
        length: 20,
        takes: dashed,
    },
    Shape { name: "a Stripe key", beginnings: &["sk_live_", "rk_live_"], length: 20, takes: alphanumeric },
    Shape { name: "an npm token", beginnings: &["npm_"], length: 36, takes: alphanumeric },
    Shape { name: "a PyPI token", beginnings: &["pypi-AgE"], length: 60, takes: dashed },
    Shape { name: "a Hugging Face token", beginnings: &["hf_"], length: 34, takes: alphanumeric },
    Shape { name: "a DigitalOcean token", beginnings: &["dop_v1_", "doo_v1_", "dor_v1_"], length: 64, takes: hexadecimal },
    Shape { name: "a SendGrid key", beginnings: &["SG."], length: 66, takes: dotted },
    Shape {
        name: "a private key",
        beginnings: &[
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----",
            "-----BEGIN DSA PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        ],
        length: 0,
        takes: alphanumeric,
    },
];
