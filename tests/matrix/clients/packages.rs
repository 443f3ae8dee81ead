//! Package managers of other languages and systems.

use crate::client::{CLIENT, Client, Expected, Protocol, Server, works};

pub(crate) const CARGO: Client = Client {
    name: "cargo",
    version: "$CARGO --version",
    serve: r#"mkdir -p tide-demo-1.0.0/src $ROOT/index/ti/de $ROOT/crates && echo '// from nginx' > tide-demo-1.0.0/src/lib.rs
printf '[package]\nname = "tide-demo"\nversion = "1.0.0"\nedition = "2021"\n' > tide-demo-1.0.0/Cargo.toml
tar czf $ROOT/crates/tide-demo-1.0.0.crate tide-demo-1.0.0
sum=$(sha256sum < $ROOT/crates/tide-demo-1.0.0.crate | cut -d' ' -f1)
echo '{"dl":"https://'$NAME'/crates/{crate}-{version}.crate"}' > $ROOT/index/config.json
echo '{"name":"tide-demo","vers":"1.0.0","deps":[],"cksum":"'$sum'","features":{},"yanked":false}' > $ROOT/index/ti/de/tide-demo"#,
    fetch: r#"mkdir src && touch src/lib.rs
printf '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ntide-demo = { version = "1", registry = "it" }\n' > Cargo.toml
export CARGO_HOME=$PWD/home CARGO_NET_RETRY=0 CARGO_REGISTRIES_IT_INDEX=sparse+https://$HOST/index/
$CARGO fetch && cat home/registry/src/*/tide-demo-1.0.0/src/lib.rs"#,
    expected: works("CONNECT tunnel failed, response 403", "Could not resolve host", "got 403"),
    ..CLIENT
};

pub(crate) const GO: Client = Client {
    name: "go",
    version: "go version",
    serve: r#"versions=$ROOT/go/tide.test/demo/@v && mkdir -p $versions
echo v1.0.0 > $versions/list && echo 'module tide.test/demo' > $versions/v1.0.0.mod
echo '{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}' > $versions/v1.0.0.info
python3 - $versions <<'SCRIPT'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + '/v1.0.0.zip', 'w') as module:
    module.writestr('tide.test/demo@v1.0.0/go.mod', 'module tide.test/demo\n')
    module.writestr('tide.test/demo@v1.0.0/demo.go', '// from nginx\npackage demo\n')
SCRIPT"#,
    fetch: "export GOPROXY=https://$HOST/go GOSUMDB=off GOPATH=$PWD/go GOFLAGS=-modcacherw
        go mod download tide.test/demo@v1.0.0 && cat go/pkg/mod/tide.test/demo@v1.0.0/demo.go",
    expected: works("Forbidden", "Temporary failure in name resolution", "403 Forbidden"),
    ..CLIENT
};

const GEM_SITE: &str = r#"mkdir -p lib $ROOT/ruby/gems && echo 'puts "from nginx"' > lib/tide-demo.rb
cat > tide-demo.gemspec <<'SCRIPT'
Gem::Specification.new do |it|
  it.name, it.version, it.summary, it.authors, it.files = 'tide-demo', '1.0.0', 'a demo', ['t'], ['lib/tide-demo.rb']
end
SCRIPT
gem build --quiet tide-demo.gemspec && cp tide-demo-1.0.0.gem $ROOT/ruby/gems/ && gem generate_index --quiet -d $ROOT/ruby"#;

pub(crate) const GEM: Client = Client {
    name: "gem",
    version: "gem --version",
    serve: GEM_SITE,
    fetch: "gem install --clear-sources --source https://$HOST/ruby/ --no-document --install-dir it tide-demo && GEM_HOME=$PWD/it ruby -rtide-demo -e ''",
    expected: works("403", "getaddrinfo", "403"),
    ..CLIENT
};

pub(crate) const BUNDLER: Client = Client {
    name: "Bundler",
    version: "bundle --version",
    serve: GEM_SITE,
    fetch: "printf 'source \"https://%s/ruby\"\\ngem \"tide-demo\"\\n' $HOST > Gemfile
        export BUNDLE_PATH=$PWD/it BUNDLE_SILENCE_ROOT_WARNING=1 BUNDLE_RETRY=0
        bundle install && bundle exec ruby -e 'require \"tide-demo\"'",
    expected: works("403 \"Forbidden\"", "Could not", "Authentication is required"),
    ..CLIENT
};

pub(crate) const COMPOSER: Client = Client {
    name: "Composer",
    version: "composer --version 2>/dev/null",
    serve: r#"mkdir tide && echo '{"name":"tide/demo","version":"1.0.0"}' > tide/composer.json && echo 'from nginx' > tide/hello
python3 -c 'import shutil; shutil.make_archive("demo", "zip", ".", "tide")' && cp demo.zip $ROOT/tide-demo.zip
echo '{"packages":{"tide/demo":{"1.0.0":{"name":"tide/demo","version":"1.0.0","dist":{"type":"zip","url":"https://'$NAME'/tide-demo.zip"}}}}}' > $ROOT/packages.json"#,
    fetch: r#"echo '{"repositories":[{"type":"composer","url":"https://'$HOST'"},{"packagist":false}],"require":{"tide/demo":"*"}}' > composer.json
export COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_HOME=$PWD/composer
composer install --no-interaction --no-progress && cat vendor/tide/demo/hello"#,
    expected: works("evil.test/packages.json", "evil.test/packages.json", "403"),
    ..CLIENT
};

/// A parent is fetched before any plugin would be.
pub(crate) const MAVEN: Client = Client {
    name: "Maven",
    version: "mvn --version",
    serve: r"mkdir -p $ROOT/maven/tide/demo/1.0
cat > $ROOT/maven/tide/demo/1.0/demo-1.0.pom <<'SCRIPT'
<project><modelVersion>4.0.0</modelVersion><groupId>tide</groupId><artifactId>demo</artifactId><version>1.0</version>
<packaging>pom</packaging><description>from nginx</description></project>
SCRIPT
sha1sum < $ROOT/maven/tide/demo/1.0/demo-1.0.pom | cut -c1-40 > $ROOT/maven/tide/demo/1.0/demo-1.0.pom.sha1",
    fetch: r#"cat > pom.xml <<'SCRIPT'
<project><modelVersion>4.0.0</modelVersion><parent><groupId>tide</groupId><artifactId>demo</artifactId><version>1.0</version><relativePath/></parent>
<artifactId>user</artifactId><packaging>pom</packaging></project>
SCRIPT
echo "<settings><mirrors><mirror><id>it</id><mirrorOf>*</mirrorOf><url>https://$HOST/maven</url></mirror></mirrors></settings>" > settings.xml
mvn -B -s settings.xml -Dmaven.repo.local=$PWD/repository -Duser.home=$PWD validate && cat repository/tide/demo/1.0/demo-1.0.pom"#,
    expected: works("403", "evil.test", "403"),
    ..CLIENT
};

pub(crate) const GH: Client = Client {
    name: "gh",
    version: "gh --version",
    serve: r#"mkdir -p $ROOT/api/v3 && echo '{"message":"from nginx"}' > $ROOT/api/v3/hello"#,
    fetch: "GH_HOST=$HOST GH_ENTERPRISE_TOKEN=none GH_NO_UPDATE_NOTIFIER=1 gh api hello",
    expected: works("Forbidden", "error connecting to evil.test", "403"),
    ..CLIENT
};

const DEBIAN: &str = "mkdir -p tide-demo/DEBIAN tide-demo/usr/share && echo 'from nginx' > tide-demo/usr/share/tide-demo
    printf 'Package: tide-demo\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: t <t@t.test>\\nDescription: a demo\\n' > tide-demo/DEBIAN/control
    lists=dists/stable/main/binary-$(dpkg --print-architecture) && mkdir -p $ROOT/debian/pool $ROOT/debian/$lists
    dpkg-deb --build --root-owner-group tide-demo $ROOT/debian/pool/tide-demo_1.0_all.deb >/dev/null
    cd $ROOT/debian && apt-ftparchive packages pool > $lists/Packages
    apt-ftparchive -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Suite=stable release dists/stable > Release
    mv Release dists/stable/";

/// In directories of its own, as whoever runs it.
macro_rules! apt {
    ($scheme:literal) => {
        concat!(
            "mkdir -p a/etc/apt/apt.conf.d a/etc/apt/preferences.d a/var/lib/apt/lists/partial a/var/cache/apt/archives/partial && touch a/status
echo \"deb [trusted=yes] ",
            $scheme,
            "://$HOST/debian stable main\" > a/etc/apt/sources.list
trust=; [ $BY = nothing ] || trust=\"-o Acquire::https::CAInfo=$SSL_CERT_FILE\"
cat > apt.conf <<CONFIG
Dir \"$PWD/a\";
Dir::Bin::methods \"/usr/lib/apt/methods\";
Dir::State::status \"$PWD/a/status\";
APT::Sandbox::User \"$(id -un)\";
CONFIG
export APT_CONFIG=$PWD/apt.conf
apt-get $trust -o APT::Update::Error-Mode=any update && apt-get $trust download tide-demo && dpkg-deb --fsys-tarfile tide-demo_*.deb | tar xO ./usr/share/tide-demo"
        )
    };
}

pub(crate) const APT: Client = Client {
    name: "apt",
    version: "apt-get --version",
    serve: DEBIAN,
    fetch: apt!("https"),
    told: Some("with the variables: `Acquire::https::CAInfo`"),
    expected: works("403", "Temporary failure resolving", "403"),
    ..CLIENT
};

pub(crate) const APT_PLAIN: Client = Client {
    name: "apt, plain HTTP",
    version: "apt-get --version",
    serve: DEBIAN,
    fetch: apt!("http"),
    expected: [Expected::Works { refused: "403" }, READ_ANYWAY, Expected::Works { refused: "Temporary failure resolving" }, READ_ANYWAY],
    ..CLIENT
};

const READ_ANYWAY: Expected = Expected::Nothing { why: "plain HTTP is always read" };

const REGISTRY: Server = Server {
    script: "cat > config.yml <<CONFIG
version: 0.1
storage: { filesystem: { rootdirectory: $PWD/registry } }
http: { addr: '127.0.0.1:5000', tls: { certificate: $CERTIFICATE, key: $KEY } }
CONFIG
exec docker-registry serve config.yml",
    port: 5000,
    protocol: Protocol::Tls,
};

pub(crate) const SKOPEO: Client = Client {
    name: "skopeo",
    version: "skopeo --version",
    servers: &[REGISTRY],
    serve: r"cat > make.py <<'SCRIPT'
import hashlib, io, json, os, tarfile
os.makedirs('image/blobs/sha256')
def blob(content, kind):
    digest = hashlib.sha256(content).hexdigest()
    open('image/blobs/sha256/' + digest, 'wb').write(content)
    return {'mediaType': 'application/vnd.oci.image.' + kind, 'digest': 'sha256:' + digest, 'size': len(content)}
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode='w') as tar:
    entry = tarfile.TarInfo('hello')
    entry.size = len(b'from the registry')
    tar.addfile(entry, io.BytesIO(b'from the registry'))
layer = blob(layer.getvalue(), 'layer.v1.tar')
config = {'architecture': 'amd64', 'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': [layer['digest']]}}
config = blob(json.dumps(config).encode(), 'config.v1+json')
manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': [layer]}).encode(), 'manifest.v1+json')
json.dump({'schemaVersion': 2, 'manifests': [manifest]}, open('image/index.json', 'w'))
json.dump({'imageLayoutVersion': '1.0.0'}, open('image/oci-layout', 'w'))
SCRIPT
python3 make.py && skopeo copy --quiet --insecure-policy --dest-tls-verify=false oci:image docker://127.0.0.1:5000/tide/demo:1",
    fetch: "skopeo copy --insecure-policy docker://$HOST:5000/tide/demo:1 dir:it 2> said || { sed 's/^time=[^ ]* //' said; exit 1; }
        for layer in it/*; do gzip -dc $layer 2>/dev/null || cat $layer; done | grep -ao 'from the registry'",
    shows: "from the registry",
    expected: works("Forbidden", "Temporary failure in name resolution", "403"),
    ..CLIENT
};
