"""Every document of deploy/kubernetes by the schemas of Kubernetes itself, strictly: an unknown field is an error."""

import pathlib
import sys

import kubernetes_validate
import yaml

# The first with everything that is used generally available or on by default, and one that is new.
VERSIONS = ["1.30", "1.33", "1.37"]

documents = 0
for path in sorted((pathlib.Path(sys.argv[1]) / "kubernetes").glob("*.yaml")):
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "Kustomization":
            continue
        documents += 1
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except Exception as error:
                sys.exit(f"{path.name}, Kubernetes {version}: {str(error).splitlines()[0]}")

named = yaml.safe_load((pathlib.Path(sys.argv[1]) / "kubernetes/kustomization.yaml").read_text())["resources"]
there = {path.name for path in (pathlib.Path(sys.argv[1]) / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
if set(named) != there:
    sys.exit(f"kustomization.yaml names {named}, and there are {sorted(there)}")
print(f"{documents} documents")
