//! Node and its package managers.

use crate::client::{CLIENT, Client, Expected, Until, works};

macro_rules! with_fetch {
    ($run:literal) => {
        concat!(
            "cat > fetch.js <<'SCRIPT'
fetch('https://' + process.env.HOST + '/hello').then(async answer => {
  if (!answer.ok) throw new Error('status ' + answer.status);
  console.log(await answer.text());
}).catch(error => { console.error(String(error.cause ?? error)); process.exit(1) });
SCRIPT
",
            $run
        )
    };
}

/// The one of this machine.
pub(crate) const NODE: Client =
    Client { name: "Node fetch", version: "node --version", fetch: with_fetch!("node fetch.js"), expected: FETCHES, ..CLIENT };

pub(crate) const NODE_20: Client = Client {
    name: "Node 20 fetch",
    version: "$NODE_MODULES/node-20/bin/node --version",
    fetch: with_fetch!("$NODE_MODULES/node-20/bin/node fetch.js"),
    ..NODE
};

pub(crate) const NODE_CURRENT: Client = Client {
    name: "Node fetch",
    version: "$NODE_MODULES/node/bin/node --version",
    fetch: with_fetch!("$NODE_MODULES/node/bin/node fetch.js"),
    ..NODE
};

const FETCHES: [Expected; 4] = [
    blind("Request was cancelled"),
    blind("status 403"),
    Expected::Works { refused: "EAI_AGAIN" },
    Expected::Works { refused: "status 403" },
];

const fn blind(refused: &'static str) -> Expected {
    let why = "before 22.21 and 24.5 its `fetch` reads no variable";
    Expected::Cannot { says: "EAI_AGAIN", why, until: Some(Until { version: (22, 21), refused }) }
}

/// `tide-demo`, as a registry of npm serves it.
pub(crate) const PACKAGE: &str = "mkdir package && echo '{\"name\":\"tide-demo\",\"version\":\"1.0.0\",\"bin\":\"index.js\"}' > package/package.json
    printf '#!/usr/bin/env node\\nconsole.log(\"from nginx\")\\n' > package/index.js
    tar czf $ROOT/tide-demo-1.0.0.tgz package
    sum=$(openssl dgst -sha512 -binary $ROOT/tide-demo-1.0.0.tgz | base64 -w0)
    printf '{\"name\":\"tide-demo\",\"dist-tags\":{\"latest\":\"1.0.0\"},\"versions\":{\"1.0.0\":{\"name\":\"tide-demo\",\"version\":\"1.0.0\",\"bin\":\"index.js\",\"dist\":{\"tarball\":\"https://%s/tide-demo-1.0.0.tgz\",\"integrity\":\"sha512-%s\"}}}}' $NAME $sum > $ROOT/tide-demo";

pub(crate) const NPM: Client = Client {
    name: "npm",
    version: "npm --version",
    serve: PACKAGE,
    fetch: "npm install --registry https://$HOST/ --fetch-retries 0 --no-audit --no-fund --no-update-notifier tide-demo && node node_modules/tide-demo/index.js",
    expected: works("403", "EAI_AGAIN", "403 Forbidden"),
    ..CLIENT
};

/// The current one for both of Yarn and for pnpm, which is what they are used with.
macro_rules! installed {
    ($with:literal) => {
        concat!("export PATH=$NODE_MODULES/node/bin:$PATH\n", $with, "\nnode node_modules/tide-demo/index.js")
    };
}

pub(crate) const YARN_1: Client = Client {
    name: "Yarn 1",
    version: "node $NODE_MODULES/yarn/bin/yarn.js --version",
    serve: PACKAGE,
    fetch: installed!(
        "echo '{}' > package.json
        node $NODE_MODULES/yarn/bin/yarn.js add --cache-folder cache --registry https://$HOST --non-interactive --no-progress tide-demo"
    ),
    expected: works("403", "EAI_AGAIN", "403"),
    ..CLIENT
};

pub(crate) const YARN_4: Client = Client {
    name: "Yarn 4",
    version: "node $NODE_MODULES/@yarnpkg/cli-dist/bin/yarn.js --version",
    serve: PACKAGE,
    fetch: installed!(
        "echo '{}' > package.json && touch yarn.lock
        export YARN_NPM_REGISTRY_SERVER=https://$HOST YARN_ENABLE_TELEMETRY=0 YARN_NODE_LINKER=node-modules YARN_HTTP_RETRY=0 YARN_NPM_MINIMAL_AGE_GATE=0
        node $NODE_MODULES/@yarnpkg/cli-dist/bin/yarn.js add tide-demo"
    ),
    expected: works("403", "EAI_AGAIN", "403"),
    ..CLIENT
};

