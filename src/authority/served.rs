//! The configurations by which hosts are served: one for each session and host, so that no TLS session of one is resumed with
//! another, and no more than [`MAX_SERVED`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rcgen::KeyPair;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::ServerSessionMemoryCache,
    sign::{CertifiedKey, SigningKey, SingleCertAndKey},
};

use super::root::{Root, Trouble};
use crate::{destination::Host, metrics::Leaf};

pub(super) struct Served {
    provider: Arc<CryptoProvider>,
    /// One key for all leaves of this process.
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    known: HashMap<(Box<str>, Host), Entry>,
    /// Counts every use, which orders the entries by their last.
    uses: u64,
}

struct Entry {
    config: Arc<ServerConfig>,
    made: SystemTime,
    /// From this moment on it is to be made anew.
    due: SystemTime,
    used: u64,
}

impl Served {
    pub(super) fn new() -> Result<Self, Trouble> {
        let provider = Arc::new(default_provider());
        let key = KeyPair::generate().map_err(|error| format!("a key cannot be made: {error}"))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = provider.key_provider.load_private_key(der).map_err(|error| format!("a key cannot be used: {error}"))?;
        Ok(Self { provider, key, signing, entries: Mutex::default() })
    }

    /// The configuration of a session and a host, and whether it had to be made.
    pub(super) fn get(&self, root: &Root, session: &str, host: &Host, now: SystemTime) -> Result<(Arc<ServerConfig>, Leaf), Trouble> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let (key, used) = ((session.into(), host.clone()), entries.uses);
        // A clock that was set back makes a leaf that is not yet valid.
        if let Some(entry) = entries.known.get_mut(&key).filter(|entry| entry.made <= now && now < entry.due) {
            entry.used = used;
            return Ok((Arc::clone(&entry.config), Leaf::Cached));
        }
        let (leaf, due) = root.sign_leaf(host, &self.key, now)?;
        let config = Arc::new(self.configure(leaf)?);
        entries.make_room(&key);
        entries.known.insert(key, Entry { config: Arc::clone(&config), made: now, due, used });
        Ok((config, Leaf::Made))
    }

    /// TLS 1.2 and 1.3 for HTTP/2 and HTTP/1.1, without early data and without a question for the client's certificate.
    fn configure(&self, leaf: CertificateDer<'static>) -> Result<ServerConfig, Trouble> {
        let certified = CertifiedKey::new(vec![leaf], Arc::clone(&self.signing));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.max_early_data_size = 0;
        config.session_storage = ServerSessionMemoryCache::new(MAX_RESUMABLE);
        Ok(config)
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.entries.lock().unwrap().known.len()
    }
}

impl Entries {
    /// Forgets the entry that was not used for longest, where another would be one too many.
    fn make_room(&mut self, key: &(Box<str>, Host)) {
        if self.known.len() < MAX_SERVED || self.known.contains_key(key) {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.known.remove(&oldest);
        }
    }
}

/// Configurations kept. One that was forgotten is made again at its next use, in well under a millisecond.
pub(super) const MAX_SERVED: usize = 1024;
/// TLS sessions that may be resumed by one configuration.
const MAX_RESUMABLE: usize = 64;
