import assert from 'node:assert/strict';
import { uploadStatuses, isTerminal } from '@backhaul/protocol';
import { storeTests } from './store-conformance.ts';
import { sampleAudit, sampleUpload, sampleUploadIn } from '../harness/server/sample-upload.ts';
import type { Store } from '../../packages/server/src/domain/ports/store.ts';
import type { Upload } from '../../packages/server/src/domain/uploads/upload.ts';

const AT = Date.UTC(2025, 10, 1);
const join = sampleAudit({ action: 'upload.join' });

/**
 * Tests of the contract of {@link Store} for requests that meet existing uploads.
 *
 * @param open Opens an empty store; the suite closes it.
 */
export function testInsertConformance(name: string, open: () => Promise<Store>): void {
  const storeTest = storeTests(name, open);
  const insert = async (store: Store, ...uploads: Upload[]): Promise<void> => {
    for (const upload of uploads) assert.equal(await store.insertUpload(upload, sampleAudit()), undefined);
  };

  for (const status of uploadStatuses) {
    const isJoined = !isTerminal(status);
    storeTest(
      `an insert that may join ${isJoined ? 'joins' : 'does not join'} an upload that is ${status}`,
      async (store) => {
        const first = sampleUploadIn(status);
        await insert(store, first);
        const second = sampleUpload({ createdAt: AT + 1 });
        const existing = await store.insertUpload(second, sampleAudit(), { join });
        assert.deepEqual(existing, isJoined ? first : undefined);
        assert.deepEqual(await store.getUpload(first.uploadId), first, 'the deadline was not later');
        assert.equal((await store.getUpload(second.uploadId)) === undefined, isJoined);
      },
    );
  }

  storeTest('an insert joins only the same client, path, change policy and limits', async (store) => {
    await insert(store, sampleUpload());
    const others = [
      { clientId: 'client-2' },
      { filePath: '/data/report.bin2' },
      { onChange: 'prefix' },
      { limits: { parallel_parts: 1 } },
      { limits: { parallel_parts: 2 } },
    ] as const;
    for (const other of others) {
      assert.equal(await store.insertUpload(sampleUpload(other), sampleAudit(), { join }), undefined);
    }
    assert.equal((await store.listUploads({ limit: 10 })).length, 6);
  });

  storeTest('an insert does not join an upload to be cancelled', async (store) => {
    const doomed = { cancelRequestedBy: 'operator-2', cancelRequestedAt: AT };
    await insert(store, { ...sampleUploadIn('completing'), ...doomed });
    assert.equal(await store.insertUpload(sampleUpload(), sampleAudit(), { join }), undefined);
  });

  storeTest('an insert joins the newest of several', async (store) => {
    const several = [AT + 1, AT + 3, AT + 2].map((createdAt) => sampleUpload({ createdAt }));
    await insert(store, ...several);
    assert.deepEqual(await store.insertUpload(sampleUpload(), sampleAudit(), { join }), several[1]);
  });

  storeTest('of concurrent inserts that may join, one inserts', async (store) => {
    const racers = Array.from({ length: 10 }, () => sampleUpload());
    const outcomes = await Promise.all(
      racers.map((racer) => store.insertUpload(racer, sampleAudit(), { join })),
    );
    const winner = racers[outcomes.indexOf(undefined)];
    assert.equal(outcomes.filter((existing) => existing === undefined).length, 1);
    for (const existing of outcomes) if (existing !== undefined) assert.deepEqual(existing, winner);
    assert.equal((await store.listUploads({ limit: 20 })).length, 1);
  });

  storeTest('joining can only extend the deadline, under a new version', async (store) => {
    const first = sampleUploadIn('uploading');
    await insert(store, first);
    const later = sampleUpload({ createdAt: AT + 5, expiresAt: first.expiresAt + 1 });
    const extended = await store.insertUpload(later, sampleAudit(), { join });
    assert.deepEqual(extended, {
      ...first,
      expiresAt: first.expiresAt + 1,
      version: first.version + 1,
      updatedAt: AT + 5,
    });
    assert.deepEqual(await store.getUpload(first.uploadId), extended);
    const stale = { ...first, reason: 'stale', version: first.version + 1 };
    assert.equal(await store.saveUpload(stale, { expectedVersion: first.version }), false);
    const earlier = sampleUpload({ createdAt: AT + 9, expiresAt: first.expiresAt - 1 });
    assert.deepEqual(await store.insertUpload(earlier, sampleAudit(), { join }), extended);
  });

  storeTest('a matching key takes precedence over joining', async (store) => {
    const keyed = sampleUpload({ idempotencyKey: 'key-1', filePath: '/a' });
    await insert(store, keyed, sampleUpload());
    const again = sampleUpload({ idempotencyKey: 'key-1', expiresAt: AT + 2 ** 40 });
    assert.deepEqual(await store.insertUpload(again, sampleAudit(), { join }), keyed);
    assert.deepEqual(await store.getUpload(keyed.uploadId), keyed);
  });

  storeTest('keys store the terms of their own request and return the current upload', async (store) => {
    const first = sampleUpload({ idempotencyKey: 'key-1' });
    await store.insertUpload(first, sampleAudit(), { terms: 'first' });
    const joining = sampleUpload({ idempotencyKey: 'key-2', requestedBy: 'operator-2' });
    await store.insertUpload(joining, sampleAudit(), { terms: 'second', join });
    const ended = { ...sampleUploadIn('failed'), uploadId: first.uploadId, idempotencyKey: 'key-1' };
    await store.saveUpload(ended, { expectedVersion: first.version });
    assert.deepEqual(await store.findByIdempotencyKey('operator-1', 'key-1'), {
      upload: ended,
      terms: 'first',
    });
    assert.deepEqual(await store.findByIdempotencyKey('operator-2', 'key-2'), {
      upload: ended,
      terms: 'second',
    });
    assert.equal(await store.findByIdempotencyKey('operator-1', 'key-2'), undefined);
    const late = sampleUpload({ idempotencyKey: 'key-2', requestedBy: 'operator-2' });
    assert.deepEqual(await store.insertUpload(late, sampleAudit(), { join }), ended);
    await insert(store, sampleUpload({ idempotencyKey: 'key-3' }));
    assert.equal((await store.findByIdempotencyKey('operator-1', 'key-3'))?.terms, null);
  });

  storeTest('all keys of an upload are deleted with it, and only those', async (store) => {
    const ways = {
      deleted: (upload: Upload) => store.deleteUpload(upload.uploadId, sampleAudit()),
      retained: () => store.removeOlderThan(AT + 60_000, 10),
    };
    for (const [way, remove] of Object.entries(ways)) {
      const upload = sampleUpload({ idempotencyKey: `${way}-1`, filePath: `/${way}` });
      const other = sampleUpload({ idempotencyKey: `${way}-3`, filePath: '/other' });
      await insert(store, upload, other);
      const joining = sampleUpload({ idempotencyKey: `${way}-2`, filePath: `/${way}` });
      await store.insertUpload(joining, sampleAudit(), { join });
      const ended = { ...sampleUploadIn('completed'), uploadId: upload.uploadId, filePath: `/${way}` };
      await store.saveUpload(ended, { expectedVersion: upload.version });
      await remove(upload);
      assert.equal(await store.getUpload(upload.uploadId), undefined, way);
      for (const key of [`${way}-1`, `${way}-2`]) {
        assert.equal(await store.findByIdempotencyKey('operator-1', key), undefined);
        await insert(store, sampleUpload({ idempotencyKey: key }));
      }
      assert.deepEqual((await store.findByIdempotencyKey('operator-1', `${way}-3`))?.upload, other);
    }
  });

  storeTest('the next deadline is the earliest one in the future', async (store) => {
    assert.equal(await store.nextDeadline(AT), undefined);
    const deadline = (expiresAt: number) => ({ expiresAt });
    await insert(
      store,
      sampleUpload(deadline(AT + 30)),
      sampleUpload(deadline(AT + 20)),
      sampleUpload(deadline(AT + 10)),
      { ...sampleUploadIn('completing'), ...deadline(AT + 11) },
      { ...sampleUploadIn('cancelled'), ...deadline(AT + 12) },
    );
    assert.equal(await store.nextDeadline(AT), AT + 10);
    assert.equal(await store.nextDeadline(AT + 10), AT + 20, 'a deadline that has passed is not next');
    assert.equal(await store.nextDeadline(AT + 30), undefined);
  });
}
