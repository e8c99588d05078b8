#!/usr/bin/env python3
"""Checks the compose file as Compose reads it, its variables, and the Dockerfiles.

    scripts/deployment/check.py

COMPOSE and HADOLINT name the two programs. Prints a line for each fault and exits 1 if there are any.
scripts/deployment.sh sees to what it needs.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE_FILE, EXAMPLE, DOCUMENT = "docker-compose.yml", "stream.env.example", "docs/DEPLOYMENT.md"
DOCKERFILES = ["Dockerfile", "tests/containers/rust.Dockerfile", "tests/containers/stand-ins.Dockerfile"]
# Of a Spark job, with all that such files hold besides.
FORMER = """HOST_PORT=5433
CONTAINER_PORT=5434
DOCKER_CONTAINER=my-postgres-container
DOCKER_IMAGE=my-postgres-image
PGADMIN_EMAIL=somebody@example.com
PGADMIN_PASSWORD=of-pgadmin
PGADMIN_PORT=5051
POSTGRES_USER=youruser
POSTGRES_PASSWORD=yourpassword
POSTGRES_DB=web_traffic
POSTGRES_URL=jdbc:postgresql://postgres:5434/web_traffic
JDBC_BASE_URL="jdbc:postgresql://postgres:5434"
KAFKA_URL=kafka:9092
KAFKA_TOPIC=some_topic
KAFKA_GROUP=some_group
IP_CODING_KEY="MAKE AN ACCOUNT AT https://www.ip2location.io/ TO GET KEY"
FLINK_VERSION=1.16.0
PYTHON_VERSION=3.7.9
"""
# Where each of its values has to arrive: (service, path in its configuration).
ARRIVES = {
    "KAFKA_URL": [("hitstream", "environment.KAFKA_URL"), ("generate", "environment.KAFKA_URL")],
    "KAFKA_TOPIC": [("hitstream", "environment.KAFKA_TOPIC"), ("generate", "environment.KAFKA_TOPIC")],
    "KAFKA_GROUP": [("hitstream", "environment.KAFKA_GROUP")],
    "POSTGRES_URL": [("hitstream", "environment.POSTGRES_URL")],
    "POSTGRES_USER": [("hitstream", "environment.POSTGRES_USER"), ("postgres", "environment.POSTGRES_USER")],
    "POSTGRES_PASSWORD": [("hitstream", "environment.POSTGRES_PASSWORD"), ("postgres", "environment.POSTGRES_PASSWORD")],
    "POSTGRES_DB": [("hitstream", "environment.POSTGRES_DB"), ("postgres", "environment.POSTGRES_DB")],
    "IP_CODING_KEY": [("hitstream", "environment.IP_CODING_KEY")],
    "HOST_PORT": [("postgres", "ports.0.published")],
    "CONTAINER_PORT": [("postgres", "ports.0.target"), ("postgres", "environment.PGPORT")],
    "PGADMIN_EMAIL": [("pgadmin", "environment.PGADMIN_DEFAULT_EMAIL")],
    "PGADMIN_PASSWORD": [("pgadmin", "environment.PGADMIN_DEFAULT_PASSWORD")],
    "PGADMIN_PORT": [("pgadmin", "ports.0.published")],
}
SHUTDOWN = re.compile(r'^timeout = "(\d+)s"', re.MULTILINE)


class Refused(Exception):
    """Compose does not take the file; with its words."""


def configuration(text, variables, *profiles, override="services: {}"):
    """The compose file as Compose understands it with an environment file, and with an override."""
    with tempfile.TemporaryDirectory() as folder:
        file, env = pathlib.Path(folder, COMPOSE_FILE), pathlib.Path(folder, "stream.env")
        file.write_text(text)
        env.write_text(variables)
        over = pathlib.Path(folder, "docker-compose.override.yml")
        over.write_text(override)
        command = [os.environ["COMPOSE"], "-f", file, "-f", over, "--project-directory", ROOT, "--env-file", env]
        command += [word for profile in profiles for word in ("--profile", profile)] + ["config", "--format", "json"]
        # What this shell has set would win over the file.
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(command, capture_output=True, text=True, env=clean)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return json.loads(done.stdout)


def at(model, path):
    for key in path.split("."):
        model = model[int(key)] if isinstance(model, list) else model[key]
    return model


def seconds(duration):
    parts = re.findall(r"(\d+)([hms])", duration or "0s")
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


def faults_of_service(name, service, services):
    """What every service has to have."""
    image, _, tag = service.get("image", "").rpartition(":")
    if not image or not re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag):
        yield f"its image {service.get('image')} is not pinned to a version"
    if "test" not in service.get("healthcheck", {}):
        yield "it has no health check"
    if service.get("restart") != "unless-stopped":
        yield "it is not started again: restart: unless-stopped"
    if not service.get("mem_limit"):
        yield "it has no mem_limit"
    if service.get("privileged") or service.get("network_mode") == "host":
        yield "it has more of the host than it needs"
    if not service.get("logging", {}).get("options", {}).get("max-size"):
        yield "its log grows without a bound"
    if "container_name" in service:
        yield "it has a container_name, so there can be only one"
    for port in service.get("ports", []):
        if port.get("host_ip") != "127.0.0.1":
            yield f"port {port.get('published')} is open to other machines"
    for other, how in service.get("depends_on", {}).items():
        if how.get("condition") != "service_healthy":
            yield f"it does not wait until {other} is healthy"
        if other not in services:
            yield f"it waits for {other}, which there is not"
    for volume in service.get("volumes", []):
        if volume["type"] == "bind" and not volume.get("read_only"):
            yield f"it may write to {volume['source']}"
        if volume["type"] == "bind" and not pathlib.Path(volume["source"]).exists():
            yield f"it mounts {volume['source']}, which there is not"
        if volume["type"] == "volume" and not volume.get("source"):
            yield f"its volume at {volume['target']} has no name"


def faults_of_hitstream(service):
    """What the project's own image runs with."""
    if not service.get("read_only"):
        yield "its root file system can be written"
    if service.get("cap_drop") != ["ALL"]:
        yield "it keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "it may gain privileges"
    if service.get("user", "0").split(":")[0] in ("0", "root"):
        yield "it runs as root"


