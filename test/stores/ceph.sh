#!/bin/bash
# Minimal single-node Ceph (1 mon, 1 osd, 1 rgw), loopback only, no mgr, no systemd, cephx on with throw-away keys.
# Usage and files: README.md. Settings: STORE=memstore instead of bluestore, BLOCK_SIZE, LC_DEBUG, RGW_EXTRA.
set -euo pipefail
if [ "$1" = install ]; then
  command -v radosgw >/dev/null && command -v ceph-osd >/dev/null && exit 0
  [ "$(id -u)" = 0 ] && sudo=() || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    ceph-mon ceph-osd ceph-base ceph-common radosgw >/dev/null
  exit
fi
D=$(readlink -m "$3"); PORT=$4; STORE=${STORE:-bluestore}; MP=${MONPORT:-16789}
export CEPH_CONF=$D/ceph.conf
if [ ! -f "$D/ceph.conf" ]; then
mkdir -p "$D"/{mon,osd,run,log}
FSID=$(cat /proc/sys/kernel/random/uuid)
cat > "$D/ceph.conf" <<E
[global]
fsid = $FSID
mon host = v2:127.0.0.1:$MP
ms bind msgr1 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = $D/keyring
run dir = $D/run
admin socket = $D/run/\$name.asok
pid file = $D/run/\$name.pid
log file = $D/log/\$name.log
mon cluster log file = $D/log/cluster.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
rgw rados pool pg num min = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd memory target = 939524096
ms async op threads = 2
[mon.a]
mon data = $D/mon
mon data avail crit = 1
mon data avail warn = 2
[osd.0]
osd data = $D/osd
osd objectstore = $STORE
bluestore block size = ${BLOCK_SIZE:-21474836480}
bluestore block create = true
memstore device bytes = 8589934592
bluestore_cache_autotune = true
osd_op_num_shards = 2
osd class load list = *
osd class default list = *
osd max object name len = 460
osd max object namespace len = 64
[client.rgw]
keyring = $D/keyring
rgw data = $D/run
rgw frontends = beast endpoint=127.0.0.1:$PORT
rgw enable apis = s3, admin
rgw thread pool size = 64
rgw crypt require ssl = false
rgw relaxed s3 bucket names = false
rgw gc obj min wait = 60
rgw lc debug interval = ${LC_DEBUG:-0}
${RGW_EXTRA:-}
E
monmaptool --create --fsid $FSID --addv a "[v2:127.0.0.1:$MP]" "$D/monmap" --clobber >/dev/null
ceph-authtool --create-keyring "$D/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
ceph-authtool "$D/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool "$D/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' >/dev/null
ceph-authtool "$D/keyring" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx' >/dev/null
ceph-mon -i a --mkfs --monmap "$D/monmap" --keyring "$D/keyring" >/dev/null
FRESH=1
fi
ceph-mon -i a
if [ "${FRESH:-}" ]; then
  timeout 60 ceph osd new $(cat /proc/sys/kernel/random/uuid) 0 >/dev/null
  U=$(ceph osd dump -f json | python3 -c 'import json,sys;print(json.load(sys.stdin)["osds"][0]["uuid"])')
  ceph-osd -i 0 --mkfs --osd-uuid $U >/dev/null 2>&1
  ceph osd crush add osd.0 1.0 root=default host=localhost >/dev/null 2>&1
fi
ceph-osd -i 0 >/dev/null
for i in $(seq 100); do ceph osd stat 2>/dev/null | grep -q '1 up' && break; sleep 0.2; done
if [ "${FRESH:-}" ]; then
  timeout 120 radosgw-admin user create --uid test --display-name test --access-key AKTEST0 --secret SKTEST0 --caps 'users=*;buckets=*' >/dev/null
  timeout 120 radosgw-admin zonegroup placement add --rgw-zonegroup default --placement-id default-placement --storage-class INTELLIGENT_TIERING >/dev/null
  timeout 120 radosgw-admin zone placement add --rgw-zone default --placement-id default-placement --storage-class INTELLIGENT_TIERING --data-pool default.rgw.buckets.data >/dev/null
fi
radosgw -n client.rgw
for i in $(seq 300); do (exec 3<>/dev/tcp/127.0.0.1/$PORT) 2>/dev/null && break; sleep 0.1; done
cat "$D"/run/*.pid | paste -sd, > "$D/pids"; echo "up pids=$(cat $D/pids) http://127.0.0.1:$PORT AKTEST0 SKTEST0"
