#!/usr/bin/env bash
# Tests server and agent as services end to end, on a separate Debian 12 that systemd boots in a container:
#
#   agent unit → tinyproxy with a password → nginx (deploy/nginx/backhaul.conf, private CA) → server unit → object store
#
# It pulls a file, renews the certificate, and checks the journal. Needs root, an x86-64 or arm64 Linux on which
# systemd-nspawn can boot (not within most containers), debootstrap, and the Debian and npm registries:
#
#   sudo test/deployment/debian/walk.sh [DIRECTORY]    # DIRECTORY keeps the Debian for the next run
#
# Exit codes: 0 all steps succeeded, 1 a step failed, 2 it cannot run here; the last line has the result.
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=${1:-$(mktemp -d)}/debian
here=$PWD
node=$here/node_modules/node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')

cannot() { echo "walk: cannot run here: $1" >&2; exit 2; }
[ "$(id -u)" = 0 ] || cannot 'needs root'
for tool in systemd-nspawn debootstrap openssl; do
  command -v "$tool" >/dev/null || cannot "$tool is missing: apt-get install systemd-container debootstrap openssl"
done
[ -x "$node/bin/node" ] || cannot "no $node; run npm ci first"

echo '== Debian'
if [ ! -e "$root/usr/lib/systemd/systemd" ]; then
  mkdir -p "$root"
  debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,ca-certificates,nginx-light,tinyproxy,openssl,curl bookworm "$root" >/dev/null
fi

echo '== packages, installed as in docs/install.md'
export PATH=$here/node_modules/.bin:$PATH
npm run build >/dev/null
tarballs=$root/opt/backhaul/tarballs
rm -rf "$root/opt/backhaul" "$root/var/lib/backhaul" "$root/etc/backhaul" && mkdir -p "$tarballs" "$root/opt/backhaul/node"
npm pack --silent --pack-destination "$tarballs" ./dist/packages/* >/dev/null
cp -r "$node/bin" "$root/opt/backhaul/node/"
npm install --silent --prefix "$root/opt/backhaul" --no-audit --no-fund "$tarballs"/*.tgz >/dev/null

echo '== settings'
cp deploy/systemd/*.service "$root/etc/systemd/system/"
install -d "$root/etc/backhaul/tls" "$root/srv/reports" "$root/etc/systemd/system/backhaul-agent.service.d" "$root/walk"
sed 's#^BindReadOnlyPaths=.*#BindReadOnlyPaths=/srv/reports#' deploy/systemd/backhaul-agent.service.d/reads.conf \
  >"$root/etc/systemd/system/backhaul-agent.service.d/reads.conf"
head -c 20000000 /dev/urandom >"$root/srv/reports/report.bin"
authority=$root/etc/backhaul/tls/ca
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${key[@]}" -days 9 -subj '/CN=private' -keyout "$authority.key" -out "$authority.crt" 2>/dev/null
issue() { # issue NAME: signs a certificate for backhaul.example.com by the private authority
  openssl req -new "${key[@]}" -subj "/CN=$1" -keyout "$root/etc/backhaul/tls/$1.key" -out "$root/walk/$1.csr" 2>/dev/null
  openssl x509 -req -days 9 -in "$root/walk/$1.csr" -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial \
    -extfile <(echo 'subjectAltName=DNS:backhaul.example.com') -out "$root/etc/backhaul/tls/$1.crt" 2>/dev/null
}
issue server
issue renewed
cp deploy/nginx/backhaul.conf "$root/etc/nginx/conf.d/backhaul.conf"
printf '127.0.0.1 localhost walk backhaul.example.com\n' >"$root/etc/hosts"
printf 'Port 3128\nListen 127.0.0.1\nUser tinyproxy\nGroup tinyproxy\nBasicAuth till secret\n' >"$root/etc/tinyproxy/tinyproxy.conf"
secret=$(head -c 48 /dev/urandom | base64 -w 0)
printf '{ "JWT_SECRET": "%s", "AWS_ACCESS_KEY_ID": "walk", "AWS_SECRET_ACCESS_KEY": "walk-secret" }\n' "$secret" >"$root/etc/backhaul/server.json"
printf '%s\n' S3_ENDPOINT=http://127.0.0.1:9000 S3_BUCKET_NAME=files HOST=127.0.0.1 TRUSTED_PROXIES=127.0.0.1 >"$root/etc/backhaul/server.env"
printf '%s\n' BACKHAUL_URL=wss://backhaul.example.com HTTPS_PROXY=http://till:secret@127.0.0.1:3128 \
  'AGENT_FLAGS=--client-id till-7 --allow /srv/reports --ca-file /etc/backhaul/tls/ca.crt --allow-storage http://127.0.0.1:9000' >"$root/etc/backhaul/agent.env"
JWT_SECRET=$secret "$node/bin/node" packages/cli/bin/backhaul.js token agent --client-id till-7 >"$root/etc/backhaul/agent.token"
JWT_SECRET=$secret "$node/bin/node" packages/cli/bin/backhaul.js token operator >"$root/walk/operator.token"
cat >"$root/etc/systemd/system/object-store.service" <<'EOF'
[Service]
ExecStart=/opt/backhaul/node/bin/node /opt/backhaul/node_modules/.bin/backhaul-object-store --port 9000 --data /var/lib/store --access-key walk --secret-key walk-secret --bucket files
EOF
cat >"$root/etc/systemd/system/walk.service" <<'EOF'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/walk/inside.sh >/walk/output 2>&1; echo $? >/walk/result; systemctl poweroff'
[Install]
WantedBy=multi-user.target
EOF
ln -sf ../walk.service "$root/etc/systemd/system/multi-user.target.wants/walk.service"
cp test/deployment/debian/inside.sh "$root/walk/inside.sh"
chmod 755 "$root/walk/inside.sh"
rm -f "$root/walk/result" "$root/walk/output"

echo '== boot'
boot() {
  timeout 300 systemd-nspawn --quiet --boot --directory="$root" --machine="backhaul-walk-$$" --register=no --keep-unit \
    --private-network --resolv-conf=off </dev/null >"$root/walk/console" 2>&1 || true
}
if [ -d /run/systemd/system ]; then
  boot
else
  # Without systemd outside, its directory in /run may be on a disk, which systemd-nspawn does not accept.
  export root
  unshare --mount --propagation private bash -c "mount -t tmpfs tmpfs /run; $(declare -f boot); boot"
fi
[ -e "$root/walk/output" ] || { tail -n 5 "$root/walk/console" >&2; cannot 'systemd did not boot in systemd-nspawn'; }
cat "$root/walk/output"
[ "$(cat "$root/walk/result" 2>/dev/null)" = 0 ] || { echo 'walk: FAILED' >&2; exit 1; }
echo 'walk: all steps succeeded'
