#!/usr/bin/env python3
"""Stands in for Grafana, of which there is no package here: reads provisioning as Grafana does, and is well while every data
source answers as provisioned, with a session that can read and not write, and every dashboard is there.

It listens on port 3000: /api/health, and / with what it found. It proves mounts, names, ports, roles and rights; it draws
nothing, and proves nothing of Grafana's own behaviour.
"""

import http.server
import json
import os
import pathlib
import re
import urllib.request

import psycopg2
import yaml

PROVISIONING = pathlib.Path("/etc/grafana/provisioning")


def expanded(value):
    """A value with its variables, which Grafana replaces once."""
    if isinstance(value, dict):
        return {key: expanded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [expanded(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: os.environ.get(found[1] or found[2], ""), value)
    return value


def provisioned(kind):
    for path in sorted((PROVISIONING / kind).glob("*.yml")):
        yield expanded(yaml.safe_load(path.read_text()))


def asked_prometheus(source):
    with urllib.request.urlopen(f"{source['url']}/api/v1/query?query=sum(up%7Bjob%3D%22hitstream%22%7D)", timeout=3) as answer:
        result = json.load(answer)["data"]["result"]
    return {"instances_up": int(result[0]["value"][1]) if result else 0}


def asked_postgres(source):
    host, _, port = source["url"].partition(":")
    password = source["secureJsonData"]["password"]
    database, mode = source["jsonData"]["database"], source["jsonData"]["sslmode"]
    connection = psycopg2.connect(
        host=host, port=port, user=source["user"], password=password, dbname=database, sslmode=mode, connect_timeout=3
    )
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT coalesce(sum(num_hits), 0)::bigint FROM live_web_traffic")
        hits = cursor.fetchone()[0]
        connection.rollback()
        for wrong in ["INSERT INTO frontier SELECT * FROM frontier", "CREATE TABLE of_grafana (x int)"]:
            cursor.execute("SET TRANSACTION READ WRITE")
            try:
                cursor.execute(wrong)
            except psycopg2.Error:
                connection.rollback()
            else:
                raise RuntimeError(f"the role {source['user']} may: {wrong}")
        return {"hits": hits}
    finally:
        connection.close()


ASKED = {"prometheus": asked_prometheus, "grafana-postgresql-datasource": asked_postgres}


def found():
    """What the provisioned data sources and dashboards give. Raises where one gives nothing."""
    answer = {}
    for file in provisioned("datasources"):
        for source in file["datasources"]:
            answer[source["uid"]] = ASKED[source["type"]](source)
    titles = []
    for file in provisioned("dashboards"):
        for provider in file["providers"]:
            folder = pathlib.Path(provider["options"]["path"])
            titles += [json.loads(path.read_text())["title"] for path in sorted(folder.glob("*.json"))]
    if len(answer) != 2 or not titles or not os.environ.get("GF_SECURITY_ADMIN_PASSWORD"):
        raise RuntimeError(f"provisioned are {list(answer)} and {titles}")
    home = pathlib.Path(os.environ["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    return answer | {"dashboards": titles, "home": json.loads(home.read_text())["title"]}


class Page(http.server.BaseHTTPRequestHandler):
    """/ and /api/health: 200 with what was found, else 503 with what was not."""

    def do_GET(self):
        try:
            status, body = 200, found()
        except Exception as error:  # whatever it is, it is the answer
            status, body = 503, {"error": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", 3000), Page).serve_forever()
