# shellcheck shell=bash
# The file of variables for those who use the services. Part of scripts/services.sh.

write_env() {
  local kafka_port postgres_port password
  kafka_port=$(recall kafka.port)
  postgres_port=$(recall postgres.port)
  password=$(recall password)
  (
    umask 077
    {
      echo "# Written by scripts/services.sh start; removed by stop."
      if [[ -n $kafka_port ]]; then
        echo "export KAFKA_URL=127.0.0.1:$kafka_port"
      fi
      if [[ -n $postgres_port ]]; then
        echo "# A role that may create databases, schemas and roles, and end other sessions of its own."
        echo "export POSTGRES_URL=postgres://hitstream:$password@127.0.0.1:$postgres_port/hitstream"
        echo "# The superuser of this server, for tests that change its settings."
        echo "export HITSTREAM_POSTGRES_ADMIN_URL=postgres://postgres:$password@127.0.0.1:$postgres_port/postgres"
      fi
      echo "# docker or local."
      echo "export HITSTREAM_SERVICES_KIND=$(recall kind)"
      echo "# Pids (NAME.pid: pid and start time), data and logs (NAME.log)."
      printf 'export HITSTREAM_SERVICES_STATE=%q\n' "$STATE"
      # What follows is for tests that run servers of their own; containers do not offer it.
      if [[ -n $(recall postgres.bin) ]]; then
        echo "# initdb, postgres, pg_ctl, psql … (postgres refuses to run as root)."
        printf 'export HITSTREAM_PG_BIN=%q\n' "$(recall postgres.bin)"
      fi
      if [[ -n $(recall kafka.java) ]]; then
        echo "# A Java that can run a broker, and the class path that holds kafka.Kafka and kafka.tools.StorageTool."
        printf 'export HITSTREAM_JAVA=%q\n' "$(recall kafka.java)"
        printf 'export HITSTREAM_KAFKA_CLASSPATH=%q\n' "$(kafka_jars_dir)/*"
        echo "# The settings that the running broker was started with."
        printf 'export HITSTREAM_KAFKA_CONFIG=%q\n' "$STATE/kafka/server.properties"
      fi
    } >"$ENV_FILE.new"
  )
  mv "$ENV_FILE.new" "$ENV_FILE"
}
