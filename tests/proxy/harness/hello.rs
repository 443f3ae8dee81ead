//! `ClientHello` messages, byte by byte (RFC 8446, section 4.1.2), as good or as bad as a test wants them.

/// A `ClientHello` to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hello {
    /// None: TLS 1.3 and nothing else.
    version: Option<u16>,
    ciphers: Option<Vec<u16>>,
    server_names: Option<Vec<Vec<u8>>>,
    encrypted: bool,
    padding: usize,
    grease: bool,
}

impl Hello {
    /// One that names no server.
    pub(crate) fn anonymous() -> Self {
        Self::default()
    }

    /// One that names this server.
    pub(crate) fn to(name: impl AsRef<[u8]>) -> Self {
        Self::to_all(&[name.as_ref()])
    }

    /// One whose `server_name` extension holds these names, all of type `host_name`.
    pub(crate) fn to_all(names: &[&[u8]]) -> Self {
        Self { server_names: Some(names.iter().map(|name| name.to_vec()).collect()), ..Self::default() }
    }

    /// With an `encrypted_client_hello` extension.
    pub(crate) fn encrypted(self) -> Self {
        Self { encrypted: true, ..self }
    }

    /// With a padding extension of so many bytes.
    pub(crate) fn padded(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// In this version of TLS, which is before 1.3.
    pub(crate) fn version(self, version: u16) -> Self {
        Self { version: Some(version), ..self }
    }

    /// With these cipher suites and no others.
    pub(crate) fn ciphers(self, ciphers: &[u16]) -> Self {
        Self { ciphers: Some(ciphers.to_vec()), ..self }
    }

    /// With the values that RFC 8701 reserves for being ignored.
    pub(crate) fn greased(self) -> Self {
        Self { grease: true, ..self }
    }

    /// The handshake message, in records of 16 KiB at most.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.in_records(MAX_RECORD)
    }

    /// The handshake message, in records of so many bytes.
    pub(crate) fn in_records(&self, size: usize) -> Vec<u8> {
        self.message().chunks(size).flat_map(record).collect()
    }

    /// The handshake message without records.
    pub(crate) fn message(&self) -> Vec<u8> {
        let ciphers = self.ciphers.clone().unwrap_or_else(|| if self.grease { vec![0x0a0a, 0x1301, 0xc02f] } else { vec![0x1301, 0xc02f] });
        let ciphers: Vec<u8> = ciphers.into_iter().flat_map(u16::to_be_bytes).collect();
        let version = self.version.unwrap_or(0x0303).to_be_bytes();
        let body = [&version[..], &[7; 32], &[0], &with_length(2, &ciphers), &[1, 0], &with_length(2, &self.extensions())].concat();
        [&[1][..], &with_length(3, &body)].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if self.grease {
            all.extend(extension(0x2a2a, b"\0"));
        }
        if let Some(names) = &self.server_names {
            let list: Vec<u8> = names.iter().flat_map(|name| [&[0][..], &with_length(2, name)].concat()).collect();
            all.extend(extension(0, &with_length(2, &list)));
        }
        if self.version.is_none() {
            all.extend(extension(0x2b, &[2, 3, 4]));
        }
        all.extend(extension(0x0a, &with_length(2, &0x001d_u16.to_be_bytes())));
        all.extend(extension(0x0d, &with_length(2, &0x0403_u16.to_be_bytes())));
        let share = [&0x001d_u16.to_be_bytes()[..], &with_length(2, &[9; 32])].concat();
        all.extend(extension(0x33, &with_length(2, &share)));
        if self.encrypted {
            let outer = [&[0, 0, 1, 0, 1, 42][..], &with_length(2, &[5; 32]), &with_length(2, &[6; 144])].concat();
            all.extend(extension(0xfe0d, &outer));
        }
        if self.padding > 0 {
            all.extend(extension(0x15, &vec![0; self.padding]));
        }
        all
    }
}

/// What a server answers that chooses this version before TLS 1.3, this cipher suite and this compression.
pub(crate) fn server_hello(version: u16, cipher: u16, compression: u8) -> Vec<u8> {
    let body = [&version.to_be_bytes()[..], &[7; 32], &[0], &cipher.to_be_bytes(), &[compression]].concat();
    record(&[&[2][..], &with_length(3, &body)].concat())
}

/// A handshake record with this payload.
pub(crate) fn record(payload: &[u8]) -> Vec<u8> {
    [&[0x16, 3, 1][..], &with_length(2, payload)].concat()
}

/// Whether bytes are one TLS alert that ends the connection, and which.
pub(crate) fn fatal_alert(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [0x15, 3, _, 0, 2, 2, description] => Some(*description),
        _ => None,
    }
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(2, data)].concat()
}

fn with_length(width: usize, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a length").to_be_bytes();
    [&length[4 - width..], data].concat()
}

/// RFC 8446, section 5.1.
const MAX_RECORD: usize = 16 * 1024;
/// RFC 8446, section 6.2.
pub(crate) const UNRECOGNIZED_NAME: u8 = 112;
