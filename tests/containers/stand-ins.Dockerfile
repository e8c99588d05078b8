# Stand-ins for the images that docker-compose.yml names, for where none can be pulled: the same programs from Debian, Maven
# and PyPI, behind entrypoints that take the variables, users and folders of the official ones as far as they are used.
# Grafana alone is not to be had: grafana.py does what is asked of it here. `docker build --target NAME`.
ARG BASE_IMAGE
# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS base
ENV DEBIAN_FRONTEND=noninteractive

# apache/kafka: user appuser (1000), data in /var/lib/kafka/data. The context has Kafka's jars in jars/.
FROM base AS kafka
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /var/lib/kafka/data && chown 1000:0 /var/lib/kafka/data
COPY jars /opt/kafka/libs
COPY kafka.sh /
USER 1000
VOLUME /var/lib/kafka/data
ENTRYPOINT ["bash", "/kafka.sh"]

# postgres: its entrypoint starts as root and lets the server run as postgres.
FROM base AS postgres
# hadolint ignore=DL3008
RUN mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/none.conf \
    && apt-get update && apt-get install -y --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir /docker-entrypoint-initdb.d
ENV PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PGDATA=/var/lib/postgresql/data
COPY postgres.sh /
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["bash", "/postgres.sh"]

# prom/prometheus and prom/alertmanager: user nobody (65534), a folder for their data, wget.
FROM base AS watching
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends prometheus prometheus-alertmanager wget \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /prometheus /alertmanager && chown 65534 /prometheus /alertmanager
USER 65534

FROM watching AS prometheus
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["prometheus"]

FROM watching AS alertmanager
WORKDIR /alertmanager
VOLUME /alertmanager
ENTRYPOINT ["prometheus-alertmanager"]

# grafana/grafana: user 472.
FROM base AS grafana
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-psycopg2 python3-yaml wget \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /var/lib/grafana && chown 472:0 /var/lib/grafana
COPY grafana.py /
USER 472
VOLUME /var/lib/grafana
ENTRYPOINT ["python3", "/grafana.py"]

# dpage/pgadmin4: user 5050, port 80. The context has pgAdmin's wheels in wheels/.
FROM base AS pgadmin
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv libpq5 wget \
    && rm -rf /var/lib/apt/lists/*
COPY wheels /wheels
# hadolint ignore=DL3013,DL3042
RUN python3 -m venv /venv && /venv/bin/pip install --no-index --find-links /wheels pgadmin4 gunicorn \
    && rm -rf /wheels && mkdir -p /pgadmin4 /var/lib/pgadmin && chown 5050:0 /var/lib/pgadmin
COPY pgadmin.sh /
USER 5050
VOLUME /var/lib/pgadmin
ENTRYPOINT ["bash", "/pgadmin.sh"]
