import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { TcpFaultProxy } from './injection/tcp/tcp-fault-proxy.ts';
import { Stage } from '../harness/stage.ts';
import { TestAuthority } from '../harness/test-authority.ts';

/** Round-trip time between the agent's machine and both server and store. */
const ROUND_TRIP_MS = 200;
/**
 * The added duration of a pull over a longer link, divided by the added round-trip time, is the number of round trips:
 * a busy machine delays both measurements alike.
 */
const LONG_ROUND_TRIP_MS = 1000;
/** Set `ROUND_TRIP_FILES=1000` for more. */
const FILES = Number(process.env['ROUND_TRIP_FILES'] ?? 100);
/** Files for counting round trips: half of them use the long link. */
const SINGLE_FILES = 16;
/** Files of a lane are sequential, so that no file waits for a slot at the agent. */
const LANES = 8;

async function pull(stage: Stage, path: string): Promise<number> {
  const startedAt = performance.now();
  const record = await stage.client.triggerDownload('till', { file_path: path }, { waitSeconds: 60 });
  assert.equal(record.status, 'completed', record.message ?? '');
  assert.equal(record.verification, 'full_object');
  return Math.round(performance.now() - startedAt);
}

async function smallFiles(stage: Stage, count: number, prefix = ''): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => stage.directory.join(`${prefix}${index}.bin`));
  await Promise.all(names.map((name, index) => writeFile(name, Buffer.alloc(1024, index))));
  return names;
}

describe('a file of 1 KiB, 200 ms away, from trigger to verified record', () => {
  test('takes three round trips on warm connections', async (t) => {
    await using stage = await Stage.start({ networkFaults: true, storeNetworkFaults: true });
    const places = ['--max-uploads', String(LANES), '--parallel-parts', String(LANES)];
    await stage.startAgent('till', ['--allow', stage.directory.path, ...places]);
    const names = await smallFiles(stage, FILES);
    const delayBy = (roundTripMs: number) => {
      for (const line of [stage.network, stage.storeNetwork])
        line.delay(roundTripMs / 2, { handshake: true });
    };
    delayBy(ROUND_TRIP_MS);
    const lanes = await Promise.all(
      Array.from({ length: LANES }, async (_, lane) => {
        const times: number[] = [];
        for (const name of names.filter((_, index) => index % LANES === lane))
          times.push(await pull(stage, name));
        return times;
      }),
    );
    // The first pull of each lane opens its connection to the store.
    const warm = lanes.flatMap((times) => times.slice(1)).sort((a, b) => a - b);
    const at = (share: number) => warm[Math.floor((warm.length - 1) * share)] ?? 0;
    t.diagnostic(`${FILES} files: median ${at(0.5)} ms, 90 % within ${at(0.9)} ms, the slowest ${at(1)} ms`);
    assert.ok(stage.network.fired.delay > 3 * FILES && stage.storeNetwork.fired.delay > FILES);

    // These pulls are sequential and alternate: in parallel they would compete for CPU time, more so over the short
    // link.
    const fastest = { near: Infinity, far: Infinity };
    for (const [index, name] of (await smallFiles(stage, SINGLE_FILES, 'single')).entries()) {
      const isFar = index % 2 === 1;
      delayBy(isFar ? LONG_ROUND_TRIP_MS : ROUND_TRIP_MS);
      const tookMs = await pull(stage, name);
      if (isFar) fastest.far = Math.min(fastest.far, tookMs);
      else fastest.near = Math.min(fastest.near, tookMs);
    }
    const roundTrips = (fastest.far - fastest.near) / (LONG_ROUND_TRIP_MS - ROUND_TRIP_MS);
    t.diagnostic(
      `one by one: ${fastest.near} ms, ${LONG_ROUND_TRIP_MS} ms away ${fastest.far} ms, so ${roundTrips.toFixed(2)} round trips`,
    );
    assert.ok(roundTrips > 2.5 && roundTrips < 3.5, `${roundTrips} round trips`);
  });

  test('takes five while the connection to the store is opened, with TLS', async (t) => {
    await using stage = await Stage.start({ networkFaults: true });
    const authority = await TestAuthority.make(stage.directory);
    const { certFile, keyFile } = await authority.issue('store', '/CN=store', { altName: 'IP:127.0.0.1' });
    const { port } = new URL(stage.s3.endpoint);
    const tls = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (socket) => {
      const store = connect(Number(port), '127.0.0.1');
      socket.pipe(store).pipe(socket);
      for (const [one, other] of [[socket, store] as const, [store, socket] as const]) {
        one.on('error', () => other.destroy()).on('close', () => other.destroy());
      }
    });
    t.after(() => tls.close());
    await once(tls.listen(0, '127.0.0.1'), 'listening');
    const target = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`;
    await using storeLine = await TcpFaultProxy.start({ target });
    await stage.restartServer({ env: { S3_PUBLIC_ENDPOINT: storeLine.endpoint } });
    const policy = ['--ca-file', authority.certFile, '--allow-storage', storeLine.endpoint];
    await stage.startAgent('till', ['--allow', stage.directory.path, ...policy]);
    const names = await smallFiles(stage, 7);
    const pullCold = async (files: string[], roundTripMs: number) => {
      for (const line of [stage.network, storeLine]) line.delay(roundTripMs / 2, { handshake: true });
      const times: number[] = [];
      for (const name of files) {
        storeLine.cut();
        while (storeLine.connectionCount > 0) await sleep(20);
        times.push(await pull(stage, name));
      }
      t.diagnostic(`${roundTripMs} ms away: cold ${times.join(', ')} ms`);
      return times.toSorted((a, b) => a - b)[1] ?? 0;
    };
    // The very first pull includes one-time work of both programs.
    await pull(stage, names[0] ?? '');
    const near = await pullCold(names.slice(1, 4), ROUND_TRIP_MS);
    const far = await pullCold(names.slice(4, 7), LONG_ROUND_TRIP_MS);
    const roundTrips = (far - near) / (LONG_ROUND_TRIP_MS - ROUND_TRIP_MS);
    t.diagnostic(`${roundTrips.toFixed(2)} round trips`);
    assert.ok(roundTrips > 4.5 && roundTrips < 5.5, `${roundTrips} round trips`);
  });
});
