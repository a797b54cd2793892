# syntax=docker/dockerfile:1
# SPDX-License-Identifier: Apache-2.0
# The image of a sidecar: attache as process 1, the Node.js and the Envoy that it is tested with, nothing else.
# A release builds it with both bases given by digest: --build-arg BUILD_BASE=...@sha256:... --build-arg BASE=...@sha256:...
ARG BUILD_BASE=node:24-bookworm-slim
ARG BASE=debian:bookworm-slim

FROM ${BUILD_BASE} AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends binutils ca-certificates python3 python3-pip \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
COPY scripts scripts
RUN npm ci
# found or downloaded by checksum, like in development; before the sources, so that their changes keep this layer
RUN install -D "$(node scripts/envoy.mjs)" /image/usr/local/bin/envoy
COPY . .
ARG ATTACHE_REVISION
RUN npm run build \
  && install -D -m 0755 bin/attache /image/opt/attache/bin/attache \
  && install -D -m 0755 node_modules/node-linux-*/bin/node /image/opt/attache/bin/node \
  && strip --strip-all /image/opt/attache/bin/node \
  && install -D -m 0644 -t /image/opt/attache/dist dist/attache.cjs dist/attache.cjs.map dist/LICENSES.txt \
  && ln -s /opt/attache/bin/attache /image/usr/local/bin/attache \
  && ln -s attache /image/usr/local/bin/pilot-agent \
  && ln -s attache /image/usr/local/bin/istio-iptables

FROM ${BASE}
# libatomic1 and libstdc++6 are Node's; setpriv (util-linux) lets Envoy end with the agent whatever ends the agent;
# istio-iptables runs iptables, nft (nftables) and ip (iproute2)
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
       ca-certificates iproute2 iptables libatomic1 libstdc++6 nftables util-linux \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 1337 istio-proxy \
  && useradd --uid 1337 --gid 1337 --home-dir /home/istio-proxy --create-home --shell /usr/sbin/nologin istio-proxy \
  # all that is written; with a read-only root file system these are where volumes are mounted
  && install -d -o 1337 -g 1337 -m 0755 \
       /etc/istio/proxy /etc/istio/config /var/lib/istio/data /var/run/secrets/workload-spiffe-uds
COPY --from=build /image/ /
USER 1337:1337
WORKDIR /
ENTRYPOINT ["/usr/local/bin/pilot-agent"]
CMD ["proxy", "sidecar"]
