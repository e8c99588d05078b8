# shellcheck shell=bash
# Images: stand-ins under the names that docker-compose.yml and the Dockerfile ask for, and hitstream's own, built from the
# Dockerfile as it is. Sourced by tests/containers.sh, which has WORK, DATA, HERE and CACHE.
# shellcheck disable=SC2153

# The images that are named, without hitstream's own.
named_images() { compose config --images | grep -v '^hitstream:' | sort -u; }

rust_of_dockerfile() { sed -n 's/^ARG RUST_IMAGE=//p' "$ROOT/Dockerfile"; }
base_of_dockerfile() { sed -n 's/^FROM \(debian:.*\)/\1/p' "$ROOT/Dockerfile"; }

build() { DOCKER_BUILDKIT=1 "$DOCKER" build --network host --progress plain "$@" >>"$WORK/build.log" 2>&1; }

# is_new IMAGE FILE…: whether the image is missing, or older than what it is made of. Notes what it is made of.
is_new() {
  local image=$1 note
  note=$DATA/made-of.$(tr -c 'a-z0-9.\n' _ <<<"$1")
  shift
  cksum "$@" >"$note.new"
  if cmp -s "$note" "$note.new" && "$DOCKER" image inspect "$image" >/dev/null 2>&1; then
    rm "$note.new"
    return 1
  fi
  mv "$note.new" "$note"
}

# Debian's base, from its packages.
make_base() {
  local image=$1 kept=$CACHE/debian-bookworm-minbase.tar rootfs=$WORK/rootfs
  ! "$DOCKER" image inspect "$image" >/dev/null 2>&1 || return 0
  if [[ ! -s $kept ]]; then
    say 'making a base image with debootstrap'
    DEBOOTSTRAP_DIR=$CACHE/debian-docker/usr/share/debootstrap sh "$CACHE/debian-docker/usr/sbin/debootstrap" \
      --variant=minbase bookworm "$rootfs" >"$WORK/debootstrap.log" 2>&1 || {
      tail -n 3 "$WORK/debootstrap.log" | sed 's/^/    /' >&2
      cannot 'debootstrap could not make a base image'
    }
    # As the official slim image, without what nobody reads.
    rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
    find "$rootfs"/usr/share/{doc,man,locale,info} -type f -delete
    printf '%s\n' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };' \
      >"$rootfs/etc/apt/apt.conf.d/docker-clean"
    tar -C "$rootfs" -cf "$kept.$$" . && mv "$kept.$$" "$kept"
    rm -rf "$rootfs"
  fi
  "$DOCKER" import "$kept" "$image" >/dev/null
}

# The pinned toolchain of this machine, in the place of the official image's.
make_rust() {
  local image=$1 base=$2 toolchain stage=$WORK/rust
  is_new "$image" "$HERE/rust.Dockerfile" "$ROOT/rust-toolchain.toml" || return 0
  say "making a stand-in for $image"
  toolchain=$(cd "$ROOT" && rustc --print sysroot)
  mkdir -p "$stage"
  cp -al "$toolchain/bin" "$toolchain/lib" "$stage" 2>/dev/null || cp -a "$toolchain/bin" "$toolchain/lib" "$stage"
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$stage/ca-certificates.crt"
  build --build-arg "BASE_IMAGE=$base" -f "$HERE/rust.Dockerfile" -t "$image" "$stage"
  rm -rf "$stage"
}

# pgAdmin's packages for the version that its image has.
fetch_wheels() {
  local version=$1 kept=$CACHE/pgadmin4-$1-wheels work
  if [[ ! -d $kept ]]; then
    say "fetching pgAdmin $version and what it needs from PyPI"
    work=$(mktemp -d "$CACHE/pgadmin-fetch.XXXXXX")
    python3 -m pip wheel -q --disable-pip-version-check -w "$work/wheels" "pgadmin4==$version" gunicorn </dev/null \
      >"$work/log" 2>&1 || cannot "pip could not get pgadmin4 $version: $(tail -n 1 "$work/log")"
    mv -T "$work/wheels" "$kept"
    rm -rf "$work"
  fi
  WHEELS=$kept
}

# Stand-ins for all images that the compose file names.
make_stand_ins() {
  local base image target context=$WORK/context began=$SECONDS
  base=$(base_of_dockerfile)
  make_base "$base"
  make_rust "$(rust_of_dockerfile)" "$base"
  mkdir -p "$context"
  cp "$HERE"/*.sh "$HERE"/*.py "$context"
  fetch_kafka_jars
  cp -al "$(kafka_jars_dir)" "$context/jars" 2>/dev/null || cp -a "$(kafka_jars_dir)" "$context/jars"
  mkdir -p "$context/wheels"
  for image in $(named_images); do
    target=${image%:*}
    target=${target##*/}
    target=${target%4}
    is_new "$image" "$HERE/stand-ins.Dockerfile" "$HERE"/{kafka,postgres,pgadmin}.sh "$HERE/grafana.py" || continue
    say "making a stand-in for $image"
    if [[ $target == pgadmin ]]; then
      fetch_wheels "${image##*:}"
      cp -al "$WHEELS"/. "$context/wheels" 2>/dev/null || cp -a "$WHEELS"/. "$context/wheels"
    fi
    build --build-arg "BASE_IMAGE=$base" -f "$HERE/stand-ins.Dockerfile" --target "$target" -t "$image" "$context" ||
      fail_build "the stand-in for $image"
  done
  rm -rf "$context"
  say "stand-ins are there, $((SECONDS - began)) s"
}

fail_build() {
  tail -n 20 "$WORK/build.log" | sed 's/^/    /' >&2
  printf 'containers: error: %s cannot be built\n' "$1" >&2
  exit 1
}

# hitstream's image from the Dockerfile.
make_hitstream() {
  local began=$SECONDS
  say 'building hitstream from the Dockerfile (minutes, the first time)'
  build --build-arg "REVISION=$REVISION" -t "$(compose config --images | grep -m 1 '^hitstream:')" "$ROOT" ||
    fail_build 'the image of the Dockerfile'
  say "hitstream is built, $((SECONDS - began)) s"
}
