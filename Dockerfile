# docker build -t vaultexec .         the tool alone: one static binary and the CA certificates (`make image` adds labels)
# docker build --target example .     an application's image that starts everything through vaultexec
#
# In an image of your own two lines are enough; docs/containers.md has more:
#   COPY --from=vaultexec /vaultexec /usr/local/bin/vaultexec
#   ENTRYPOINT ["vaultexec", "--"]
#
# Base images are build arguments: --build-arg RUST_IMAGE=mirror.example.com/rust:1.95.0-alpine. An image that is not
# Alpine's has to bring what `apk` adds here.
#
# They are named by versions, not by digests: a digest stays with the image's weaknesses when a mended one has taken its
# name, and nothing here renews it. Where what was built from must be known to the byte, both take name@sha256:…:
#   docker build --build-arg RUST_IMAGE=rust:1.95.0-alpine@sha256:… --build-arg RUN_IMAGE=alpine:3.21@sha256:… .
# `docker buildx imagetools inspect rust:1.95.0-alpine` tells the digest there is today.
#
# The version of Rust is the one of rust-toolchain.toml. That file is not copied into the image: there, rustup would fetch a
# second toolchain for it, past a mirror that RUST_IMAGE names; and an image with another version shall build, too.
ARG RUST_IMAGE=rust:1.95.0-alpine
ARG RUN_IMAGE=alpine:3.21

FROM ${RUST_IMAGE} AS build
# `ring` compiles C.
RUN ! command -v apk || apk add --no-cache gcc musl-dev
WORKDIR /src
# The dependencies are a layer of their own, compiled with an empty program: it is kept until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY scripts/build.sh scripts/target.sh scripts/
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs && sh scripts/build.sh && rm -r src
COPY src src
# Here, so that another commit leaves the layer of the dependencies as it is.
ARG REVISION=unknown
# Cargo goes by time, and these files are older than the empty program.
RUN touch src/main.rs src/lib.rs && COMMIT=$REVISION sh scripts/build.sh

# The certificates are those of an image to run in: what the build image trusts to reach its mirrors is not for everyone.
FROM ${RUN_IMAGE} AS certificates
RUN ! command -v apk || apk add --no-cache ca-certificates

FROM ${RUN_IMAGE} AS example
RUN ! command -v apk || apk add --no-cache postgresql16-client
COPY --from=build /src/target/dist/vaultexec /usr/local/bin/vaultexec
# Any user but root; docker-compose.yml hands the login over to this one.
USER 65532:65532
ENTRYPOINT ["vaultexec", "--"]
CMD ["psql"]

# The last stage is what a plain `docker build` makes. The binary has the mode 0711: its user may run it, not read it.
FROM scratch AS vaultexec
COPY --from=certificates /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/dist/vaultexec /vaultexec
USER 65532:65532
ENTRYPOINT ["/vaultexec"]
CMD ["--help"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vaultexec" \
    org.opencontainers.image.description="Runs a command with short-lived database credentials from HashiCorp Vault or OpenBao, and revokes them when it ends" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${REVISION}"
