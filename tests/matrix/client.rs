//! What a client is, and what is expected of it.

/// One row of the matrix. Scripts are bash; a client's fresh home is where they work.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// Prints its version, of which the first line is kept.
    pub(crate) version: &'static str,
    /// Puts what it fetches under `$ROOT`, which nginx serves at `http://$NAME` and `https://$NAME`; outside, and before its first cell.
    pub(crate) serve: &'static str,
    pub(crate) servers: &'static [Server],
    /// Fetches from `$HOST`, and fails where that fails. `$BY` is `variables` or `nothing`: how it is to find the way.
    pub(crate) fetch: &'static str,
    /// What it prints where that worked.
    pub(crate) shows: &'static str,
    /// More of the policy.
    pub(crate) policy: &'static str,
    /// What it needs to be told besides the variables.
    pub(crate) told: Option<&'static str>,
    /// In the order of [`COLUMNS`].
    pub(crate) expected: [Expected; 4],
}

/// A client of which only what differs is said.
pub(crate) const CLIENT: Client = Client {
    name: "",
    version: "",
    serve: "",
    servers: &[],
    fetch: "",
    shows: "from nginx",
    policy: "",
    told: None,
    expected: [Expected::Nothing { why: "" }; 4],
};

/// A server that a client needs beside nginx.
pub(crate) struct Server {
    /// Runs it in the place of the shell, at `$NAME`'s address with `$CERTIFICATE` and `$KEY`; an empty directory is where it works.
    pub(crate) script: &'static str,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
}

/// How a server's port is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Any,
    Tls,
}

/// How a client gets to the gate, and whether its TLS ends there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// By the variables and without walls; else in a network of its own, and without a variable that names a proxy.
    pub(crate) variables: bool,
    pub(crate) intercepted: bool,
}

pub(crate) const COLUMNS: [Column; 4] = [
    Column { variables: true, intercepted: false },
    Column { variables: true, intercepted: true },
    Column { variables: false, intercepted: false },
    Column { variables: false, intercepted: true },
];

/// What is to come of a client in a column.
#[derive(Clone, Copy)]
pub(crate) enum Expected {
    /// It works, and says this where it is refused: the name, or where TLS ends at the gate the request.
    Works { refused: &'static str },
    /// It says this even of the allowed name, and why; from a version on, it works.
    Cannot { says: &'static str, why: &'static str, until: Option<Until> },
    /// There is nothing to measure.
    Nothing { why: &'static str },
}

/// The version of a client with which it works, and what it then says where it is refused.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) version: (u32, u32),
    pub(crate) refused: &'static str,
}

/// A client that works everywhere: what it says of a refused name with the variables and without, and of a refused request.
pub(crate) const fn works(tunnel: &'static str, name: &'static str, request: &'static str) -> [Expected; 4] {
    [
        Expected::Works { refused: tunnel },
        Expected::Works { refused: request },
        Expected::Works { refused: name },
        Expected::Works { refused: request },
    ]
}

/// One that reads no variable, and whose protocol is not HTTP: what it says of any name with the variables, and of a refused one without.
pub(crate) const fn passes_at_its_port(of_any: &'static str, name: &'static str, why: &'static str) -> [Expected; 4] {
    let nothing = Expected::Nothing { why: "not HTTP: passes at its port, unread" };
    [Expected::Cannot { says: of_any, why, until: None }, nothing, Expected::Works { refused: name }, nothing]
}