def faults_of_services(model):
    services = model["services"]
    for name, service in services.items():
        faults = list(faults_of_service(name, service, services))
        if "build" in service:
            faults += faults_of_hitstream(service)
        yield from (f"{name}: {fault}" for fault in faults)
    shutdown = int(SHUTDOWN.search((ROOT / "config/hitstream.toml").read_text().split("[shutdown]")[1])[1])
    if seconds(services["hitstream"].get("stop_grace_period")) <= shutdown:
        yield f"hitstream: stop_grace_period is not above shutdown.timeout, {shutdown} s"


def faults_of_former(text):
    """A stream.env of the Spark job has to work as it is."""
    values = dict(line.split("=", 1) for line in FORMER.splitlines())
    services = configuration(text, FORMER, "demo")["services"]
    for name, places in ARRIVES.items():
        for service, path in places:
            try:
                value = str(at(services[service], path))
            except (KeyError, IndexError):
                value = None
            if value != values[name].strip('"'):
                yield f"{name} of a Spark job's stream.env does not arrive at {service}.{path}: {value}"


def faults_of_overrides(text, document):
    """The overrides that the documentation has: Compose takes them, and one puts the password into a file for all who use it."""
    overrides = re.findall(r"^```yaml\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    services = {}
    for override in overrides:
        model = configuration(text, FORMER, "demo", override=override)
        if "POSTGRES_PASSWORD_FILE" in override:
            services = model["services"]
    for name in ("postgres", "hitstream", "generate"):
        variables = services.get(name, {}).get("environment", {})
        if "POSTGRES_PASSWORD" in variables or variables.get("POSTGRES_PASSWORD_FILE") != "/run/secrets/postgres":
            yield f"{DOCUMENT}: {name} does not have its password from a file alone"


def faults_of_variables(text, example, toml):
    """Variables that are not documented, or documented otherwise than they are; settings that are none."""
    defaults = {}
    for name, default in re.findall(r"(?<!\$)\$\{(\w+)(?::-([^${}]*)\})?", text):
        defaults.setdefault(name, set()).add(default)
    defaults = {name: found - {""} or found for name, found in defaults.items()}
    shown = dict(re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", example, re.MULTILINE))
    for name in defaults:
        if name not in shown:
            yield f"{EXAMPLE}: {name} is missing"
    for name, value in shown.items():
        if name not in defaults and f"\n    {name}:\n" not in text:
            yield f"{EXAMPLE}: nothing takes {name}"
        elif re.search(rf"^#{name}=", example, re.MULTILINE) and len(defaults.get(name, {""})) == 1:
            default = next(iter(defaults.get(name, {""})))
            if default and default != value:
                yield f"{EXAMPLE}: the default of {name} is {default}, not {value}"
    for variable in re.findall(r"^ +HITSTREAM_([A-Z0-9_]+__[A-Z0-9_]+):", text, re.MULTILINE):
        *sections, key = variable.lower().split("__")
        section = re.escape(".".join(sections))
        part = re.search(rf"^\[{section}\]\n(.*?)(?=^\[|\Z)", toml, re.MULTILINE | re.DOTALL)
        if not part or not re.search(rf"^{key} = ", part[1], re.MULTILINE):
            yield f"{COMPOSE_FILE}: HITSTREAM_{variable} is no setting of config/hitstream.toml"


def faults_of_pins(text, dockerfile, cargo, toolchain):
    """What is written in two places has to be the same."""
    version = re.search(r'^version = "(.+)"', cargo, re.MULTILINE)[1]
    rust = re.search(r'^channel = "(.+)"', toolchain, re.MULTILINE)[1]
    for name, wanted in [
        ("ARG VERSION=", f"ARG VERSION={version}\n"),
        ("ARG RUST_IMAGE=", f"ARG RUST_IMAGE=rust:{rust}-slim-bookworm\n"),
        ("ENV RUSTUP_TOOLCHAIN=", f"ENV RUSTUP_TOOLCHAIN={rust} "),
    ]:
        if wanted not in dockerfile:
            yield f"Dockerfile: {name}… is not {wanted.strip()}"
    if f"image: hitstream:${{IMAGE_TAG:-{version}}}\n" not in text:
        yield f"{COMPOSE_FILE}: the default of IMAGE_TAG is not {version}"


def faults_of_dockerfile(path):
    done = subprocess.run([os.environ["HADOLINT"], path], capture_output=True, text=True)
    yield from (done.stdout + done.stderr).splitlines()


def faults(text, example):
    """Everything that is wrong with a compose file and the example of its variables."""
    with_passwords = example.replace("_PASSWORD=\n", "_PASSWORD=secret\n")
    try:
        model = configuration(text, with_passwords, "demo")
        yield from faults_of_services(model)
        usual = configuration(text, with_passwords)["services"]
        if set(model["services"]) - set(usual) != {"generate"}:
            yield "profile demo: it does not add generate, and that alone"
        yield from faults_of_former(text)
        yield from faults_of_overrides(text, (ROOT / DOCUMENT).read_text())
    except Refused as error:
        yield f"{COMPOSE_FILE}: {error}"
    try:
        configuration(text, example)
        yield f"{COMPOSE_FILE}: it starts without passwords"
    except Refused:
        pass
    yield from faults_of_variables(text, example, (ROOT / "config/hitstream.toml").read_text())


def main():
    text, example = (ROOT / COMPOSE_FILE).read_text(), (ROOT / EXAMPLE).read_text()
    files = [(ROOT / name).read_text() for name in ("Dockerfile", "Cargo.toml", "rust-toolchain.toml")]
    found = [*faults(text, example), *faults_of_pins(text, *files)]
    for path in DOCKERFILES:
        found += faults_of_dockerfile(ROOT / path)
    for fault in found:
        print(f"deployment: error: {fault}", file=sys.stderr)
    if found:
        return 1
    services = len(configuration(text, FORMER, "demo")["services"])
    print(f"deployment: {services} services, {len(DOCKERFILES)} Dockerfiles: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
