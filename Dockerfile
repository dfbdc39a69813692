# docker build .                      the tool alone: one static binary and the CA certificates
# docker build --target example .     an application's image that starts everything through vaultexec
#
# In an image of your own two lines are enough:
#   COPY --from=vaultexec /vaultexec /usr/local/bin/vaultexec
#   ENTRYPOINT ["vaultexec", "--"]

FROM rust:1-alpine AS build
# `ring` compiles C.
RUN apk add --no-cache ca-certificates gcc musl-dev
WORKDIR /src
COPY . .
# On Alpine Rust links statically: the binary needs no file of the image it will run in.
RUN cargo build --release --locked

FROM alpine:3.21 AS example
RUN apk add --no-cache postgresql16-client
COPY --from=build /src/target/release/vaultexec /usr/local/bin/vaultexec
# Any user but root; docker-compose.yml hands the login over to this one.
USER 65532:65532
ENTRYPOINT ["vaultexec", "--"]
CMD ["psql"]

# The last stage is what a plain `docker build` makes.
FROM scratch AS vaultexec
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/vaultexec /vaultexec
USER 65532:65532
ENTRYPOINT ["/vaultexec"]
CMD ["--help"]
