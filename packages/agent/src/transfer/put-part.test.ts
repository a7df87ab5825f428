import assert from 'node:assert/strict';
import test from 'node:test';
import { BufferPool } from '../file/buffer-pool.ts';
import { type OpenedFile } from '../file/open-file.ts';
import { partBody } from '../file/part-body.ts';
import { AnswerPatience } from './answer-patience.ts';
import { putPart } from './put-part.ts';
import type { StorageClient } from './storage-client.ts';

test('no request begins before its body has memory, and the wait for it can be aborted', async () => {
  const buffers = new BufferPool(1);
  const stop = new AbortController();
  const { signal } = stop;
  const held = await buffers.take({ signal });
  let requests = 0;
  const storage = {
    put: () => {
      requests += 1;
      throw new Error('requested');
    },
  } as unknown as StorageClient;
  const body = partBody({} as OpenedFile, { offset: 0, length: 1 }, { expectedCrc32: '', buffers, signal });
  const put = putPart(
    { url: new URL('https://store.example'), headers: {}, length: 1, body, fresh: false },
    {
      storage,
      rateLimit: null,
      timings: { connectMs: 1, stallMs: 1 },
      patience: new AnswerPatience({ firstMs: 1, maxMs: 1 }),
    },
    { signal },
  );
  setImmediate(() => stop.abort(new Error('stopped')));
  await assert.rejects(put, /stopped/);
  assert.equal(requests, 0);
  buffers.give(held);
  assert.equal(buffers.lent, 0);
});
