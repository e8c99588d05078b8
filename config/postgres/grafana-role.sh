#!/bin/bash
# Makes the role that Grafana reads with. PostgreSQL's image runs it once, when its data folder is new.
#
# It may read the tables that POSTGRES_USER makes in schema public, and do nothing else. Where the tables are in another
# schema, or the data folder is older than this: the same SQL by hand, docs/OPERATIONS.md, "Watching it".
set -eu
: "${GRAFANA_PASSWORD:?is empty: the role grafana needs a password}"
psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\getenv password GRAFANA_PASSWORD
\getenv owner POSTGRES_USER
\getenv database POSTGRES_DB
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
GRANT CONNECT ON DATABASE :"database" TO grafana;
GRANT USAGE ON SCHEMA public TO grafana;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT ON TABLES TO grafana;
SQL
