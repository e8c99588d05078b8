#!/usr/bin/env python3
"""Plants faults and sees whether check.py finds them: a check that finds nothing proves nothing.

    scripts/deployment/selftest.py

Exits 1 if a fault is not found, or if something is called a fault that is none.
"""

import sys

import check

# (what is changed, what it becomes, words of the fault that is to be found)
IN_COMPOSE = [
    ("image: postgres:17.6", "image: postgres:latest", "postgres: its image"),
    ("image: grafana/grafana:11.6.0", "image: grafana/grafana", "grafana: its image"),
    ('"127.0.0.1:${GRAFANA_PORT', '"${GRAFANA_PORT', "grafana: port 3000 is open"),
    ("restart: unless-stopped", "restart: on-failure", "kafka: it is not started again"),
    ("    shm_size: 256m\n    mem_limit: 1g\n", "    shm_size: 256m\n", "postgres: it has no mem_limit"),
    ("stop_grace_period: 35s", "stop_grace_period: 20s", "stop_grace_period is not above"),
    ("read_only: true\n  user", "user", "hitstream: its root file system"),
    ("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "hitstream: it keeps capabilities"),
    ('user: "65532:65532"', 'user: "0:0"', "hitstream: it runs as root"),
    ("kafka: {condition: service_healthy}", "kafka: {condition: service_started}", "until kafka is healthy"),
    ("      test: [CMD, hitstream, check]\n", "", "generate: it has no health check"),
    ("dashboards:/var/lib/grafana/dashboards:ro", "dashboard:/var/lib/grafana/dashboards:ro", "which there is not"),
    ("provisioning:ro", "provisioning", "grafana: it may write to"),
    ("    profiles: [demo]\n", "", "profile demo"),
    ("KAFKA_URL: ${KAFKA_URL:-kafka:9093}", "KAFKA_URL: kafka:9093", "KAFKA_URL of a Spark job"),
    ("${HOST_PORT:-5432}", "5432", "HOST_PORT of a Spark job"),
    ("HITSTREAM_WINDOW__SIZE:", "HITSTREAM_WINDOW__LENGTH:", "HITSTREAM_WINDOW__LENGTH is no setting"),
    ("IP2LOCATION__BUDGET:", "IP2LOCATION__TIMEOUTS:", "HITSTREAM_ENRICH__IP2LOCATION__TIMEOUTS is no setting"),
    ("mem_limit: 512m", "mem_limits: 512m", "mem_limits"),
    ("  postgres:\n  prometheus:\n", "  prometheus:\n", "postgres"),
]
IN_EXAMPLE = [
    ("#KAFKA_GROUP=", "#KAFKA_GRUOP=", "KAFKA_GROUP is missing"),
    ("#KAFKA_GROUP=", "#KAFKA_GRUOP=", "nothing takes KAFKA_GRUOP"),
    ("#GRAFANA_PORT=3000", "#GRAFANA_PORT=3001", "the default of GRAFANA_PORT is 3000"),
]


def missed(before, after, words, found):
    if not any(words in fault for fault in found):
        yield f"{before!r} became {after!r}, and no fault has {words!r}: {found}"


def main():
    text = (check.ROOT / check.COMPOSE_FILE).read_text()
    example = (check.ROOT / check.EXAMPLE).read_text()
    wrong = [f"called a fault: {fault}" for fault in check.faults(text, example)]
    for before, after, words in IN_COMPOSE:
        if before not in text:
            wrong.append(f"{check.COMPOSE_FILE} has no {before!r} any more")
        wrong += missed(before, after, words, list(check.faults(text.replace(before, after), example)))
    for before, after, words in IN_EXAMPLE:
        if before not in example:
            wrong.append(f"{check.EXAMPLE} has no {before!r} any more")
        wrong += missed(before, after, words, list(check.faults(text, example.replace(before, after))))
    # Without any password asked for it would start with none.
    without = text.replace(":?stands in stream.env, set it there", ":-")
    wrong += missed("passwords", "nothing", "it starts without passwords", list(check.faults(without, example)))
    document = (check.ROOT / check.DOCUMENT).read_text().replace("!reset null", "word")
    wrong += missed("!reset null", "word", "from a file alone", list(check.faults_of_overrides(text, document)))
    pins = [(check.ROOT / name).read_text() for name in ("Dockerfile", "Cargo.toml", "rust-toolchain.toml")]
    moved = pins[0].replace("rust:1.", "rust:0."), *pins[1:]
    wrong += missed("rust:1.", "rust:0.", "ARG RUST_IMAGE", list(check.faults_of_pins(text, *moved)))
    for fault in wrong:
        print(f"deployment: error: {fault}", file=sys.stderr)
    if wrong:
        return 1
    print(f"deployment: {len(IN_COMPOSE) + len(IN_EXAMPLE) + 3} planted faults found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
