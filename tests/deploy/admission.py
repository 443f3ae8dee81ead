"""The expressions of the admission policy, evaluated over the pod that is shipped and over pods that would undo its wall.

Each of these pods is the shipped one with one thing changed. It has to be refused, and for the reason that it is here for."""

import copy
import pathlib
import sys

import celpy
import yaml
from celpy.adapter import json_to_cel

DEPLOY = pathlib.Path(sys.argv[1]) / "kubernetes"


def load(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


class Policy:
    def __init__(self, document):
        self.spec = document["spec"]
        assert self.spec["failurePolicy"] == "Fail"
        environment = celpy.Environment()

        def program(text):
            return environment.program(environment.compile(text))

        self.variables = [(each["name"], program(each["expression"])) for each in self.spec["variables"]]
        self.validations = [(each["message"], program(each["expression"])) for each in self.spec["validations"]]

    def refuses(self, pod):
        """The messages of what a pod does not meet; an expression that cannot be evaluated refuses too."""
        known = {}
        names = {"object": json_to_cel(pod)}

        def evaluate(program):
            return program.evaluate({**names, "variables": celpy.celtypes.MapType({celpy.celtypes.StringType(k): v for k, v in known.items()})})

        for name, program in self.variables:
            known[name] = evaluate(program)
        refused = []
        for message, program in self.validations:
            try:
                met = bool(evaluate(program))
            except celpy.CELEvalError:
                met = False
            if not met:
                refused.append(message)
        return refused


def netns(pod):
    return pod["spec"]["initContainers"][0]


def gate(pod):
    return pod["spec"]["initContainers"][1]


def sandbox(pod):
    return pod["spec"]["containers"][0]


def other(**changes):
    return {**copy.deepcopy(sandbox(POD)), "name": "other", **changes}


def with_security(container, **changes):
    container["securityContext"].update(changes)


def drop(mapping, key):
    del mapping[key]


def replace(items, number, item):
    items[number] = item


def first(containers, container):
    containers.insert(0, container)


def volume(pod, mount, **source):
    pod["spec"]["volumes"].append({"name": "more", **source})
    sandbox(pod)["volumeMounts"].append({"name": "more", "mountPath": mount})


PROBE = {"httpGet": {"host": "169.254.169.254", "port": 80}}

# What is changed, and a word of the message that has to say so.
BAD = [
    ("no init containers", lambda p: drop(p["spec"], "initContainers"), "begin with netns"),
    ("no netns", lambda p: p["spec"]["initContainers"].pop(0), "begin with netns"),
    ("no gate", lambda p: p["spec"]["initContainers"].pop(1), "begin with netns"),
    ("something runs before netns", lambda p: first(p["spec"]["initContainers"], other()), "begin with netns"),
    ("the gate before netns", lambda p: p["spec"]["initContainers"].reverse(), "begin with netns"),
    ("a gate of another image", lambda p: gate(p).update(image="evil:1"), "from the image"),
    ("netns of another image", lambda p: netns(p).update(image="evil:1"), "from the image"),
    ("another command in netns", lambda p: netns(p).update(command=["/bin/true"]), "without a command"),
    ("a variable for the gate", lambda p: gate(p).update(env=[{"name": "LD_PRELOAD", "value": "/x.so"}]), "without a command, variables"),
    ("variables for the gate", lambda p: gate(p).update(envFrom=[{"configMapRef": {"name": "x"}}]), "without a command, variables"),
    ("a hook in netns", lambda p: netns(p).update(lifecycle={"preStop": {"exec": {"command": ["x"]}}}), "hooks"),
    ("an empty file over the policy", lambda p: gate(p).update(terminationMessagePath="/etc/tidegate/policy.toml"), "last words"),
    ("an empty file over the configuration", lambda p: netns(p).update(terminationMessagePath="/etc/tidegate/tidegate.toml"), "last words"),
    ("netns clears", lambda p: netns(p).update(args=["netns", "clear"]), "netns runs"),
    ("netns exempts the sandbox", lambda p: netns(p)["args"].__setitem__(5, "10001"), "netns runs"),
    ("netns of another configuration", lambda p: netns(p)["args"].__setitem__(3, "/work/x.toml"), "netns runs"),
    ("netns without arguments", lambda p: drop(netns(p), "args"), "netns runs"),
    ("netns with more capabilities", lambda p: netns(p)["securityContext"]["capabilities"].update(add=["NET_ADMIN", "SYS_ADMIN"]), "netns runs"),
    ("netns that stays", lambda p: netns(p).update(restartPolicy="Always"), "netns runs"),
    ("a gate that ends before the sandbox starts", lambda p: drop(gate(p), "restartPolicy"), "native sidecar"),
    ("a gate of another configuration", lambda p: gate(p)["args"].__setitem__(2, "/tmp/x.toml"), "native sidecar"),
    ("a gate as root", lambda p: with_security(gate(p), runAsUser=0), "native sidecar"),
    ("a gate with a capability", lambda p: gate(p)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]), "native sidecar"),
    ("a ConfigMap of the sandbox's", lambda p: p["spec"]["volumes"][0].update(configMap={"name": "mine"}), "config is the ConfigMap"),
    ("a key of the ConfigMap in the place of another", lambda p: p["spec"]["volumes"][0]["configMap"].update(items=[{"key": "x", "path": "tidegate.toml"}]), "config is the ConfigMap"),
    ("a shared volume in the gate", lambda p: gate(p)["volumeMounts"].append({"name": "work", "mountPath": "/work"}), "netns mounts config"),
    ("a shared volume over the configuration", lambda p: gate(p)["volumeMounts"].append({"name": "state", "mountPath": "/etc/tidegate/policy.toml"}), "netns mounts config"),
    ("a sandbox's file in the place of the gate's program", lambda p: gate(p)["volumeMounts"][2].update(mountPath="/usr/bin"), "netns mounts config"),
    ("a piece of the configuration", lambda p: gate(p)["volumeMounts"][0].update(subPath="x"), "netns mounts config"),
    ("a claim for its state, which others may have filled", lambda p: replace(p["spec"]["volumes"], 2, {"name": "state", "persistentVolumeClaim": {"claimName": "x"}}), "state an emptyDir"),
    ("another Secret for its credentials", lambda p: p["spec"]["volumes"][1]["secret"].update(secretName="mine"), "credentials the Secret"),
    ("a key of the Secret in the place of another", lambda p: p["spec"]["volumes"][1]["secret"].update(items=[{"key": "other", "path": "github-token"}]), "credentials the Secret"),
    ("no Secret for its credentials", lambda p: replace(p["spec"]["volumes"], 1, {"name": "credentials", "configMap": {"name": "mine"}}), "credentials the Secret"),
    ("a command as the gate", lambda p: gate(p).update(livenessProbe={"exec": {"command": ["/usr/bin/tidegate", "demo"]}}), "probed from outside"),
    ("credentials in netns", lambda p: netns(p)["volumeMounts"].append({"name": "credentials", "mountPath": "/c"}), "netns mounts config"),
    ("the gate's uid in a sandbox", lambda p: with_security(sandbox(p), runAsUser=65532), "names its own runAsUser"),
    ("root in a sandbox", lambda p: with_security(sandbox(p), runAsUser=0), "names its own runAsUser"),
    ("no user in a sandbox", lambda p: drop(sandbox(p)["securityContext"], "runAsUser"), "names its own runAsUser"),
    ("no security context", lambda p: drop(sandbox(p), "securityContext"), "names its own runAsUser"),
    ("the gate's uid in a later init container", lambda p: p["spec"]["initContainers"].append(with_user(65532)), "names its own runAsUser"),
    ("root in a second sandbox", lambda p: p["spec"]["containers"].append(with_user(0)), "names its own runAsUser"),
    ("a sandbox that takes the gate's name", lambda p: p["spec"]["containers"].append({**with_user(65532), "name": "tidegate"}), "names its own runAsUser"),
    ("escalation", lambda p: with_security(sandbox(p), allowPrivilegeEscalation=True), "allowPrivilegeEscalation"),
    ("escalation where nothing says", lambda p: drop(sandbox(p)["securityContext"], "allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
    ("privileged", lambda p: with_security(sandbox(p), privileged=True), "allowPrivilegeEscalation"),
    ("privileged netns", lambda p: with_security(netns(p), privileged=True), "allowPrivilegeEscalation"),
    ("an unmasked /proc", lambda p: with_security(sandbox(p), procMount="Unmasked"), "allowPrivilegeEscalation"),
    ("NET_RAW", lambda p: sandbox(p)["securityContext"]["capabilities"].update(add=["NET_RAW"]), "drops ALL"),
    ("NET_ADMIN in a later init container", lambda p: p["spec"]["initContainers"].append(with_capability("NET_ADMIN")), "drops ALL"),
    ("capabilities kept", lambda p: drop(sandbox(p)["securityContext"], "capabilities"), "drops ALL"),
    ("only some dropped", lambda p: sandbox(p)["securityContext"]["capabilities"].update(drop=["NET_RAW"]), "drops ALL"),
    ("no seccomp", lambda p: drop(p["spec"]["securityContext"], "seccompProfile"), "seccompProfile"),
    ("unconfined", lambda p: with_security(sandbox(p), seccompProfile={"type": "Unconfined"}), "seccompProfile"),
    ("an ephemeral container", lambda p: p["spec"].update(ephemeralContainers=[other(targetContainerName="tidegate")]), "added to a running"),
    ("the node's network", lambda p: p["spec"].update(hostNetwork=True), "hostNetwork"),
    ("the node's processes", lambda p: p["spec"].update(hostPID=True), "hostNetwork"),
    ("the node's IPC", lambda p: p["spec"].update(hostIPC=True), "hostNetwork"),
    ("shared processes", lambda p: p["spec"].update(shareProcessNamespace=True), "shareProcessNamespace"),
    ("a token of the API", lambda p: p["spec"].update(automountServiceAccountToken=True), "automountServiceAccountToken"),
    ("a token where nothing says", lambda p: drop(p["spec"], "automountServiceAccountToken"), "automountServiceAccountToken"),
    ("names of the sandbox's own", lambda p: p["spec"].update(hostAliases=[{"ip": "203.0.113.1", "hostnames": ["github.com"]}]), "hostAliases"),
    ("a name server of the sandbox's own", lambda p: p["spec"].update(dnsPolicy="None", dnsConfig={"nameservers": ["203.0.113.1"]}), "hostAliases"),
    ("sysctls", lambda p: p["spec"]["securityContext"].update(sysctls=[{"name": "net.ipv4.ip_forward", "value": "1"}]), "sysctls"),
    ("a port of the node", lambda p: sandbox(p).update(ports=[{"containerPort": 80, "hostPort": 80}]), "hostPort"),
    ("a probe of another host", lambda p: sandbox(p).update(livenessProbe=PROBE), "hostPort"),
    ("a start-up probe of another host", lambda p: sandbox(p).update(startupProbe={"tcpSocket": {"host": "10.0.0.1", "port": 1}}), "hostPort"),
    ("a hook to another host", lambda p: sandbox(p).update(lifecycle={"postStart": PROBE}), "hostPort"),
    ("the credentials in the sandbox", lambda p: sandbox(p)["volumeMounts"].append({"name": "credentials", "mountPath": "/c"}), "a sandbox mounts"),
    ("the state in the sandbox", lambda p: sandbox(p)["volumeMounts"].append({"name": "state", "mountPath": "/s"}), "a sandbox mounts"),
    ("the Secret by another name", lambda p: volume(p, "/c", secret={"secretName": "tidegate-credentials"}), "a sandbox mounts"),
    ("the Secret, projected", lambda p: volume(p, "/c", projected={"sources": [{"secret": {"name": "tidegate-credentials"}}]}), "a sandbox mounts"),
    ("a token, projected", lambda p: volume(p, "/c", projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}), "a sandbox mounts"),
    ("a volume of a driver", lambda p: volume(p, "/c", csi={"driver": "secrets-store.csi.k8s.io"}), "a sandbox mounts"),
    ("a device", lambda p: sandbox(p).update(volumeDevices=[{"name": "work", "devicePath": "/dev/x"}]), "a sandbox mounts"),
    ("the node's files", lambda p: volume(p, "/host", hostPath={"path": "/"}), "nothing of the node"),
    ("a variable from a Secret", lambda p: sandbox(p).update(env=[{"name": "T", "valueFrom": {"secretKeyRef": {"name": "tidegate-credentials", "key": "github-token"}}}]), "from a Secret"),
    ("a variable from a file of the gate's", lambda p: sandbox(p).update(env=[{"name": "T", "valueFrom": {"fileKeyRef": {"volumeName": "state", "path": "x", "key": "T"}}}]), "from a Secret"),
    ("all variables from a Secret", lambda p: sandbox(p)["envFrom"].append({"secretRef": {"name": "tidegate-credentials"}}), "from a Secret"),
]


