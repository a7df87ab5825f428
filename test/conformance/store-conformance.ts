import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type UploadStatus, isTerminal, uploadStatuses } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { ClientDescription } from '../../packages/server/src/domain/agents/client.ts';
import { sampleAudit, sampleUpload, sampleUploadIn } from '../harness/server/sample-upload.ts';
import {
  type AuditFilter,
  type ChangedUpload,
  type Store,
  StoreError,
} from '../../packages/server/src/domain/ports/store.ts';
import type { Upload, UploadPart } from '../../packages/server/src/domain/uploads/upload.ts';

const AT = Date.UTC(2025, 10, 1);

const description: ClientDescription = {
  agentVersion: '1.2.3',
  platform: { os: 'linux', arch: 'x64', hostname: 'till-3' },
  capabilities: ['list_directory'],
  labels: { site: 'berlin', 'floor/room': "it's 3" },
  defaultFilePath: '/data/report.bin',
};

function announced(partNumber: number, fields: Partial<UploadPart> = {}): Omit<UploadPart, 'etag'> {
  return { partNumber, sizeBytes: 5_242_880, crc32: `crc-${partNumber}`, sha256: null, md5: null, ...fields };
}

async function insert(store: Store, ...uploads: Upload[]): Promise<void> {
  for (const upload of uploads) {
    assert.equal(await store.insertUpload(upload, sampleAudit({ uploadId: upload.uploadId })), undefined);
  }
}

const openSession = async (
  store: Store,
  clientId = 'client-1',
  fields: Partial<Parameters<Store['openSession']>[0]> = {},
): Promise<{ readonly epoch: number }> => {
  const opened = await store.openSession({
    clientId,
    sessionId: uuidv7(),
    nodeId: 'node-1',
    at: AT,
    token: { id: 'token-1', issuedAt: AT, expiresAt: AT + 1 },
    remoteAddress: '192.0.2.7',
    description,
    ...fields,
  });
  assert.ok(opened !== undefined, 'its token was replaced');
  return opened;
};

const ids = (uploads: readonly Upload[]): string[] => uploads.map(({ uploadId }) => uploadId);

const changed = (changes: readonly ChangedUpload[]): string[] => ids(changes.map(({ upload }) => upload));

/** `count` uploads, one millisecond apart, oldest first. */
const series = (count: number, fields: Partial<Upload> = {}): Upload[] =>
  Array.from({ length: count }, (_, index) =>
    sampleUpload({ createdAt: AT + index, updatedAt: AT + index, ...fields }),
  );

/** Returns a function that declares a test which gets an empty store. */
export function storeTests(name: string, open: () => Promise<Store>) {
  return (promise: string, run: (store: Store) => Promise<void>): void => {
    test(`${name}: ${promise}`, async () => {
      const store = await open();
      try {
        await run(store);
      } finally {
        await store.close();
      }
    });
  };
}

/**
 * Tests of the contract of {@link Store}.
 *
 * @param open Opens an empty store; the suite closes it.
 */
