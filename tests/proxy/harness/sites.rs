//! The ways by which a request comes that this proxy reads, each with the same kind of origin at its end.

use super::{Client, Dns, Origin, Reply, Setup, Tidegate, client::ask, identity, tls::trusting};

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approach {
    /// In absolute-form, to the listener.
    Listener,
    /// Inside CONNECT, to a port that speaks HTTP.
    Tunnel,
    /// Inside CONNECT and TLS, which ends at the proxy.
    Intercepted,
}

/// A proxy that allows `allowed.test` and `other.test` on the port of a plain origin and on that of one that speaks TLS, whose
/// connections it intercepts.
pub(crate) struct Ground {
    pub(crate) gate: Tidegate,
    plain: Origin,
    secure: Origin,
    root: Vec<u8>,
}

impl Ground {
    /// Every request is answered `from the origin`.
    pub(crate) fn new() -> Self {
        Self::before(|| Origin::saying("from the origin"))
    }

    /// With these origins, of which there are two.
    pub(crate) fn before(origin: impl Fn() -> Origin) -> Self {
        Self::with(origin, "", |setup| setup)
    }

    /// With more lines of policy, in which `HOSTS` stands for both origins by name and `OTHERS` by the other one, and a setup of its own.
    pub(crate) fn with(origin: impl Fn() -> Origin, policy: &str, setup: impl FnOnce(Setup) -> Setup) -> Self {
        let (plain, secure) = (origin(), origin().over_tls(identity::server(&["allowed.test", "other.test"])));
        let both = |host: &str| {
            let (plain, secure) = (plain.port(), secure.port());
            format!("{{ host = \"{host}:{plain}\", http = true }}, {{ host = \"{host}:{secure}\", tls = true, intercept = true }}")
        };
        let hosts = format!("\"allowed.test:{}\", \"allowed.test:{}\"", plain.port(), secure.port());
        let policy = format!(
            "allow = [{}, {}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{}",
            both("allowed.test"),
            both("other.test"),
            policy.replace("HOSTS", &hosts).replace("OTHERS", &hosts.replace("allowed.test", "other.test"))
        );
        let dns = Dns::loopback();
        let gate = setup(identity::trusted_by(Setup::new(policy).dns(dns.address()))).start();
        let shown = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(shown.status, 200, "{}", shown.text());
        Self { gate, plain, secure, root: shown.body }
    }

    /// Each way, one after the other, and an origin that has been asked nothing yet.
    pub(crate) fn sites(&self) -> impl Iterator<Item = Site<'_>> {
        [Approach::Listener, Approach::Tunnel, Approach::Intercepted]
            .into_iter()
            .map(|way| self.site(way))
            .inspect(|site| site.origin.forget())
    }

    pub(crate) fn site(&self, way: Approach) -> Site<'_> {
        let origin = if way == Approach::Intercepted { &self.secure } else { &self.plain };
        Site { gate: &self.gate, origin, way, root: &self.root }
    }
}

/// One way, and the origin at its end.
#[derive(Clone, Copy)]
pub(crate) struct Site<'g> {
    pub(crate) gate: &'g Tidegate,
    pub(crate) origin: &'g Origin,
    pub(crate) way: Approach,
    root: &'g [u8],
}

impl Site<'_> {
    pub(crate) fn authority(&self) -> String {
        self.authority_of("allowed.test")
    }

    /// `host` on the origin's port.
    pub(crate) fn authority_of(&self, host: &str) -> String {
        format!("{host}:{}", self.origin.port())
    }

    /// A connection on which requests may be sent.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        match self.way {
            Approach::Listener => Client::connect(self.gate.proxy()),
            Approach::Tunnel => self.tunnel(),
            Approach::Intercepted => self.secured(&["http/1.1"]),
        }
    }

    /// The inside of TLS, in which one of these protocols is spoken.
    #[track_caller]
    pub(crate) fn secured(&self, protocols: &[&str]) -> Client {
        self.secured_to("allowed.test", protocols)
    }

    /// The same with another host on the origin's port.
    #[track_caller]
    pub(crate) fn secured_to(&self, host: &str, protocols: &[&str]) -> Client {
        self.tunnel_to(host).secured(host, trusting(self.root, protocols))
    }

    #[track_caller]
    pub(crate) fn tunnel(&self) -> Client {
        self.tunnel_to("allowed.test")
    }

    #[track_caller]
    fn tunnel_to(&self, host: &str) -> Client {
        let tunnel = Client::tunnel(self.gate.proxy(), &self.authority_of(host));
        tunnel.unwrap_or_else(|refusal| panic!("{:?}: {} {}", self.way, refusal.status, refusal.text()))
    }

    /// The request-target of a path at the origin.
    pub(crate) fn target(&self, path: &str) -> String {
        if self.way == Approach::Listener { format!("http://{}{path}", self.authority()) } else { path.to_owned() }
    }

    /// A request line and a Host for the origin, then these lines, the empty line, and the rest.
    pub(crate) fn request(&self, method: &str, lines: &str, rest: &str) -> Vec<u8> {
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        let target = self.target("/first");
        format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n{rest}", self.authority()).into_bytes()
    }

    /// `GET` of a path at the origin.
    pub(crate) fn get(&self, path: &str) -> String {
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.target(path), self.authority())
    }

    /// A second request, as it might be hidden in the body of a first.
    pub(crate) fn hidden(&self) -> String {
        self.get("/smuggled")
    }

    /// A request that is refused wherever it comes, up to the end of its Host, and how.
    pub(crate) fn refused(&self, method: &str) -> (String, (u16, &'static str)) {
        match self.way {
            Approach::Listener => (format!("{method} http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n"), (403, "host_not_allowed")),
            Approach::Tunnel | Approach::Intercepted => (format!("{method} / HTTP/1.1\r\nHost: evil.test\r\n"), (421, "misdirected")),
        }
    }

    /// The answer to one request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let request = request.as_ref();
        let method = request.split(|byte| *byte == b' ').next().map(String::from_utf8_lossy).unwrap_or_default();
        self.client().send(request).reply_to(&method)
    }

    /// These bytes get `400 bad_request` and the end of the connection; nothing reaches the origin.
    #[track_caller]
    pub(crate) fn refuses(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let case = format!("{:?}: {}", self.way, bytes.escape_ascii());
        let mut client = self.client();
        let reply = client.send(bytes).reply();
        assert_eq!(reply.verdict(), (400, "bad_request"), "{case}: {}", reply.text());
        client.assert_closed();
        self.assert_unasked(&case);
    }

    /// Fails unless nobody asked the origin anything. Inside CONNECT there is a connection before anything is asked.
    #[track_caller]
    pub(crate) fn assert_unasked(&self, why: &str) {
        if self.way == Approach::Listener {
            self.origin.assert_untouched(why);
        } else {
            let connections = self.origin.connections().concat();
            assert!(connections.is_empty(), "{why}: the origin was asked: {}", connections.escape_ascii());
        }
    }

    /// What the origin received of this one request.
    #[track_caller]
    pub(crate) fn passes_on(&self, request: impl AsRef<[u8]>) -> String {
        self.origin.forget();
        let reply = self.ask(request);
        assert_eq!((reply.status, reply.text().as_str()), (200, "from the origin"), "{:?}", self.way);
        String::from_utf8(self.origin.received()).expect("text")
    }
}
