//! By whose credential something is done at a GitHub.

/// Whose credential goes with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// A GitHub App's, made for the repositories and permissions that the session is granted.
    App,
    /// A user's, which is wide: it opens whatever its user may do, and only what is judged here stands before that.
    User,
    /// The sandbox's own, which reads what anybody may read.
    Sandbox,
}

impl Bearer {
    /// What records call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::User => "user",
            Self::Sandbox => "sandbox",
        }
    }
}
