import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Finding } from '@backhaul/protocol';
import { BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import { StoreError } from '../domain/ports/store.ts';
import { createDiagnosis } from './diagnosis.ts';

const clock = { now: () => 0 };
const store = { ping: async () => {} };
const finding: Finding = { name: 's3_checksum', level: 'ok', detail: 'enforced', fix: null };

/** A store that never responds. */
const silent = {
  diagnose: async ({ signal }: CallOptions = {}): Promise<Finding[]> => {
    assert.ok(signal !== undefined);
    await once(signal, 'abort');
    throw signal.reason;
  },
};

test('a diagnosis reports the current findings', async () => {
  const { signal } = new AbortController();
  const diagnose = createDiagnosis({
    bucket: { diagnose: async () => [finding] },
    store,
    clock,
    shutdown: signal,
  });
  const { findings, server_time: at } = await diagnose();
  assert.deepEqual(findings, [{ name: 'database', level: 'ok', detail: 'writable', fix: null }, finding]);
  assert.equal(at, '1970-01-01T00:00:00.000Z');
});

test('a running diagnosis does not delay a shutdown', async () => {
  const shutdown = new AbortController();
  const asked = createDiagnosis({ bucket: silent, store, clock, shutdown: shutdown.signal })();
  shutdown.abort();
  await assert.rejects(asked, { code: 'shutting_down' });
});

test('a store that never responds is unavailable; a store that refuses is reported with its error', async () => {
  const { signal } = new AbortController();
  const late = createDiagnosis({ bucket: silent, store, clock, shutdown: signal, storeTimeoutMs: 10 });
  await assert.rejects(late(), { code: 'storage_unavailable', message: /0.01 s/ });
  const refusal = new BucketError('refused', 'no');
  const diagnose = () => Promise.reject(refusal);
  await assert.rejects(createDiagnosis({ bucket: { diagnose }, store, clock, shutdown: signal })(), refusal);
});

test('a database that refuses writes is one finding and does not abort the diagnosis', async () => {
  const { signal } = new AbortController();
  const refusing = { ping: () => Promise.reject(new StoreError('the file is missing')) };
  const bucket = { diagnose: async () => [finding] };
  const { findings } = await createDiagnosis({ bucket, store: refusing, clock, shutdown: signal })();
  assert.deepEqual(
    findings.map(({ name, level, detail }) => [name, level, detail]),
    [
      ['database', 'error', 'the file is missing'],
      ['s3_checksum', 'ok', 'enforced'],
    ],
  );
});
