# shellcheck shell=bash
# Apache Kafka: settings, local broker, container, readiness. Part of scripts/services.sh.

# A metadata request of our own (version 4, no topics) instead of a tool: a JVM would take a second for each look. It
# is true once the broker lists itself, so not before clients can use it.
kafka_answers() {
  local port reply
  port=$(recall kafka.port)
  [[ -n $port ]] || return 1
  # shellcheck disable=SC2016  # expanded by the inner shell
  reply=$(timeout 3 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf "\0\0\0\17\0\3\0\4\0\0\0\1\377\377\0\0\0\0\0" >&3
    head -c 16 <&3 | od -An -v -tu1' _ "$port" 2>/dev/null) || return 1
  # size, correlation id, throttle time, number of brokers
  [[ $(awk '{n += NF; v = $NF} END {print n, v + 0}' <<<"$reply") =~ ^16\ [1-9] ]]
}

# The same settings for a process and for a container, where each becomes a variable KAFKA_…. What is unusual in them:
# - few partitions in the internal topics, no rebalance delay, short group sessions allowed: tests do not wait
# - a short broker session: a killed broker that comes back waits for the session of its former self to end
# - any timestamp is taken and nothing expires: tests replay logs of other years and send clocks that are wrong
# - records of up to 10 MB; a small log cleaner, which otherwise takes 128 MB of the heap
kafka_settings() {
  cat <<EOF
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
advertised.listeners=PLAINTEXT://127.0.0.1:$1
controller.quorum.voters=1@127.0.0.1:$2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
message.max.bytes=10485760
replica.fetch.max.bytes=10485760
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.cleaner.dedupe.buffer.size=4194304
EOF
}

# The jars are kept per content of the pom, so another version or dependency never mixes with old jars.
kafka_jars_dir() { printf '%s/kafka-%s-%s\n' "$CACHE" "$KAFKA_VERSION" "$(cksum <"$KAFKA_POM" | cut -d' ' -f1)"; }

fetch_kafka_jars() {
  local jars work
  jars=$(kafka_jars_dir)
  [[ ! -d $jars ]] || return 0
  command -v mvn >/dev/null || "$ROOT/scripts/setup.sh" maven
  say "kafka: fetching Apache Kafka $KAFKA_VERSION with Maven into $jars"
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/kafka-fetch.XXXXXX")
  if ! mvn -B -q -f "$KAFKA_POM" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/jars" \
    </dev/null >"$work/mvn.log" 2>&1; then
    tail -n 15 "$work/mvn.log" | sed 's/^/    /' >&2
    die "Maven could not fetch Kafka $KAFKA_VERSION; its output is $work/mvn.log"
  fi
  # Whoever comes first wins; a clone doing the same at this moment has the same jars.
  mv -T "$work/jars" "$jars" 2>/dev/null || [[ -d $jars ]] || die "could not move $work/jars to $jars"
  rm -rf "$work"
}

# A broker spends most of its start loading and compiling classes. The first one on a machine leaves an archive of
# them when it ends (keep_class_archive), which halves the starts after it. Kept per Java, which reads only its own.
class_archive() { printf '%s-%s.jsa\n' "$(kafka_jars_dir)" "$("$1" -version 2>&1 | cksum | cut -d' ' -f1)"; }

keep_class_archive() {
  local java archive
  java=$(recall kafka.java)
  if [[ -n $java && -s $STATE/kafka/classes.jsa ]]; then
    # Beside its place first, then moved: another clone must never read half of it.
    archive=$(class_archive "$java")
    { cp "$STATE/kafka/classes.jsa" "$archive.$$" && mv -f "$archive.$$" "$archive"; } 2>/dev/null || rm -f "$archive.$$"
  fi
}

start_kafka_local() {
  local port=$1 java jars archive flags share controller
  java=$("$ROOT/scripts/find-java.sh") || {
    "$ROOT/scripts/setup.sh" java
    java=$("$ROOT/scripts/find-java.sh") || die "no Java 17 or newer found: put one on PATH or set JAVA_HOME"
  }
  fetch_kafka_jars
  jars=$(kafka_jars_dir)
  controller=$(free_port)
  remember kafka.java "$java"
  mkdir -p "$STATE/kafka"
  flags=(-XX:+UseSerialGC -XX:-UsePerfData "-Dlog4j2.configurationFile=$ROOT/scripts/kafka/log4j2.properties")
  archive=$(class_archive "$java")
  if [[ -s $archive ]]; then
    share=(-Xshare:auto "-XX:SharedArchiveFile=$archive")
  else
    share=("-XX:ArchiveClassesAtExit=$STATE/kafka/classes.jsa")
  fi
  {
    kafka_settings "$port" "$controller"
    printf 'listeners=PLAINTEXT://127.0.0.1:%s,CONTROLLER://127.0.0.1:%s\n' "$port" "$controller"
    printf 'log.dirs=%s/kafka/data\n' "$STATE"
  } >"$STATE/kafka/server.properties"

  if [[ ! -f $STATE/kafka/data/meta.properties ]]; then
    say "kafka: formatting $STATE/kafka/data"
    rm -rf "$STATE/kafka/data"
    "$java" "${share[@]/#-XX:Archive*/-Xshare:auto}" "${flags[@]}" -XX:TieredStopAtLevel=1 \
      -cp "$jars/*" kafka.tools.StorageTool format --ignore-formatted \
      --cluster-id "$(cluster_id)" --config "$STATE/kafka/server.properties" </dev/null >>"$STATE/kafka.log" 2>&1 || {
      show_log kafka
      die "kafka.tools.StorageTool could not format $STATE/kafka/data"
    }
  else
    say "kafka: taking up the data in $STATE/kafka/data again"
  fi

  say "kafka: starting Apache Kafka $KAFKA_VERSION on 127.0.0.1:$port, log in $STATE/kafka.log"
  launch kafka "$java" "${share[@]}" "${flags[@]}" -Xms128m -Xmx768m -XX:+ExitOnOutOfMemoryError \
    -cp "$jars/*" kafka.Kafka "$STATE/kafka/server.properties"
}

# 16 random bytes in URL-safe base64, as Kafka writes its ids; a leading dash would be read as an option.
cluster_id() {
  local id
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
  printf '%s\n' "h${id:1}"
}

start_kafka_docker() {
  local port=$1 line name options=()
  while IFS= read -r line; do
    name=${line%%=*}
    name=${name//./_}
    options+=(-e "KAFKA_${name^^}=${line#*=}")
  done < <(
    kafka_settings "$port" 9093
    printf 'listeners=PLAINTEXT://:%s,CONTROLLER://:9093\n' "$port"
  )
  [[ $port != 9093 ]] || die "inside the container the controller has port 9093: choose another HITSTREAM_KAFKA_PORT"
  start_container kafka "$KAFKA_IMAGE" "$port:$port" "${options[@]}" -e KAFKA_HEAP_OPTS=-Xmx768m \
    -e "CLUSTER_ID=$(cluster_id)" "$KAFKA_IMAGE"
}
