# Images of the server, the agent and the operators' command line: docker build --target server|agent|cli .
#
# Debian 12 because the tests run on its C library, "slim" because nothing here needs a compiler; the version is the
# one that package.json pins for the tests. User 1000 is that image's "node".
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /opt/backhaul
COPY . .
RUN npm ci --no-audit --no-fund && npm run build

# The production libraries, in the versions of the lock file; the base image has Node.js already. npm's links to
# the workspaces' sources are removed: dist/ has links to the compiled packages.
FROM build AS modules
RUN npm ci --no-audit --no-fund --omit=dev --omit=optional \
  && find node_modules -type l -lname '*packages/*' -delete \
  && find node_modules -xtype l -delete

FROM ${NODE_IMAGE} AS server
LABEL org.opencontainers.image.title="backhaul-server" \
  org.opencontainers.image.description="Requests files from agents, which upload them directly to S3." \
  org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=modules /opt/backhaul/node_modules /opt/backhaul/node_modules
COPY --from=build /opt/backhaul/dist /opt/backhaul/dist
# A new volume gets the owner of the directory that it is mounted on.
RUN install -d -m 0700 -o 1000 -g 1000 /var/lib/backhaul /etc/backhaul
USER 1000:1000
WORKDIR /var/lib/backhaul
VOLUME /var/lib/backhaul
EXPOSE 8080
# Checks the process only. An unavailable store is no reason to restart it; /readyz reports the store.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 8080}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/backhaul/dist/packages/server/bin/backhaul-server.js"]

# One file without dependencies. It has no port for a health check: the server knows whether it is connected.
FROM ${NODE_IMAGE} AS agent
LABEL org.opencontainers.image.title="backhaul-agent" \
  org.opencontainers.image.description="Keeps one outbound WebSocket open and uploads requested files." \
  org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=build /opt/backhaul/dist/packages/agent /opt/backhaul/agent
RUN install -d -m 0700 -o 1000 -g 1000 /etc/backhaul
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["node", "/opt/backhaul/agent/bin/backhaul-agent.js"]

FROM ${NODE_IMAGE} AS cli
LABEL org.opencontainers.image.title="backhaul" \
  org.opencontainers.image.description="Backhaul's command line for operators." \
  org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=modules /opt/backhaul/node_modules /opt/backhaul/node_modules
COPY --from=build /opt/backhaul/dist /opt/backhaul/dist
RUN ln -s /opt/backhaul/dist/packages/cli/bin/backhaul.js /usr/local/bin/backhaul \
  && install -d -m 0700 -o 1000 -g 1000 \
    /etc/backhaul /secrets/server /secrets/agent /secrets/operator /data
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["backhaul"]