export function testStoreConformance(name: string, open: () => Promise<Store>): void {
  const storeTest = storeTests(name, open);

  storeTest('an upload is read back with every field, in every status', async (store) => {
    for (const status of uploadStatuses) {
      const upload = sampleUploadIn(status);
      await insert(store, upload);
      assert.deepEqual(await store.getUpload(upload.uploadId), upload);
    }
    assert.equal(await store.getUpload(uuidv7()), undefined);
  });

  storeTest('text, sizes and times are read back exactly', async (store) => {
    const upload = sampleUpload({
      filePath: "C:\\Daten\\Größe 😀 '; drop table uploads; --",
      reason: 'zeile\neins',
      sizeBytes: Number.MAX_SAFE_INTEGER,
      bytesUploaded: 2 ** 52 + 1,
      expiresAt: 253_402_300_799_999,
      fingerprint: { device: '-1', inode: '18446744073709551615', size: '1', mtime_ns: '2', ctime_ns: '3' },
    });
    await insert(store, upload);
    assert.deepEqual(await store.getUpload(upload.uploadId), upload);
  });

  storeTest(
    'an idempotency key is unique per subject: the second insert returns the first upload',
    async (store) => {
      const first = sampleUpload({ idempotencyKey: 'key-1', requestedBy: 'operator-1' });
      await insert(store, first);
      const again = sampleUpload({ idempotencyKey: 'key-1', requestedBy: 'operator-1' });
      assert.deepEqual(await store.insertUpload(again, sampleAudit()), first);
      assert.equal(await store.getUpload(again.uploadId), undefined);
      await insert(store, sampleUpload({ idempotencyKey: 'key-1', requestedBy: 'operator-2' }));
      await insert(store, sampleUpload({ idempotencyKey: 'key-2', requestedBy: 'operator-1' }));
    },
  );

  storeTest('of concurrent inserts with one key, one wins', async (store) => {
    const racers = Array.from({ length: 10 }, () => sampleUpload({ idempotencyKey: 'key-1' }));
    const outcomes = await Promise.all(racers.map((racer) => store.insertUpload(racer, sampleAudit())));
    assert.equal(outcomes.filter((existing) => existing === undefined).length, 1);
    const winner = racers[outcomes.indexOf(undefined)];
    for (const existing of outcomes) if (existing !== undefined) assert.deepEqual(existing, winner);
  });

  storeTest('uploads without an idempotency key never conflict', async (store) => {
    await insert(store, ...series(3, { idempotencyKey: null }));
    assert.equal((await store.listUploads({ limit: 10 })).length, 3);
  });

  storeTest('the same upload_id twice is a StoreError, and the first stays', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    await assert.rejects(store.insertUpload({ ...upload, reason: 'other' }, sampleAudit()), StoreError);
    assert.deepEqual(await store.getUpload(upload.uploadId), upload);
  });

  storeTest('a save happens only at the expected version', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    const next: Upload = { ...sampleUploadIn('uploading'), uploadId: upload.uploadId, version: 2 };
    assert.equal(await store.saveUpload(next, { expectedVersion: 1 }), true);
    assert.deepEqual(await store.getUpload(upload.uploadId), next);
    for (const expectedVersion of [0, 1, 3]) {
      assert.equal(
        await store.saveUpload({ ...next, reason: 'late', version: 9 }, { expectedVersion }),
        false,
      );
    }
    assert.equal(await store.saveUpload({ ...next, uploadId: uuidv7() }, { expectedVersion: 2 }), false);
    assert.deepEqual(await store.getUpload(upload.uploadId), next);
  });

  storeTest('of concurrent saves at the same version, one wins', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    const outcomes = await Promise.all(
      ['a', 'b', 'c', 'd'].map((reason) =>
        store.saveUpload({ ...upload, reason, version: 2 }, { expectedVersion: 1 }),
      ),
    );
    assert.deepEqual(outcomes.filter(Boolean), [true]);
    const stored = await store.getUpload(upload.uploadId);
    assert.equal(stored?.reason, ['a', 'b', 'c', 'd'][outcomes.indexOf(true)]);
  });

  storeTest('data saved with a version is written with it, or not at all', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    const parts = [announced(1), announced(2)];
    const next = { ...upload, version: 2 };
    assert.equal(await store.saveUpload(next, { expectedVersion: 7, announced: parts }), false);
    assert.deepEqual(await store.listParts(upload.uploadId), []);
    assert.equal(await store.saveUpload(next, { expectedVersion: 1, announced: parts }), true);
    assert.equal((await store.listParts(upload.uploadId)).length, 2);
    assert.equal(
      await store.saveUpload({ ...next, version: 3 }, { expectedVersion: 1, clearParts: true }),
      false,
    );
    assert.equal((await store.listParts(upload.uploadId)).length, 2);
    assert.equal(
      await store.saveUpload({ ...next, version: 3 }, { expectedVersion: 2, clearParts: true }),
      true,
    );
    assert.deepEqual(await store.listParts(upload.uploadId), []);
  });

  storeTest('deleting an upload deletes its parts and frees its idempotency key', async (store) => {
    const upload = sampleUpload({ idempotencyKey: 'key-1' });
    const other = sampleUpload();
    await insert(store, upload, other);
    await store.announceParts(upload.uploadId, [announced(1)]);
    await store.announceParts(other.uploadId, [announced(1)]);
    await store.deleteUpload(upload.uploadId, sampleAudit({ action: 'upload.delete' }));
    assert.equal(await store.getUpload(upload.uploadId), undefined);
    assert.deepEqual(await store.listParts(upload.uploadId), []);
    assert.equal((await store.listParts(other.uploadId)).length, 1);
    await insert(store, sampleUpload({ idempotencyKey: 'key-1' }));
  });

  storeTest('uploads are listed newest first, filtered by client and status', async (store) => {
    const uploads = series(4);
    const foreign = sampleUpload({ clientId: 'client-2', createdAt: AT + 100 });
    const ended = { ...sampleUploadIn('failed'), createdAt: AT + 200 };
    await insert(store, ...uploads, foreign, ended);
    assert.deepEqual(
      ids(await store.listUploads({ limit: 10 })),
      ids([ended, foreign, ...uploads.toReversed()]),
    );
    assert.deepEqual(ids(await store.listUploads({ limit: 10, clientId: 'client-2' })), ids([foreign]));
    assert.deepEqual(ids(await store.listUploads({ limit: 10, status: 'failed' })), ids([ended]));
    assert.deepEqual(await store.listUploads({ limit: 10, status: 'failed', clientId: 'client-2' }), []);
    assert.deepEqual(ids(await store.listUploads({ limit: 2 })), ids([ended, foreign]));
  });

  storeTest('paging by cursor returns every upload once, also those of one millisecond', async (store) => {
    const uploads = Array.from({ length: 23 }, (_, index) =>
      sampleUpload({ createdAt: AT + Math.floor(index / 7) }),
    );
    await insert(store, ...uploads);
    const seen: string[] = [];
    let after: { createdAt: number; uploadId: string } | undefined;
    for (let pages = 0; ; pages += 1) {
      assert.ok(pages < 20, 'paging ends');
      const page = await store.listUploads({ limit: 4, after });
      seen.push(...ids(page));
      const last = page.at(-1);
      if (last === undefined) break;
      after = { createdAt: last.createdAt, uploadId: last.uploadId };
      // Triggered meanwhile: newer than any following page.
      await insert(store, sampleUpload({ createdAt: AT + 1000 }));
    }
    assert.deepEqual([...seen].sort(), ids(uploads).sort());
  });

  storeTest(
    'active uploads of a client are listed running ones first, then oldest first, up to a limit',
    async (store) => {
      const byStatus = new Map<UploadStatus, Upload>();
      for (const [index, status] of uploadStatuses.entries()) {
        const upload = { ...sampleUploadIn(status), createdAt: AT - index };
        byStatus.set(status, upload);
        await insert(store, upload);
      }
      const foreign = sampleUpload({ clientId: 'client-2', createdAt: AT - 100 });
      await insert(store, foreign);
      const older = sampleUpload({ createdAt: AT - 1000 });
      await insert(store, older);
      const active = await store.listActiveUploads('client-1', { limit: 10 });
      assert.deepEqual(
        active.map(({ status }) => status),
        ['completing', 'uploading', 'preparing', 'queued', 'queued'],
      );
      assert.equal(active[3]?.uploadId, older.uploadId);
      assert.equal((await store.listActiveUploads('client-1', { limit: 2 })).length, 2);
      assert.deepEqual(await store.listActiveUploads('client-3', { limit: 10 }), []);
    },
  );

  storeTest('running and waiting uploads are listed separately by client', async (store) => {
    const running = [sampleUploadIn('preparing'), sampleUploadIn('uploading')];
    const rest = uploadStatuses.filter((status) => status !== 'queued').map(sampleUploadIn);
    const queue = series(3);
    await insert(store, ...queue.toReversed(), ...running);
    await insert(
      store,
      ...rest.map((upload) => ({ ...upload, clientId: 'client-2' })),
      sampleUpload({ clientId: 'client-3' }),
    );
    assert.deepEqual((await store.listRunningIds('client-1')).sort(), ids(running).sort());
    assert.deepEqual(await store.listRunningIds('client-3'), []);
    const queued = (clientId: string, limit: number) =>
      store.listQueuedIds(clientId, { now: AT, maxWaitMs: 1000, limit });
    assert.deepEqual(await queued('client-1', 2), ids(queue).slice(0, 2));
    assert.deepEqual(await queued('client-1', 10), ids(queue));
    assert.deepEqual(await queued('client-2', 10), []);
    assert.deepEqual((await store.listWaitingClients()).sort(), ['client-1', 'client-3']);
    assert.deepEqual(
      await store.listCompletingIds(),
      ids(rest.filter(({ status }) => status === 'completing')),
    );
  });

  storeTest(
    'unanswered uploads are those whose connected agent was asked before a given time',
    async (store) => {
      const asked = { ...sampleUploadIn('preparing'), startedAt: AT };
      await insert(
        store,
        asked,
        { ...sampleUploadIn('preparing'), startedAt: AT + 1 },
        { ...sampleUploadIn('preparing'), startedAt: AT, stalledSince: AT },
        ...uploadStatuses
          .filter((status) => status !== 'preparing')
          .map((status) => ({ ...sampleUploadIn(status), startedAt: AT })),
      );
      const between = (before: number, orAfter = AT + 1) => ({ before, orAfter });
      assert.deepEqual(await store.listUnansweredIds(between(AT + 1), 10), [asked.uploadId]);
      assert.deepEqual(await store.listUnansweredIds(between(AT), 10), []);
      assert.equal((await store.listUnansweredIds(between(AT, AT), 10)).length, 1, 'from the future');
      await insert(store, { ...sampleUploadIn('preparing'), startedAt: AT });
      assert.equal((await store.listUnansweredIds(between(AT + 1), 1)).length, 1);
    },
  );

  storeTest('the last upload of a client is the one created last, in any status', async (store) => {
    const older = sampleUpload({ createdAt: AT });
    const newer = { ...sampleUploadIn('failed'), createdAt: AT + 1 };
    await insert(store, newer, older, sampleUpload({ clientId: 'client-2', createdAt: AT + 2 }));
    assert.equal((await store.lastUpload('client-1'))?.uploadId, newer.uploadId);
    assert.equal(await store.lastUpload('client-3'), undefined);
  });

  storeTest('changes are listed in sequence, whatever the uploads’ times are', async (store) => {
    const [first, second, third] = series(3);
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    await insert(store, third, first, second);
    const start = { change: 0, uploadId: '' };
    assert.deepEqual(changed(await store.listChangesAfter(start, 10)), ids([third, first, second]));
    assert.deepEqual(changed(await store.listChangesAfter(start, 2)), ids([third, first]));
    const seen = (await store.listChangesAfter(start, 10)).at(-1);
    assert.ok(seen !== undefined);
    assert.equal(await store.lastChange(), seen.change);
    // An hour back.
    await store.saveUpload({ ...third, version: 2, updatedAt: AT - 3_600_000 }, { expectedVersion: 1 });
    const after = { change: seen.change, uploadId: seen.upload.uploadId };
    assert.deepEqual(changed(await store.listChangesAfter(after, 10)), [third.uploadId]);
    assert.ok((await store.lastChange()) > seen.change);
    assert.deepEqual(
      changed(await store.listChangesAfter({ change: seen.change, uploadId: '' }, 10)),
      ids([second, third]),
    );
    assert.deepEqual(
      await store.listChangesAfter({ change: (await store.lastChange()) + 1, uploadId: '' }, 10),
      [],
    );
  });

  storeTest('the number of a removed change is not reused', async (store) => {
    const [first, second] = series(2);
    assert.ok(first !== undefined && second !== undefined);
    await insert(store, first);
    const before = await store.lastChange();
    await store.deleteUpload(first.uploadId, sampleAudit());
    await insert(store, { ...second, updatedAt: AT - 1000 });
    assert.ok((await store.lastChange()) > before);
  });

  storeTest('a deadline moved by a joining request is a change', async (store) => {
    const active = sampleUpload();
    await insert(store, active);
    const before = await store.lastChange();
    const joining = sampleUpload({ createdAt: AT - 1000, expiresAt: active.expiresAt + 1 });
    await store.insertUpload(joining, sampleAudit(), { join: sampleAudit() });
    assert.deepEqual(changed(await store.listChangesAfter({ change: before + 1, uploadId: '' }, 10)), [
      active.uploadId,
    ]);
  });

  storeTest('uploads that changed together are all listed, even with small pages', async (store) => {
    await openSession(store, 'client-1', { nodeId: 'node-1' });
    const together = [1, 2, 3].map(() => sampleUploadIn('uploading'));
    await insert(store, ...together);
    let position = { change: (await store.lastChange()) + 1, uploadId: '' };
    await store.closeSessionsOf('node-1', { at: AT - 1000, reason: 'offline' });
    const listed: string[] = [];
    for (;;) {
      const [next, ...others] = await store.listChangesAfter(position, 1);
      assert.equal(others.length, 0);
      if (next === undefined) break;
      listed.push(next.upload.uploadId);
      position = { change: next.change, uploadId: next.upload.uploadId };
    }
    assert.deepEqual(listed, ids(together).sort());
  });

  storeTest(
    'overdue uploads are those at their deadline that are neither ended nor completing',
    async (store) => {
      const overdue: string[] = [];
      for (const status of uploadStatuses) {
        const due = { ...sampleUploadIn(status), expiresAt: AT };
        await insert(store, due, { ...sampleUploadIn(status), expiresAt: AT + 1 });
        if (!isTerminal(status) && status !== 'completing') overdue.push(due.uploadId);
      }
      assert.deepEqual((await store.listOverdueIds(AT, 100)).sort(), overdue.sort());
      assert.equal((await store.listOverdueIds(AT, 2)).length, 2);
    },
  );

  storeTest('deadlines follow a clock that was set back, except those that had passed', async (store) => {
    const [passed, near, ended] = [
      sampleUpload({ expiresAt: AT }),
      sampleUploadIn('completing'),
      sampleUploadIn('completed'),
    ];
    const isNew = sampleUpload({ createdAt: AT - 3_600_000, expiresAt: AT + 10 });
    const upload = { ...near, expiresAt: AT + 1 };
    await insert(store, passed, upload, { ...ended, expiresAt: AT + 1 }, isNew);
    const now = AT - 3_600_000;
    const before = await store.lastChange();
    const moved = await store.moveDeadlines({
      now,
      jumpMs: -3_600_000,
      maxGraceMs: 1000,
      newSince: now - 5,
    });
    assert.equal(moved, 1);
    assert.deepEqual(await store.getUpload(upload.uploadId), {
      ...upload,
      expiresAt: now + 1,
      version: upload.version + 1,
      updatedAt: now,
    });
    assert.deepEqual(changed(await store.listChangesAfter({ change: before + 1, uploadId: '' }, 10)), [
      upload.uploadId,
    ]);
    for (const same of [passed, isNew]) assert.deepEqual(await store.getUpload(same.uploadId), same);
  });

  storeTest('deadlines that a clock skipped get their remaining time again, up to a limit', async (store) => {
    const jumpMs = 3_600_000;
    const now = AT + jumpMs;
    // By the clock before it was set: passed; soon; within the limit, and beyond it, of the time skipped; after it.
    const given = [0, 1, 999, 5000, jumpMs + 999, jumpMs + 1000];
    const uploads = given.map((ms) => sampleUpload({ createdAt: AT - 1, expiresAt: AT + ms }));
    await insert(store, ...uploads);
    await store.moveDeadlines({ now, jumpMs, maxGraceMs: 1000, newSince: now - 5 });
    const left = await Promise.all(
      uploads.map(async ({ uploadId }) => ((await store.getUpload(uploadId))?.expiresAt ?? 0) - now),
    );
    assert.deepEqual(left, [-jumpMs, 1, 999, 1000, 1000, 1000]);
  });

  storeTest('the clock record is stored', async (store) => {
    assert.deepEqual(await store.getClockRecord(), { trustedAt: null, isHeld: false });
    await store.saveClockRecord({ trustedAt: AT, isHeld: true });
    assert.deepEqual(await store.getClockRecord(), { trustedAt: AT, isHeld: true });
  });

  storeTest('uploads with an open multipart upload are listed once they have ended', async (store) => {
    const open: string[] = [];
    for (const status of uploadStatuses) {
      const upload = { ...sampleUploadIn(status), multipartOpen: true };
      await insert(store, upload, { ...sampleUploadIn(status), multipartOpen: false });
      if (isTerminal(status)) open.push(upload.uploadId);
    }
    assert.deepEqual(ids(await store.listUploadsWithOpenMultipart(100)).sort(), open.sort());
    const waiting = { ...sampleUploadIn('failed'), updatedAt: AT - 1 };
    await insert(store, waiting);
    assert.deepEqual(ids(await store.listUploadsWithOpenMultipart(1)), [waiting.uploadId]);
  });

  storeTest('uploads are counted by status, and the oldest queued one is found', async (store) => {
    assert.deepEqual(await store.countUploadsByStatus(), {});
    assert.equal(await store.oldestQueuedAt(), undefined);
    await insert(store, ...series(3), { ...sampleUploadIn('failed'), createdAt: AT - 1000 });
    assert.deepEqual(await store.countUploadsByStatus(), { queued: 3, failed: 1 });
    assert.equal(await store.oldestQueuedAt(), AT);
  });

  storeTest('unfinished uploads are counted by client, and by requesting subject', async (store) => {
    const other = { ...sampleUploadIn('uploading'), clientId: 'client-2', requestedBy: 'operator-2' };
    await insert(store, ...series(3), sampleUploadIn('failed'), other);
    assert.equal(await store.countUnfinished({ clientId: 'client-1' }), 3);
    assert.equal(await store.countUnfinished({ clientId: 'client-2' }), 1);
    assert.equal(await store.countUnfinished({ requestedBy: 'operator-1' }), 3);
    assert.equal(await store.countUnfinished({ requestedBy: 'operator-2' }), 1);
    assert.equal(await store.countUnfinished({ requestedBy: 'operator-3' }), 0);
  });

  storeTest('the longest stall of unfinished uploads is found', async (store) => {
    await insert(store, sampleUploadIn('uploading'), { ...sampleUploadIn('failed'), stalledSince: AT - 9 });
    assert.equal(await store.oldestStalledSince(), undefined);
    const queued = { ...sampleUploadIn('queued'), stalledSince: AT + 7 };
    await insert(store, queued, { ...sampleUploadIn('completing'), stalledSince: AT + 5 });
    assert.equal(await store.oldestStalledSince(), AT + 5);
  });

  storeTest('parts are listed by number, with S3’s ETags', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    await store.announceParts(upload.uploadId, [announced(10), announced(2, { sha256: 's', md5: 'm' })]);
    await store.announceParts(upload.uploadId, [announced(1, { sizeBytes: 7 })]);
    const totals = await store.recordUploadedParts(upload.uploadId, [
      { partNumber: 1, etag: '"one"' },
      { partNumber: 10, etag: '"ten"' },
      { partNumber: 99, etag: '"never announced"' },
    ]);
    assert.deepEqual(totals, { partsCompleted: 2, bytesUploaded: 5_242_887 });
    assert.deepEqual(await store.listParts(upload.uploadId), [
      { ...announced(1, { sizeBytes: 7 }), etag: '"one"' },
      { ...announced(2, { sha256: 's', md5: 'm' }), etag: null },
      { ...announced(10), etag: '"ten"' },
    ]);
  });

  storeTest('totals cover all parts so far, and a repeated report changes nothing', async (store) => {
    const upload = sampleUpload();
    const other = sampleUpload();
    await insert(store, upload, other);
    assert.deepEqual(await store.recordUploadedParts(upload.uploadId, []), {
      partsCompleted: 0,
      bytesUploaded: 0,
    });
    await store.announceParts(upload.uploadId, [announced(1), announced(2)]);
    await store.announceParts(other.uploadId, [announced(1)]);
    await store.recordUploadedParts(other.uploadId, [{ partNumber: 1, etag: '"other"' }]);
    await store.recordUploadedParts(upload.uploadId, [{ partNumber: 1, etag: '"one"' }]);
    const report = [{ partNumber: 2, etag: '"two"' }];
    for (let times = 0; times < 2; times += 1) {
      assert.deepEqual(await store.recordUploadedParts(upload.uploadId, report), {
        partsCompleted: 2,
        bytesUploaded: 2 * 5_242_880,
      });
    }
  });

  storeTest('ten thousand parts are reported without blocking other work', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    const numbers = Array.from({ length: 10_000 }, (_, index) => index + 1);
    for (let start = 0; start < numbers.length; start += 1000) {
      const some = numbers.slice(start, start + 1000);
      await store.announceParts(
        upload.uploadId,
        some.map((number) => announced(number)),
      );
    }
    const startedAt = performance.now();
    const totals = await store.recordUploadedParts(
      upload.uploadId,
      numbers.map((partNumber) => ({ partNumber, etag: `"${partNumber}"` })),
    );
    // It took 21 s when each report was looked up among all parts, and takes 50 ms.
    assert.ok(performance.now() - startedAt < 3000, `it took ${performance.now() - startedAt} ms`);
    assert.equal(totals.partsCompleted, numbers.length);
  });

  storeTest('bytes of parts beyond 2^32 add up', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    const sizeBytes = 5 * 2 ** 30;
    await store.announceParts(upload.uploadId, [announced(1, { sizeBytes }), announced(2, { sizeBytes })]);
    const totals = await store.recordUploadedParts(upload.uploadId, [
      { partNumber: 1, etag: '"1"' },
      { partNumber: 2, etag: '"2"' },
    ]);
    assert.equal(totals.bytesUploaded, 10 * 2 ** 30);
  });

  const known = (partNumber: number, fields: Partial<UploadPart> = {}) =>
    announced(partNumber, { sha256: 'sha', md5: 'md5', ...fields });
  for (const [what, fields] of [
    ['length', { sizeBytes: 1 }],
    ['CRC32', { crc32: 'other' }],
    ['SHA-256', { sha256: 'other' }],
    ['MD5', { md5: 'other' }],
  ] as const) {
    storeTest(
      `a part announced again with another ${what} is reported, and nothing is written`,
      async (store) => {
        const upload = sampleUpload();
        await insert(store, upload);
        assert.deepEqual(await store.announceParts(upload.uploadId, [known(1), announced(2)]), []);
        await store.recordUploadedParts(upload.uploadId, [
          { partNumber: 1, etag: '"one"' },
          { partNumber: 2, etag: '"two"' },
        ]);
        const onRecord = [
          { ...known(1), etag: '"one"' },
          { ...announced(2), etag: '"two"' },
        ];
        assert.deepEqual(await store.announceParts(upload.uploadId, [known(1), announced(2)]), []);
        assert.deepEqual(await store.listParts(upload.uploadId), onRecord, 'announced again unchanged');
        assert.deepEqual(
          await store.announceParts(upload.uploadId, [announced(3), known(1, fields), announced(2)]),
          [1],
        );
        assert.deepEqual(await store.listParts(upload.uploadId), onRecord, 'nor the new part');
      },
    );
  }

  storeTest('a checksum present in only one of two announcements is not compared', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    await store.announceParts(upload.uploadId, [announced(1), known(2)]);
    assert.deepEqual(await store.announceParts(upload.uploadId, [known(1), announced(2)]), []);
    assert.deepEqual(await store.listParts(upload.uploadId), [
      { ...announced(1), etag: null },
      { ...known(2), etag: null },
    ]);
  });

  storeTest('after listing, only the parts that S3 has keep an ETag', async (store) => {
    const upload = sampleUpload();
    const other = sampleUpload();
    await insert(store, upload, other);
    for (const { uploadId } of [upload, other]) {
      await store.announceParts(uploadId, [announced(1), announced(2), announced(3)]);
      await store.recordUploadedParts(uploadId, [
        { partNumber: 1, etag: '"one"' },
        { partNumber: 2, etag: '"two"' },
      ]);
    }
    const etags = async ({ uploadId }: Upload) => (await store.listParts(uploadId)).map(({ etag }) => etag);
    const stored = [
      { partNumber: 2, etag: '"two, again"' },
      { partNumber: 3, etag: '"three"' },
      { partNumber: 4, etag: '"never announced"' },
    ];
    const next = { ...upload, version: 2 };
    assert.equal(await store.saveUpload(next, { expectedVersion: 9, stored }), false);
    assert.deepEqual(await etags(upload), ['"one"', '"two"', null], 'with the guard, or not at all');
    assert.equal(await store.saveUpload(next, { expectedVersion: 1, stored }), true);
    assert.deepEqual(await etags(upload), [null, '"two, again"', '"three"']);
    assert.deepEqual(await etags(other), ['"one"', '"two"', null]);
    assert.equal(await store.saveUpload({ ...upload, version: 3 }, { expectedVersion: 2, stored: [] }), true);
    assert.deepEqual(await etags(upload), [null, null, null]);
  });

  storeTest('a queued upload is not listed before its time, and older ones come first', async (store) => {
    const [first, second, third] = series(3);
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    await insert(store, third, { ...first, nextAttemptAt: AT + 10 }, { ...second, nextAttemptAt: AT + 11 });
    const queuedAt = (now: number, limit = 10) =>
      store.listQueuedIds('client-1', { now, maxWaitMs: 1000, limit });
    assert.deepEqual(await queuedAt(AT + 9), ids([third]));
    assert.deepEqual(await queuedAt(AT + 9, 1), ids([third]), 'waiting uploads do not use up the limit');
    assert.deepEqual(await queuedAt(AT + 10), ids([first, third]));
    assert.deepEqual(await queuedAt(AT + 11, 2), ids([first, second]));
    assert.deepEqual(await store.listWaitingClients(), ['client-1']);
    assert.deepEqual(await queuedAt(AT + 11 - 1000), ids([third]));
    const setBack = 'a wait longer than the maximum is from before the clock was set back';
    assert.deepEqual(await queuedAt(AT + 9 - 1000), ids([first, second, third]), setBack);
  });

  storeTest('new parts do not replace those of an earlier attempt', async (store) => {
    const upload = sampleUpload();
    await insert(store, upload);
    await store.announceParts(upload.uploadId, [announced(1)]);
    const next = { ...upload, version: 2 };
    const save = { expectedVersion: 1, announced: [announced(1, { crc32: 'other' })] };
    await assert.rejects(store.saveUpload(next, save), /earlier attempt/);
    assert.equal((await store.getUpload(upload.uploadId))?.version, 1);
    assert.equal(await store.saveUpload(next, { ...save, clearParts: true }), true);
    assert.equal((await store.listParts(upload.uploadId))[0]?.crc32, 'other');
  });

  storeTest('a session records its client with its own description', async (store) => {
    assert.equal(await store.getClient('client-1'), undefined);
    assert.deepEqual(await openSession(store), { epoch: 1 });
    assert.deepEqual(await store.getClient('client-1'), {
      clientId: 'client-1',
      firstSeenAt: AT,
      lastSeenAt: AT,
      ...description,
      epoch: 1,
      connectedSince: AT,
      tokenExpiresAt: AT + 1,
      block: null,
      remoteAddress: '192.0.2.7',
      limits: null,
    });
    const changed: ClientDescription = {
      agentVersion: '2.0.0',
      platform: { os: 'win32', arch: 'arm64', hostname: null },
      capabilities: [],
      labels: {},
      defaultFilePath: null,
    };
    await openSession(store, 'client-1', {
      at: AT + 5,
      token: { id: 'token-2', issuedAt: AT, expiresAt: AT + 9 },
      remoteAddress: null,
      description: changed,
    });
    assert.deepEqual(await store.getClient('client-1'), {
      clientId: 'client-1',
      firstSeenAt: AT,
      lastSeenAt: AT + 5,
      ...changed,
      epoch: 2,
      connectedSince: AT + 5,
      tokenExpiresAt: AT + 9,
      block: null,
      remoteAddress: null,
      limits: null,
    });
  });

  storeTest('each session of a client has a greater epoch, also with concurrent opens', async (store) => {
    const opened = await Promise.all(Array.from({ length: 8 }, () => openSession(store)));
    const epochs = opened.map(({ epoch }) => epoch);
    assert.equal(new Set(epochs).size, 8);
    assert.deepEqual(await openSession(store, 'client-2'), { epoch: 1 }, 'each client counts separately');
  });

  storeTest(
    'a renewed token is recorded once, and its first session replaces the previous token',
    async (store) => {
      const given = { clientId: 'client-1', id: 'given', issuedAt: AT, expiresAt: AT + 3_600_000 };
      const open = (id: string, issuedAt = AT) =>
        openSession(store, 'client-1', { token: { ...given, id, issuedAt } });
      await open('given');
      assert.equal(await store.getChainedToken('given'), undefined);
      const now = AT + 3_000_000;
      const offered = await Promise.all(['a', 'b'].map((newId) => store.offerToken(given, { now, newId })));
      const [next] = offered;
      assert.ok(next !== undefined);
      assert.deepEqual(offered, [next, next], 'also with concurrent offers');
      assert.deepEqual(await store.getChainedToken(next.tokenId), next);
      await open('given');
      await open(next.tokenId);
      await assert.rejects(open('given'), /was replaced/);
      await open(next.tokenId);
      assert.notEqual((await store.getChainedToken('given'))?.replacedAt, null);
      assert.equal((await store.getChainedToken(next.tokenId))?.replacedAt, null);
      assert.equal((await openSession(store, 'client-2')).epoch, 1, 'it replaces no token of another client');
    },
  );

  storeTest(
    'after renewal is stopped nothing is offered until a session uses a later token',
    async (store) => {
      const given = { clientId: 'client-1', id: 'given', issuedAt: AT, expiresAt: AT + 3_600_000 };
      const later = { ...given, id: 'later', issuedAt: AT + 9_000_000, expiresAt: AT + 12_600_000 };
      const next = await store.offerToken(given, { now: AT + 3_000_000, newId: 'next' });
      assert.ok(next !== undefined);
      await store.stopRenewal('client-1', AT + 3_000_001);
      const again = { now: AT + 3_000_002, newId: 'other' };
      assert.equal(await store.offerToken(given, again), undefined);
      assert.equal(await store.offerToken({ ...given, id: 'from before' }, again), undefined);
      await openSession(store, 'client-1', { token: later });
      assert.notEqual((await store.getChainedToken('next'))?.replacedAt, null);
      assert.notEqual(await store.offerToken(later, { now: AT + 12_000_000, newId: 'resumed' }), undefined);
      await store.blockClient('client-1', { blockedAt: AT, blockedBy: 'o', reason: null }, sampleAudit());
      assert.equal(await store.offerToken(later, { now: AT + 12_000_000, newId: 'blocked' }), undefined);
    },
  );

  storeTest('a removed client is unknown, its uploads stay, and its epochs continue', async (store) => {
    await openSession(store);
    await openSession(store);
    const upload = sampleUpload();
    await insert(store, upload);
    await store.deleteClient('client-1', sampleAudit({ action: 'client.forget' }));
    assert.equal(await store.getClient('client-1'), undefined);
    assert.deepEqual(await store.listClients({ limit: 10 }), []);
    assert.notEqual(await store.getUpload(upload.uploadId), undefined);
    assert.deepEqual(await openSession(store, 'client-1', { at: AT + 9 }), { epoch: 3 });
    assert.equal((await store.getClient('client-1'))?.firstSeenAt, AT + 9);
  });

  storeTest('the end of a session is stored, unless a newer one has started', async (store) => {
    const { epoch } = await openSession(store);
    await store.closeSession('client-1', epoch, AT + 5);
    const away = await store.getClient('client-1');
    assert.equal(away?.connectedSince, null);
    assert.equal(away.lastSeenAt, AT + 5);
    await openSession(store, 'client-1', { at: AT + 10 });
    await store.closeSession('client-1', epoch, AT + 7);
    const back = await store.getClient('client-1');
    assert.equal(back?.connectedSince, AT + 10);
    assert.equal(back.lastSeenAt, AT + 10, 'lastSeenAt never decreases');
  });

  storeTest(
    'sessions that a node’s last run left open are closed, and their uploads stalled',
    async (store) => {
      await openSession(store, 'client-1');
      await openSession(store, 'client-2', { nodeId: 'node-2' });
      const running = uploadStatuses.map((status) => ({ ...sampleUploadIn(status), clientId: 'client-1' }));
      const standing = { ...sampleUploadIn('uploading'), stalledSince: AT - 5 };
      const stalled = { ...standing, uploadId: uuidv7(), stalledReason: 'offline' };
      const cutOff = { ...standing, stalledReason: 'The network is down.', nextAttemptAt: AT + 99 };
      const foreign = { ...sampleUploadIn('uploading'), clientId: 'client-2' };
      await insert(store, ...running, stalled, cutOff, foreign);
      await store.closeSessionsOf('node-1', { at: AT + 5, reason: 'offline' });
      assert.equal((await store.getClient('client-1'))?.connectedSince, null);
      assert.notEqual((await store.getClient('client-2'))?.connectedSince, null);
      for (const upload of running) {
        const isRunning = upload.status === 'preparing' || upload.status === 'uploading';
        assert.deepEqual(
          await store.getUpload(upload.uploadId),
          isRunning
            ? {
                ...upload,
                stalledSince: AT + 5,
                stalledReason: 'offline',
                version: upload.version + 1,
                updatedAt: AT + 5,
              }
            : upload,
        );
      }
      assert.deepEqual(await store.getUpload(stalled.uploadId), stalled);
      assert.deepEqual(
        await store.getUpload(cutOff.uploadId),
        {
          ...cutOff,
          stalledReason: 'offline',
          nextAttemptAt: null,
          version: cutOff.version + 1,
          updatedAt: AT + 5,
        },
        'the reason of the stall changes, its start does not',
      );
      assert.deepEqual(await store.getUpload(foreign.uploadId), foreign);
    },
  );

  storeTest('clients are listed by id, by page, by connection and by label', async (store) => {
    for (const clientId of ['b', 'a', 'd', 'c']) {
      await openSession(store, clientId, {
        description: {
          ...description,
          labels: clientId === 'c' ? { site: 'x', berlin: 'site' } : { site: 'berlin', floor: clientId },
        },
      });
    }
    await store.closeSession('b', 1, AT);
    const list = async (
      filter: Omit<Parameters<Store['listClients']>[0], 'limit'>,
      limit = 10,
    ): Promise<string[]> => (await store.listClients({ ...filter, limit })).map(({ clientId }) => clientId);
    assert.deepEqual(await list({}), ['a', 'b', 'c', 'd']);
    assert.deepEqual(await list({}, 2), ['a', 'b']);
    assert.deepEqual(await list({ after: 'b' }), ['c', 'd']);
    assert.deepEqual(await list({ connected: true }), ['a', 'c', 'd']);
    assert.deepEqual(await list({ connected: false }), ['b']);
    assert.deepEqual(await list({ labels: [{ name: 'site', value: 'berlin' }] }), ['a', 'b', 'd']);
    const both = [
      { name: 'site', value: 'berlin' },
      { name: 'floor', value: 'b' },
    ];
    assert.deepEqual(await list({ labels: both }), ['b'], 'all labels match');
    assert.deepEqual(await list({ labels: [{ name: 'site', value: "x' or '1'='1" }] }), []);
    assert.deepEqual(
      await list({ labels: [{ name: 'site', value: 'berlin' }], connected: true, after: 'a' }),
      ['d'],
    );
  });

  storeTest(
    'retention removes uploads that ended before, but no running uploads and none that S3 may still have',
    async (store) => {
      const remaining: string[] = [];
      for (const status of uploadStatuses) {
        const upload = { ...sampleUploadIn(status), multipartOpen: false };
        const ended = isTerminal(status);
        const old = { ...upload, createdAt: AT - 1000, completedAt: ended ? AT - 1 : null };
        const recent = { ...upload, uploadId: uuidv7(), completedAt: ended ? AT : null };
        const open = { ...old, uploadId: uuidv7(), multipartOpen: true };
        await insert(store, old, recent, open);
        remaining.push(recent.uploadId, open.uploadId);
        if (!ended) remaining.push(old.uploadId);
      }
      assert.equal(await store.removeOlderThan(AT, 3), 3, 'no more at once than requested');
      assert.equal(await store.removeOlderThan(AT, 3), 1);
      assert.deepEqual(ids(await store.listUploads({ limit: 100 })).sort(), remaining.sort());
      assert.equal(await store.removeOlderThan(AT, 3), 0);
    },
  );

  storeTest('an audit event comes back in every field', async (store) => {
    const detail = { path: "'\n😀", deep: [1, null] };
    const refusal = { status: 403, error: 'forbidden' };
    const event = sampleAudit({
      clientId: null,
      uploadId: uuidv7(),
      detail,
      address: '2001:db8::1',
      refusal,
    });
    const id = await store.appendAudit({ ...event, count: 3 });
    assert.deepEqual(await store.listAudit({ limit: 10 }), [{ ...event, id, count: 3 }]);
    await store.setAuditCount(id, 9);
    assert.equal((await store.listAudit({ limit: 10 }))[0]?.count, 9);
    const next = await store.appendAudit(sampleAudit());
    assert.ok(next > id);
    const [plain] = await store.listAudit({ limit: 10 });
    assert.deepEqual([plain?.address, plain?.refusal, plain?.count], [null, null, 1]);
  });

  storeTest('audit events are listed newest first, by each filter and page by page', async (store) => {
    const refusal = { status: 403, error: 'forbidden' };
    const events = {
      a: sampleAudit({ at: AT, clientId: 'till-1', actor: 'anna', action: 'client.block' }),
      b: sampleAudit({ at: AT + 5, clientId: 'till-2', actor: 'anna', refusal }),
      c: sampleAudit({ at: AT + 5, clientId: 'till-1', actor: 'ben' }),
      d: sampleAudit({ at: AT + 5, clientId: null, actor: 'ben', refusal: { ...refusal, status: 503 } }),
      // Recorded last, by a clock that was set back.
      e: sampleAudit({ at: AT + 1, clientId: 'till-2', actor: '' }),
    };
    const names = new Map<number, string>();
    for (const [name, event] of Object.entries(events)) names.set(await store.appendAudit(event), name);
    const listed = async (filter: Partial<AuditFilter>): Promise<string> => {
      const found = await store.listAudit({ limit: 10, ...filter });
      return found.map(({ id }) => names.get(id)).join('');
    };
    assert.equal(await listed({}), 'dcbea');
    assert.equal(await listed({ clientId: 'till-1' }), 'ca');
    assert.equal(await listed({ actor: 'anna' }), 'ba');
    assert.equal(await listed({ actor: '' }), 'e');
    assert.equal(await listed({ action: 'upload.trigger' }), 'dcbe');
    assert.equal(await listed({ outcome: 'accepted' }), 'cea');
    assert.equal(await listed({ outcome: 'refused' }), 'b');
    assert.equal(await listed({ outcome: 'failed' }), 'd');
    assert.equal(await listed({ since: AT + 1 }), 'dcbe');
    assert.equal(await listed({ until: AT + 5 }), 'ea');
    assert.equal(await listed({ since: AT + 1, until: AT + 5, clientId: 'till-2' }), 'e');
    let pages = '';
    let after: AuditFilter['after'];
    for (;;) {
      const [event] = await store.listAudit({ limit: 1, after });
      if (event === undefined) break;
      pages += names.get(event.id);
      after = event;
    }
    assert.equal(pages, 'dcbea');
  });

  storeTest(
    'audit events are removed in the order of recording, by age, or by their number',
    async (store) => {
      const recorded: number[] = [];
      const add = async (at: number, actor = 'anna') => {
        recorded.push(await store.appendAudit(sampleAudit({ at, actor })));
      };
      for (const at of [AT, AT + 1, AT + 9]) await add(at);
      // While the clock was behind.
      await add(AT - 1000);
      await add(AT + 10, '');
      await add(AT + 11, '');
      assert.deepEqual(await store.countAudit(), { all: 6, withoutActor: 2 });
      const left = async (): Promise<number[]> => {
        const ids = (await store.listAudit({ limit: 10 })).map(({ id }) => recorded.indexOf(id));
        return ids.toSorted((one, other) => one - other);
      };
      const beforeId = await store.findFirstAudit({ since: AT + 5, until: AT + 10 });
      assert.equal(beforeId, recorded[2]);
      assert.equal(await store.findFirstAudit({ since: AT + 20, until: AT + 30 }), undefined);
      assert.equal(await store.removeAudit({ before: AT + 5, beforeId }, 1), 1, 'no more than asked for');
      assert.equal(await store.removeAudit({ before: AT + 5, beforeId }, 10), 1);
      assert.deepEqual(await left(), [2, 3, 4, 5]);
      assert.equal(await store.removeAudit('without-actor', 1), 1);
      assert.deepEqual(await left(), [2, 3, 5]);
      assert.equal(await store.removeAudit('any', 1), 1);
      assert.deepEqual(await left(), [3, 5]);
      assert.equal(await store.removeAudit({ before: AT + 5, beforeId: undefined }, 10), 1);
      assert.deepEqual(await left(), [5]);
    },
  );

  storeTest('the first time of an event is stored, and replaced only by an earlier one', async (store) => {
    assert.equal(await store.firstTime('one', AT), AT);
    assert.equal(await store.firstTime('one', AT + 1000), AT);
    assert.equal(await store.firstTime('two', AT + 1000), AT + 1000);
    assert.equal(await store.firstTime('one', AT - 1000), AT - 1000, 'the clock was ahead before');
    assert.equal(await store.firstTime('one', AT), AT - 1000);
  });

  storeTest('ping succeeds', async (store) => {
    await store.ping();
  });
}
