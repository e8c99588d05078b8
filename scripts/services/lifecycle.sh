# shellcheck shell=bash
# What is the same for every server, process or container. Part of scripts/services.sh.

# show_log NAME: what a person needs to see when a service does not come up.
show_log() {
  local log=$STATE/$1.log cid
  cid=$(recall "$1.cid")
  if [[ -n $cid ]]; then docker logs "$cid" >"$log" 2>&1 || true; fi
  if [[ -s $log ]]; then
    printf 'services: %s: last lines of %s:\n' "$1" "$log" >&2
    tail -n 25 "$log" | sed 's/^/    /' >&2
  fi
}

# await NAME: until it answers, or its process is gone, or the deadline has passed.
await() {
  local name=$1 deadline=$((SECONDS + START_DEADLINE))
  until "${name}_answers"; do
    if ! alive "$name"; then
      show_log "$name"
      die "$name ended while starting; its log is $STATE/$name.log"
    fi
    if ((SECONDS >= deadline)); then
      show_log "$name"
      die "$name did not answer on 127.0.0.1:$(recall "$name.port") in $START_DEADLINE s; its log is $STATE/$name.log"
    fi
    sleep 0.2
  done
}

alive() {
  local cid
  cid=$(recall "$1.cid")
  if [[ -n $cid ]]; then
    [[ $(docker inspect -f '{{.State.Running}}' "$cid" 2>/dev/null) == true ]]
  else
    pid_of "$1" >/dev/null
  fi
}

# What a killed server leaves behind for a moment: a process that init has not reaped yet, backends that are finishing
# their query. PostgreSQL does not start beside them (Linux only; elsewhere its own message says so).
await_ghosts() {
  local pid data deadline=$((SECONDS + 15))
  read -r pid _ 2>/dev/null <"$STATE/$1.pid" || return 0
  data=$(recall "$1.data")
  while [[ $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) == Z* ]] ||
    [[ -n $data && -n $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$data" 2>/dev/null) ]]; do
    if ((SECONDS >= deadline)); then return 0; fi
    sleep 0.2
  done
}

# A running server may be recovering right now: give it a moment before calling it broken.
settle() {
  local deadline=$((SECONDS + 10))
  until "$1_answers"; do
    if ((SECONDS >= deadline)) || ! alive "$1"; then return 1; fi
    sleep 0.2
  done
}

# Ends the process or container and keeps the data.
halt() {
  local cid
  cid=$(recall "$1.cid")
  if [[ -n $cid ]]; then
    docker stop -t "$STOP_DEADLINE" "$cid" >/dev/null 2>&1 || true
  elif [[ $1 == postgres ]]; then
    end_process postgres INT # fast shutdown: does not wait for clients to leave
  else
    end_process "$1" TERM
  fi
  rm -f "$STATE/$1.pid"
}

# Sees to it that a service runs, without waiting for it: the two come up side by side.
begin() {
  local name=$1 kind=$2 configured=$3 port last
  last=$(recall "$name.port")
  if alive "$name"; then
    if [[ -n $configured && -n $last && $configured != "$last" ]]; then
      die "$name runs on port $last, but $configured is configured: run '$0 stop $name' first (it removes the data)"
    fi
    if settle "$name"; then
      say "$name: already running on 127.0.0.1:$last"
      return 0
    fi
    say "$name: runs but does not answer, starting it anew"
    halt "$name"
  elif [[ -n $last ]]; then
    say "$name: not running any more (it was killed, or the machine was restarted)"
    await_ghosts "$name"
    rm -f "$STATE/$name.pid"
  fi
  port=$(choose_port "$name" "$configured")
  remember "$name.port" "$port"
  "start_${name}_$kind" "$port"
}
