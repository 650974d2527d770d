# dockgate as an image with one file in it: no shell, no libc, no package manager, nothing to update but dockgate.
#
#   docker build -t dockgate .          by BuildKit, and by the classic builder (DOCKER_BUILDKIT=0)
#
# The toolchain that builds it. To pin it to the byte, add the digest that `docker buildx imagetools inspect` prints.
ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS build
# What `dockgate --version` and the label below say: --build-arg DOCKGATE_COMMIT=$(git rev-parse HEAD)
ARG DOCKGATE_COMMIT=""
WORKDIR /src
COPY . .
# Static glibc: see deploy/release/program, which builds what is released as well.
# The classic builder has no mounts, so nothing is cached between builds but whole steps.
RUN set -eu; \
    built=$(deploy/release/program); \
    mkdir -p /image/certs /image/run/dockgate /image/etc/dockgate /image/var/lib/dockgate; \
    cp "$built" /image/dockgate; \
    chmod 0755 /image/dockgate; chmod 0700 /image/certs /image/run/dockgate /image/var/lib/dockgate; \
    rm -rf target

FROM scratch
ARG DOCKGATE_COMMIT=""
LABEL org.opencontainers.image.title="dockgate" \
      org.opencontainers.image.description="A mutual-TLS gate in front of the Docker Engine API" \
      org.opencontainers.image.revision="${DOCKGATE_COMMIT}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# The directories belong to the user below, so that new volumes on /certs and /var/lib/dockgate and a tmpfs on /run/dockgate can be written.
COPY --from=build --chown=65532:65532 /image/ /
# So that `docker exec GATE dockgate ps` finds it.
ENV PATH=/
USER 65532:65532
EXPOSE 2376
# The control socket answers only when the gate's workers do.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --start-interval=1s --retries=3 CMD ["/dockgate", "healthcheck"]
ENTRYPOINT ["/dockgate"]
CMD ["serve"]
