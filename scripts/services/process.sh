# shellcheck shell=bash
# Local servers as processes: start, recognise, end. Part of scripts/services.sh.

# When a process started; nothing for one that has ended, even if nobody has reaped it yet.
started_at() {
  if [[ -d /proc/self ]]; then
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" {print $20}'
  else
    ps -o stat=,lstart= -p "$1" 2>/dev/null | awk '$1 !~ /^Z/ {$1 = ""; print}'
  fi
}

# Prints the pid of a service that this state directory started and that is still there. A pid alone may belong to
# somebody else by now; with its start time it cannot.
pid_of() {
  local pid start
  read -r pid start 2>/dev/null <"$STATE/$1.pid" || return 1
  [[ $pid =~ ^[0-9]+$ && -n $start && $(started_at "$pid") == "$start" ]] || return 1
  printf '%s\n' "$pid"
}

# Runs a server that outlives this shell: a session of its own, no terminal, and none of our descriptors, since an
# inherited pipe would keep a CI step waiting for its end for ever.
launch() {
  local name=$1
  shift
  (
    for fd in /proc/self/fd/* /dev/fd/*; do
      fd=${fd##*/}
      if [[ $fd =~ ^[0-9]+$ && $fd -gt 2 ]]; then eval "exec $fd>&-" || true; fi
    done 2>/dev/null
    cd /
    command -v setsid >/dev/null && set -- setsid "$@"
    exec nohup "$@" </dev/null >>"$STATE/$name.log" 2>&1
  ) &
  local pid=$!
  remember "$name.pid" "$pid $(started_at "$pid")"
}

# end_process NAME SIGNAL: gracefully, then hard.
end_process() {
  local name=$1 signal=$2 pid deadline=$((SECONDS + STOP_DEADLINE))
  pid=$(pid_of "$name") || return 0
  kill "-$signal" "$pid" 2>/dev/null || true
  while pid_of "$name" >/dev/null; do
    if ((SECONDS >= deadline)); then
      say "$name: still there after $STOP_DEADLINE s, killing process $pid"
      kill -KILL "$pid" 2>/dev/null || true
      sleep 0.2
      break
    fi
    sleep 0.05
  done
}
