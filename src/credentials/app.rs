//! GitHub Apps: the key that stands for one, and the tokens that a session has of it.

mod error;
mod tokens;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;
use octocrab::{
    auth::{AppAuth, EncodingKey},
    models::AppId,
};

pub(crate) use self::{
    error::AppError,
    tokens::{Token, Tokens},
};
use super::{Credential, authorize_api};
use crate::{policy::grant::Bearer, secret::Secret};

/// What a GitHub takes: a credential that is somebody's, or an App by which tokens are made that do no more than a session may.
pub(crate) enum GithubCredential {
    User(Credential),
    App(Arc<App>),
}

impl GithubCredential {
    /// What it holds itself; the tokens of an App are its sessions'.
    pub(crate) fn held(&self) -> Option<Arc<Secret>> {
        self.user()?.held()
    }

    /// The credential, where it is somebody's.
    pub(crate) fn user(&self) -> Option<&Credential> {
        match self {
            Self::User(credential) => Some(credential),
            Self::App(_) => None,
        }
    }

    /// Whose it is, and so how much it opens.
    pub(crate) fn bearer(&self) -> Bearer {
        match self {
            Self::User(_) => Bearer::User,
            Self::App(_) => Bearer::App,
        }
    }

    /// The file that it is read from, if it is.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::User(credential) => credential.file(),
            Self::App(app) => Some(&app.key_file),
        }
    }
}

impl From<Credential> for GithubCredential {
    fn from(credential: Credential) -> Self {
        Self::User(credential)
    }
}

impl fmt::Debug for GithubCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(credential) => credential.fmt(f),
            Self::App(app) => app.fmt(f),
        }
    }
}

/// An App and its private key.
pub(crate) struct App {
    auth: AppAuth,
    key_file: PathBuf,
    patience: Duration,
}

impl App {
    /// `None` where the text holds no private key of RSA in PEM that can sign. `patience` bounds all that is asked to make one token.
    pub(crate) fn new(id: u32, pem: &Secret, key_file: PathBuf, patience: Duration) -> Option<Self> {
        let key = EncodingKey::from_rsa_pem(pem.expose()).ok()?;
        let app = Self { auth: AppAuth { app_id: AppId(id.into()), key }, key_file, patience };
        app.sign_in(&mut HeaderMap::new()).ok()?;
        Some(app)
    }

    pub(crate) fn id(&self) -> u64 {
        self.auth.app_id.0
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Puts into a request what shows that it is the App's: signed now, dated a minute back and good for nine, so that clocks which do
    /// not agree do no harm.
    ///
    /// # Errors
    /// [`AppError::Key`].
    pub(crate) fn sign_in(&self, headers: &mut HeaderMap) -> Result<(), AppError> {
        let signed = self.auth.generate_bearer_token().map_err(|_| AppError::Key)?;
        authorize_api(headers, &Secret::new(signed));
        Ok(())
    }
}

/// Its number and where its key is.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({}, key file {})", self.id(), self.key_file.display())
    }
}