def with_user(uid):
    container = other()
    container["securityContext"]["runAsUser"] = uid
    return container


def with_capability(name):
    container = other()
    container["securityContext"]["capabilities"]["add"] = [name]
    return container


def defaulted(pod):
    spec = pod["spec"]
    spec.update(dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler", serviceAccountName="default")
    spec["volumes"][0]["configMap"]["defaultMode"] = 0o644
    for container in spec["initContainers"] + spec["containers"]:
        container.update(imagePullPolicy="IfNotPresent", terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
        with_security(container, procMount="Default")
        for port in container.get("ports", []):
            port["protocol"] = "TCP"


# What people may well want, and what does no harm.
GOOD = [
    ("as it is shipped", lambda p: None),
    ("with what an API server adds", lambda p: defaulted(p)),
    ("an ordinary init container", lambda p: p["spec"]["initContainers"].append(other())),
    ("two sandboxes", lambda p: p["spec"]["containers"].append(other())),
    ("a claim", lambda p: volume(p, "/data", persistentVolumeClaim={"claimName": "data"})),
    ("a variable of its own", lambda p: sandbox(p).update(env=[{"name": "A", "value": "b"}])),
    ("a variable from a field", lambda p: sandbox(p).update(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])),
    ("a probe of itself", lambda p: sandbox(p).update(livenessProbe={"exec": {"command": ["true"]}})),
    ("a hook of its own", lambda p: sandbox(p).update(lifecycle={"preStop": {"exec": {"command": ["true"]}}})),
    ("nothing said of the node", lambda p: [drop(p["spec"], key) for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")]),
]

POLICY_DOCUMENT, BINDING = load("admission.yaml")
(POD,) = load("pod.yaml")
(NAMESPACE,) = load("namespace.yaml")


def main():
    policy = Policy(POLICY_DOCUMENT)
    wrong = []
    for name, change in GOOD:
        pod = copy.deepcopy(POD)
        change(pod)
        refused = policy.refuses(pod)
        if refused:
            wrong.append(f"{name}: refused: {refused}")
    for name, change, word in BAD:
        pod = copy.deepcopy(POD)
        change(pod)
        refused = policy.refuses(pod)
        if not any(word in message for message in refused):
            wrong.append(f"{name}: not refused for {word!r}: {refused}")
    # No validation without a pod that it alone is there for.
    for message, _ in policy.validations:
        if not any(word in message for _, _, word in BAD):
            wrong.append(f"no pod is refused with {message!r}")
    if BINDING["spec"]["validationActions"] != ["Deny"] or BINDING["spec"]["policyName"] != POLICY_DOCUMENT["metadata"]["name"]:
        wrong.append("the binding does not deny")
    labels = BINDING["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
    if not labels.items() <= NAMESPACE["metadata"]["labels"].items():
        wrong.append("the binding does not hold for the namespace that is shipped")
    rules = POLICY_DOCUMENT["spec"]["matchConstraints"]["resourceRules"]
    if rules != [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods", "pods/ephemeralcontainers"]}]:
        wrong.append(f"the policy does not see every pod: {rules}")
    print("\n".join(wrong) or f"{len(GOOD)} pods let through, {len(BAD)} refused")
    sys.exit(bool(wrong))


main()
