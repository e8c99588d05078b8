#!/usr/bin/env python3
"""Checks the files that other programs read by a schema of theirs: GitHub's workflows and Dependabot's settings, the Kubernetes
example, the systemd unit; and, with `selftest`, whether planted faults are found.

    scripts/deployment/schemas.py check|selftest

scripts/deployment.sh sees to the packages that it needs. Prints a line for each fault and exits 1 if there are any.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT, MANIFEST, DEPENDABOT = "config/systemd/hitstream.service", "config/kubernetes/hitstream.yaml", ".github/dependabot.yml"
WORKFLOWS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / ".github/workflows").glob("*.yml"))
# The oldest Kubernetes that is still maintained, or nearly.
KUBERNETES = "1.30"
# Of systemd's scale from 0 to 10; the less a service may do, the lower.
MOST_EXPOSED = 1.5


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def faults_by_schema(kind, name, text):
    """A YAML file against one of the schemas that check-jsonschema brings along."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        done = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", file.name)
        if done.returncode != 0:
            yield f"{name}: {' '.join(done.stdout.replace(file.name, '').split())}"


def faults_of_manifest(name, text):
    for document in yaml.safe_load_all(text):
        what = f"{name}: {document.get('kind')}"
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{what}: {'.'.join(str(part) for part in error.path)}: {error.message}"
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
            yield f"{what}: {error}"
        if document.get("kind") == "Deployment":
            yield from faults_of_pod(what, document["spec"]["template"]["spec"])


def faults_of_pod(what, pod):
    """What no schema sees: somebody who is not root reads a volume's files as one of its group."""
    who = pod.get("securityContext", {})
    for volume in pod.get("volumes", []):
        mode = volume.get("secret", {}).get("defaultMode", 0o644)
        if not mode & 0o004 and not (mode & 0o040 and who.get("fsGroup") and who["fsGroup"] == who.get("runAsGroup")):
            yield f"{what}: volume {volume['name']} cannot be read by the container, which fsGroup would allow"


def faults_of_unit(name, text):
    if not shutil.which("systemd-analyze"):
        if os.environ.get("CI") == "true":
            yield f"{name}: systemd-analyze is not here to check it"
        else:
            print("deployment: systemd-analyze is not here: the unit is not checked", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder, "hitstream.service")
        # The program need not be installed where this runs.
        unit.write_text(text.replace("/usr/local/bin/hitstream", shutil.which("true")))
        said = run("systemd-analyze", "verify", "--man=no", str(unit))
        for line in (said.stdout + said.stderr).splitlines():
            if "hitstream.service" in line:
                yield f"{name}: {line.split('hitstream.service:')[-1].strip()}"
        said = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)).stdout
        exposed = re.search(r"exposure level for .*: ([0-9.]+)", said)
        if not exposed:
            yield f"{name}: systemd-analyze says nothing of its exposure"
        elif float(exposed[1]) > MOST_EXPOSED:
            yield f"{name}: its exposure is {exposed[1]}, above {MOST_EXPOSED}"


def files():
    for workflow in WORKFLOWS:
        yield workflow, lambda name, text: faults_by_schema("github-workflows", name, text)
    yield DEPENDABOT, lambda name, text: faults_by_schema("dependabot", name, text)
    yield MANIFEST, faults_of_manifest
    yield UNIT, faults_of_unit


# (file, what is changed, what it becomes, words of the fault that is to be found)
PLANTED = [
    (WORKFLOWS[0], "runs-on:", "run-on:", "runs-on"),
    (DEPENDABOT, "interval: weekly", "interval: sometimes", "sometimes"),
    (MANIFEST, "readinessProbe:", "readynessProbe:", "readynessProbe"),
    (MANIFEST, "replicas: 2", 'replicas: "two"', "replicas"),
    (MANIFEST, "        fsGroup: 65532\n", "", "fsGroup would allow"),
    (UNIT, "ProtectSystem=strict", "ProtectSystm=strict", "ProtectSystm"),
    (UNIT, "SystemCallFilter=@system-service\n", "", "its exposure"),
    (UNIT, "Type=notify", "Type=notifies", "notifies"),
]


def check():
    for name, faults in files():
        yield from faults(name, (ROOT / name).read_text())


def selftest():
    faults_of = dict(files())
    for name, before, after, words in PLANTED:
        text = (ROOT / name).read_text()
        if before not in text:
            yield f"{name} has no {before!r} any more"
        found = list(faults_of[name](name, text.replace(before, after)))
        if not any(words in fault for fault in found):
            yield f"{name}: {before!r} became {after!r}, and no fault has {words!r}: {found}"


def main():
    what = {"check": check, "selftest": selftest}[sys.argv[1]]
    found = list(what())
    for fault in found:
        print(f"deployment: error: {fault}", file=sys.stderr)
    if not found:
        said = "fit their schemas" if what is check else f"and {len(PLANTED)} faults planted in them are found"
        print(f"deployment: {len(WORKFLOWS)} workflows, dependabot, Kubernetes, systemd: {said}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