pub(crate) const PNPM: Client = Client {
    name: "pnpm",
    version: "node $NODE_MODULES/pnpm/bin/pnpm.cjs --version",
    serve: PACKAGE,
    fetch: installed!(
        "echo '{}' > package.json
        node $NODE_MODULES/pnpm/bin/pnpm.cjs add --registry https://$HOST/ --fetch-retries 0 tide-demo"
    ),
    expected: works("403", "EAI_AGAIN", "403"),
    ..CLIENT
};

pub(crate) const BUN_FETCH: Client = Client {
    name: "Bun fetch",
    version: "bun --version",
    fetch: with_fetch!("bun fetch.js"),
    expected: works("403", "EAI_AGAIN", "403"),
    ..CLIENT
};

pub(crate) const BUN_INSTALL: Client = Client {
    name: "bun install",
    version: "bun --version",
    serve: PACKAGE,
    fetch: "echo '{}' > package.json && bun add --registry https://$HOST/ tide-demo && bun node_modules/tide-demo/index.js",
    expected: works("403", "DNSResolveFailed", "403"),
    ..CLIENT
};

pub(crate) const DENO_FETCH: Client = Client {
    name: "Deno fetch",
    version: "deno --version",
    fetch: with_fetch!("DENO_NO_UPDATE_CHECK=1 deno run --allow-all fetch.js"),
    expected: works("unsuccessful tunnel", "Temporary failure in name resolution", "403"),
    ..CLIENT
};

pub(crate) const DENO_NPM: Client = Client {
    name: "deno, from npm",
    version: "deno --version",
    serve: PACKAGE,
    fetch: "DENO_NO_UPDATE_CHECK=1 NPM_CONFIG_REGISTRY=https://$HOST/ deno run --allow-all npm:tide-demo",
    expected: works("unsuccessful tunnel", "Temporary failure in name resolution", "403"),
    ..CLIENT
};

pub(crate) const CHROMIUM: Client = Client {
    name: "Chromium through playwright-core",
    version: "chromium --version",
    fetch: r#"mkdir -p .pki/nssdb && certutil -d sql:.pki/nssdb -N --empty-password
awk '/BEGIN CERT/ { file = sprintf("root-%03d.pem", n++) } { print > file }' $SSL_CERT_FILE
for root in root-00?.pem; do certutil -d sql:.pki/nssdb -A -t C,, -n $root -i $root; done
cat > fetch.cjs <<'SCRIPT'
const { chromium } = require(process.env.NODE_MODULES + '/playwright-core');
(async () => {
  const proxy = process.env.https_proxy && { server: process.env.https_proxy };
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'], proxy });
  try {
    const page = await browser.newPage();
    const answer = await page.goto('https://' + process.env.HOST + '/hello.html');
    if (!answer.ok()) throw new Error('status ' + answer.status());
    console.log(await page.textContent('body'));
  } finally {
    await browser.close();
  }
})().catch(error => { console.error(String(error)); process.exit(1) });
SCRIPT
$NODE_MODULES/node/bin/node fetch.cjs"#,
    serve: "echo '<!DOCTYPE html><title>it</title><body>from nginx</body>' > $ROOT/hello.html",
    expected: [GREASE, Expected::Works { refused: "status 403" }, GREASE, Expected::Works { refused: "status 403" }],
    told: Some("the proxy, as its option `proxy`; the roots, by `certutil` into a store of its own"),
    ..CLIENT
};

const GREASE: Expected = Expected::Cannot {
    says: "ERR_SSL_PROTOCOL_ERROR",
    why: "it sends with every ClientHello what cannot be told from an encrypted one, which is refused where nobody reads on (`ech_not_allowed`)",
    until: None,
};

pub(crate) const CHROMIUM_OUTER: Client = Client {
    name: "the same, by the outer name",
    policy: "[tls]\nech = \"outer\"",
    expected: works("ERR_TUNNEL_CONNECTION_FAILED", "ERR_INTERNET_DISCONNECTED", "status 403"),
    told: Some("the same; the policy has `[tls] ech = \"outer\"`"),
    ..CHROMIUM
};
