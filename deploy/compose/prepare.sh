#!/bin/sh
# Creates what the services of docker-compose.yml need, each in its own volume, unless it exists: the server's
# secret, a token for the agent and one for the operator, and a file to pull.
#
# Usage: prepare.sh SECRETS_DIRECTORY DATA_DIRECTORY CLIENT_ID
set -eu
umask 077
secrets=$1 data=$2 client_id=$3

if [ ! -s "$secrets/server/server.json" ]; then
  printf '{"JWT_SECRET":"%s"}\n' "$(head -c 48 /dev/urandom | base64 -w 0)" >"$secrets/server/server.json.new"
  mv "$secrets/server/server.json.new" "$secrets/server/server.json"
fi
JWT_SECRET=$(sed -n 's/.*"JWT_SECRET":"\([^"]*\)".*/\1/p' "$secrets/server/server.json")
export JWT_SECRET

# New tokens at each start, so that they do not expire in a stack that is started rarely.
backhaul token agent --client-id "$client_id" >"$secrets/agent/token.new"
mv "$secrets/agent/token.new" "$secrets/agent/token"
backhaul token operator >"$secrets/operator/token.new"
mv "$secrets/operator/token.new" "$secrets/operator/token"

[ -e "$data/report.bin" ] || head -c 20971520 /dev/urandom >"$data/report.bin"
