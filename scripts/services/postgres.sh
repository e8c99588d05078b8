# shellcheck shell=bash
# PostgreSQL: local server, container, roles, readiness. Part of scripts/services.sh.

find_postgres() {
  local bin best=0 version found=''
  for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin "$(dirname "$(command -v initdb || echo /none/initdb)")"; do
    [[ -x $bin/initdb && -x $bin/postgres ]] || continue
    version=$("$bin/postgres" --version | sed -n 's/[^0-9]*\([0-9]*\).*/\1/p')
    if ((version > best)); then
      best=$version
      found=$bin
    fi
  done
  ((best >= POSTGRES_OLDEST)) || return 1
  printf '%s\n' "$found"
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if ((EUID == 0)); then
    setpriv --reuid=postgres --regid=postgres --init-groups -- env -C / HOME=/ "$@"
  else
    env -C / "$@"
  fi
}

# sql DATABASE: runs standard input as the superuser.
sql() {
  local cid options=(-U postgres -d "$1" -qtAX -v ON_ERROR_STOP=1)
  cid=$(recall postgres.cid)
  if [[ -n $cid ]]; then
    docker exec -i -e "PGPASSWORD=$(recall password)" "$cid" psql -h 127.0.0.1 -p 5432 "${options[@]}"
  else
    "$(recall postgres.bin)/psql" -h "$(recall postgres.socket)" -p "$(recall postgres.port)" "${options[@]}"
  fi
}

postgres_answers() {
  [[ -n $(recall postgres.port) ]] && port_taken "$(recall postgres.port)" &&
    [[ $(PGCONNECT_TIMEOUT=3 sql postgres 2>/dev/null <<<'select 1') == 1 ]]
}

start_postgres_local() {
  local port=$1 bin data socket
  bin=$(find_postgres) || {
    "$ROOT/scripts/setup.sh" postgresql
    bin=$(find_postgres) || die "no PostgreSQL $POSTGRES_OLDEST or newer found under /usr/lib/postgresql or on PATH"
  }
  remember postgres.bin "$bin"
  data=$(postgres_data_dir)
  remember postgres.data "$data"
  # A path of its own under /tmp: a socket's path may have about 107 characters, and a clone may lie deep.
  socket=$(recall postgres.socket)
  if [[ -z $socket || ! -d $socket ]]; then
    socket=$(mktemp -d /tmp/hitstream-pg.XXXXXX)
    if ((EUID == 0)); then chown postgres: "$socket"; fi
    remember postgres.socket "$socket"
  fi

  if [[ ! -f $data/hitstream.ready ]]; then
    say "postgres: creating $data"
    rm -rf "$data"
    mkdir -p "$data"
    chmod 700 "$data"
    if ((EUID == 0)); then chown postgres: "$data"; fi
    as_postgres "$bin/initdb" -D "$data" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync \
      --auth-local=trust --auth-host=scram-sha-256 </dev/null >>"$STATE/postgres.log" 2>&1 || {
      show_log postgres
      die "initdb could not create $data"
    }
    : >"$data/hitstream.ready"
  else
    say "postgres: taking up the data in $data again"
  fi

  say "postgres: starting PostgreSQL from $bin on 127.0.0.1:$port, log in $STATE/postgres.log"
  local become=()
  if ((EUID == 0)); then become=(setpriv --reuid=postgres --regid=postgres --init-groups --); fi
  launch postgres "${become[@]}" "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c "unix_socket_directories=$socket" -c max_connections=200 -c fsync=on -c shared_buffers=128MB \
    -c "log_line_prefix=%m [%p] %u@%d "
}

# Inside the state directory, unless the user postgres cannot get there (a clone below /root, say).
postgres_data_dir() {
  local last
  last=$(recall postgres.data)
  if [[ -n $last && -d $last ]]; then
    printf '%s\n' "$last"
  elif as_postgres test -x "$STATE"; then
    printf '%s\n' "$STATE/postgres"
  else
    mktemp -d /tmp/hitstream-pgdata.XXXXXX
  fi
}

start_postgres_docker() {
  start_container postgres "$POSTGRES_IMAGE" "$1:5432" --shm-size=256m -e "POSTGRES_PASSWORD=$(recall password)" \
    "$POSTGRES_IMAGE" -c max_connections=200 -c fsync=on
}

# Repeatable: a start that was interrupted half way is completed by the next one.
prepare_postgres() {
  local password
  password=$(recall password)
  sql postgres <<EOF
set client_min_messages = warning;
alter role postgres password '$password';
do \$\$ begin
  if not exists (select from pg_roles where rolname = 'hitstream') then create role hitstream; end if;
end \$\$;
alter role hitstream login createdb createrole password '$password';
grant pg_monitor, pg_signal_backend to hitstream;
EOF
  if [[ -z $(sql postgres <<<"select 1 from pg_database where datname = 'hitstream'") ]]; then
    say "postgres: creating role and database hitstream"
    sql postgres <<<'create database hitstream owner hitstream'
  fi
}
