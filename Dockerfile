# hitstream's image: one program, its certificates, nothing that it does not need.
#
#   docker build --build-arg REVISION=$(git rev-parse --short HEAD) -t hitstream .
#
# The first stage's image is the toolchain of rust-toolchain.toml, on the Debian release of the second.

ARG RUST_IMAGE=rust:1.95.0-slim-bookworm

FROM ${RUST_IMAGE} AS build
# The toolchain that is there, whatever components rust-toolchain.toml would fetch besides.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_INCREMENTAL=0
WORKDIR /build
# librdkafka is C and C++, built with make. libssl-dev is for TLS to Kafka.
# hadolint ignore=DL3008  # versions are those of the pinned base image's release
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libssl-dev make perl pkg-config \
    && rm -rf /var/lib/apt/lists/*

# Everything that is not ours, in a layer of its own: it is built again only when a manifest or the lock file changes. The
# sources are stand-ins, for Cargo wants every target that a manifest names.
COPY Cargo.toml Cargo.lock ./
COPY domain/Cargo.toml domain/
COPY actors/Cargo.toml actors/
COPY bench/Cargo.toml bench/
RUN mkdir -p src domain/src domain/benches actors/src bench/src tests \
    && touch src/lib.rs domain/src/lib.rs actors/src/lib.rs tests/main.rs \
    && for file in src/main.rs bench/src/main.rs domain/benches/decode.rs domain/benches/hot_path.rs; do \
         echo 'fn main() {}' > "$file"; \
       done \
    && cargo build --release --locked -p hitstream

COPY domain/src domain/src
COPY actors/data actors/data
COPY actors/src actors/src
COPY config/hitstream.toml config/
COPY config/migrations config/migrations
COPY src src
# `hitstream --version`, metrics and the label below name it.
ARG REVISION=unknown
# The sources are older than what was built of the stand-ins, and Cargo goes by that. Names of functions stay for backtraces.
RUN touch src/lib.rs src/main.rs domain/src/lib.rs actors/src/lib.rs \
    && HITSTREAM_REVISION="$REVISION" cargo build --release --locked -p hitstream \
    && strip --strip-debug -o /hitstream target/release/hitstream

FROM debian:12.12-slim
# hadolint ignore=DL3008  # versions are those of the pinned base image's release
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /hitstream /usr/local/bin/hitstream

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hitstream" \
      org.opencontainers.image.description="Turns a Kafka topic of raw web hits into PostgreSQL tables that are right, live and final" \
      org.opencontainers.image.source="https://github.com/hitstream/hitstream" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Nobody in particular: it writes no file.
USER 65532:65532
EXPOSE 8080
# Whether it lives and works. Not being ready is no reason to start it again: it waits by itself for what is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["hitstream", "check", "--health"]
ENTRYPOINT ["hitstream"]
CMD ["run"]
