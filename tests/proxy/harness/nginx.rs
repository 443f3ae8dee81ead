//! The real nginx as an origin, on HTTP and HTTPS.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{pki::Pki, wait::eventually};

/// A running nginx that serves the files of a directory; killed when dropped.
pub(crate) struct Nginx {
    child: Child,
    directory: TempDir,
    http: u16,
    https: u16,
}

impl Nginx {
    /// Serves `/` from [`Nginx::root`], with this certificate on HTTPS.
    #[track_caller]
    pub(crate) fn start(pki: &Pki) -> Self {
        // Two ports at a time are reserved, then given up to nginx: nothing else here takes a port that it names itself.
        let [http, https] = [TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0")].map(|listener| listener.expect("a port"));
        let [http, https] = [http, https].map(|listener| listener.local_addr().expect("an address").port());
        Self::at(pki, http, https)
    }

    /// The same at these ports, in a network where nobody else takes them.
    #[track_caller]
    pub(crate) fn at(pki: &Pki, http: u16, https: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory for nginx");
        fs::create_dir(directory.path().join("root")).expect("a directory");
        let config = CONFIG
            .replace("DIRECTORY", &directory.path().display().to_string())
            .replace("CERTIFICATE", &pki.certificate().display().to_string())
            .replace("KEY", &pki.key().display().to_string())
            .replace("PLAIN", &http.to_string())
            .replace("SECURE", &https.to_string());
        fs::write(directory.path().join("nginx.conf"), config).expect("a configuration");
        let child = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx is needed ({error}): apt-get install nginx"));
        let mut nginx = Self { child, directory, http, https };
        for port in [http, https] {
            eventually("nginx listens", || {
                assert!(nginx.child.try_wait().expect("its status").is_none(), "nginx ended instead of listening on {http} and {https}");
                TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
            });
        }
        nginx
    }

    /// The directory whose files it serves.
    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    /// Puts a file there.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a directory");
        fs::write(path, content).expect("a file");
        self
    }

    pub(crate) fn http(&self) -> u16 {
        self.http
    }

    pub(crate) fn https(&self) -> u16 {
        self.https
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process, so that killing it leaves none behind.
const CONFIG: &str = "
daemon off;
master_process off;
pid DIRECTORY/nginx.pid;
events { worker_connections 512; }
http {
    access_log DIRECTORY/access.log;
    client_body_temp_path DIRECTORY/body;
    proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi;
    uwsgi_temp_path DIRECTORY/uwsgi;
    scgi_temp_path DIRECTORY/scgi;
    types { text/html html; application/json json; application/octet-stream whl tgz gz; }
    default_type application/octet-stream;
    server {
        listen 127.0.0.1:PLAIN;
        listen 127.0.0.1:SECURE ssl http2;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key KEY;
        root DIRECTORY/root;
        autoindex on;
        location /v1/connection {
            return 200 \"$connection $connection_requests $server_protocol\\n\";
        }
        location /elsewhere/ {
            return 302 https://evil.test:$server_port$uri;
        }
        location /v1/mirror {
            add_header X-Mirrored \"$http_x_api_key\";
            return 200 \"$server_protocol host=$http_host key=$http_x_api_key authorization=$http_authorization override=$http_x_http_method_override\\n\";
        }
    }
}
";
