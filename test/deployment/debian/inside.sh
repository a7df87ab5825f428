#!/usr/bin/env bash
# Run by walk.sh within the booted Debian, as root; each step prints what it checks.
set -euo pipefail
export PATH=/opt/backhaul/node/bin:/opt/backhaul/node_modules/.bin:$PATH
export BACKHAUL_URL=https://backhaul.example.com BACKHAUL_TOKEN HTTPS_PROXY=http://till:secret@127.0.0.1:3128
BACKHAUL_TOKEN=$(cat /walk/operator.token)
ca=(--ca-file /etc/backhaul/tls/ca.crt)

step() { printf '== %s\n' "$1"; }
# until_it COMMAND…: retries the command until it succeeds, for at most a minute.
until_it() { for _ in $(seq 60); do "$@" >/dev/null 2>&1 && return; sleep 1; done; echo "not within a minute: $*"; "$@"; }

step 'accounts and services'
for account in backhaul backhaul-agent; do
  id "$account" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$account"
done
chmod 600 /etc/backhaul/server.json /etc/backhaul/agent.token
systemctl daemon-reload
systemctl restart object-store tinyproxy nginx
systemctl start backhaul-server backhaul-agent

step 'the agent connects through tinyproxy and nginx'
connected() { backhaul status till-7 --json "${ca[@]}" | grep -q '"connected": *true'; }
until_it connected

step 'a file is pulled'
backhaul download till-7 --file /srv/reports/report.bin --output /walk/copy.bin --overwrite "${ca[@]}"
cmp /srv/reports/report.bin /walk/copy.bin

step 'systemctl reload does not end server and agent'
before=$(systemctl show -P MainPID backhaul-server backhaul-agent)
systemctl reload backhaul-server backhaul-agent
sleep 2
[ "$before" = "$(systemctl show -P MainPID backhaul-server backhaul-agent)" ]

step 'a killed server is restarted, and the agent reconnects'
kill -KILL "$(systemctl show -P MainPID backhaul-server)"
until_it sh -c '[ "$(systemctl show -P NRestarts backhaul-server)" = 1 ]'
until_it connected

step 'a renewed certificate of nginx is accepted'
serial_shown() { openssl s_client -connect 127.0.0.1:443 -servername backhaul.example.com </dev/null 2>/dev/null | openssl x509 -noout -serial; }
renewed=$(openssl x509 -noout -serial -in /etc/backhaul/tls/renewed.crt)
shows_renewed() { [ "$(serial_shown)" = "$renewed" ]; }
shows_old() { [ "$(serial_shown)" = "$(openssl x509 -noout -serial -in /etc/backhaul/tls/server.crt)" ] && ! shows_renewed; }
until_it shows_old
cp /etc/backhaul/tls/renewed.crt /etc/backhaul/tls/server.crt
cp /etc/backhaul/tls/renewed.key /etc/backhaul/tls/server.key
systemctl reload nginx
until_it shows_renewed
# The existing connection stays with nginx's old worker; a restarted agent has to accept the new certificate.
systemctl restart backhaul-agent
until_it connected

step 'a token is renewed into the state directory of the unit, and used from there'
JWT_SECRET=$(sed -n 's/.*"JWT_SECRET": "\([^"]*\)".*/\1/p' /etc/backhaul/server.json) \
  backhaul token agent till-7 --ttl 60s >/etc/backhaul/agent.token
systemctl restart backhaul-agent
until_it test -s /var/lib/backhaul-agent/token.json
[ "$(stat -c '%a %U' /var/lib/backhaul-agent/token.json)" = '600 backhaul-agent' ]
echo expired >/etc/backhaul/agent.token
systemctl restart backhaul-agent
until_it connected

step 'journalctl -p warning finds warnings, and nothing below them'
systemctl stop object-store
systemctl restart backhaul-server
until_it sh -c "journalctl -u backhaul-server -p warning -o cat | grep -q 'object store unreachable'"
if journalctl -u backhaul-server -p warning -o cat | grep '"level":"info"'; then exit 1; fi

step 'a wrong setting is an error in the journal, and the unit is not restarted'
echo PORT=none >>/etc/backhaul/server.env
systemctl restart backhaul-server || true
until_it sh -c "journalctl -u backhaul-server -p err -o cat | grep -q 'PORT must be'"
restarts=$(systemctl show -P NRestarts backhaul-server)
sleep 7
[ "$(systemctl show -P NRestarts backhaul-server)" = "$restarts" ]
