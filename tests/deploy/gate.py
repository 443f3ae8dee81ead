"""The gate of deploy/kubernetes as its pod would start it: our own program, in a network of its own, with the configuration of the
ConfigMap. Only the three places of the container are elsewhere. Its probes have to answer, and what its neighbours are told has to be true."""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import yaml

TIDEGATE, DEPLOY = sys.argv[1], pathlib.Path(sys.argv[2]) / "kubernetes"
PATIENCE = 30


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def get(port, path, host="localhost"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read()


def elsewhere(configuration, room):
    for place in ["/var/lib/tidegate", "/run/secrets/tidegate"]:
        assert place in configuration and any(place == mount["mountPath"] for mount in GATE["volumeMounts"]), place
        (room / place[1:]).mkdir(parents=True)
        configuration = configuration.replace(place, str(room / place[1:]))
    return configuration


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, and expected was {expected!r}")


POD, CONFIG, SECRET = load("pod.yaml"), load("configmap.yaml"), load("secret.yaml")
NETNS, GATE = POD["spec"]["initContainers"]
PROBES = [GATE[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
PORTS = {port["name"]: port["containerPort"] for port in GATE["ports"]}

with tempfile.TemporaryDirectory() as directory:
    room = pathlib.Path(directory)
    (room / "tidegate.toml").write_text(elsewhere(CONFIG["data"]["tidegate.toml"], room))
    (room / "policy.toml").write_text(CONFIG["data"]["policy.toml"])
    for name, text in SECRET["stringData"].items():
        (room / "run/secrets/tidegate" / name).write_text(text)
    lint = subprocess.run([TIDEGATE, "policy", "lint", room / "policy.toml"], capture_output=True, text=True)
    expect("policy lint", lint.stdout + lint.stderr, "0 errors, 0 warnings\n")

    arguments = [str(room / "tidegate.toml") if argument == "/etc/tidegate/tidegate.toml" else argument for argument in GATE["args"]]
    environment = {"PATH": os.environ["PATH"]}
    gate = subprocess.Popen([TIDEGATE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd="/")
    try:
        signal.alarm(PATIENCE)
        said = []
        while not said or said[-1] != "ready":
            line = gate.stderr.readline()
            if not line:
                sys.exit(f"it does not start: {said}")
            said.append(line.strip())
        listening = dict(line.split()[1:] for line in said if line.startswith("listening "))
        expect("what listens", sorted(listening), ["dns", "git", "metrics", "proxy", "transparent"])
        for probe in PROBES:
            expect(probe["path"], get(PORTS[probe["port"]], probe["path"])[0], 200)
        status, session = get(3128, "/session", "tidegate.internal")
        expect("/session", (status, json.loads(session)["session"]), (200, "agent"))
        expect("/ca.pem", get(3128, "/ca.pem", "tidegate.internal")[1][:27], b"-----BEGIN CERTIFICATE-----")
        gate.terminate()
        expect("its end", gate.wait(PATIENCE), 0)
    finally:
        gate.kill()

# What the sandbox is told by variables, by the program itself.
told = [TIDEGATE, "env", "--format", "json", "--proxy", "http://" + listening["proxy"], "--ca", "/run/trust/bundle.pem"]
told = subprocess.run(told, capture_output=True, text=True, env=environment)
expect("clients.yaml", load("clients.yaml")["data"], json.loads(told.stdout))
print("started, probed and ended")
