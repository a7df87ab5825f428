import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { FaultRule } from './injection/s3/fault-rule.ts';
import { hold, type HoldOutcome } from './injection/s3/hold.ts';
import type { S3Operation } from './injection/s3/s3-operation-of.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const FILE_BYTES = 32 * MiB;
const ROUNDS = 3;

interface Moment {
  readonly name: string;
  readonly operation: S3Operation;
  readonly at: 'before' | 'after';
  /** Number of the operation's calls to let through first. */
  readonly skip: number;
}

/** The server dies during a call to the store: before the call has an effect, or after that but before its response. */
const moments: readonly Moment[] = [
  {
    name: 'before the multipart upload was created',
    operation: 'CreateMultipartUpload',
    at: 'before',
    skip: 0,
  },
  {
    name: 'after it was created, and before the row said so',
    operation: 'CreateMultipartUpload',
    at: 'after',
    skip: 0,
  },
  { name: 'between parts', operation: 'UploadPart', at: 'after', skip: 2 },
  { name: 'after `completing` was recorded', operation: 'CompleteMultipartUpload', at: 'before', skip: 0 },
  {
    name: 'after S3 completed, and before the row said so',
    operation: 'CompleteMultipartUpload',
    at: 'after',
    skip: 0,
  },
  { name: 'before the object was looked at', operation: 'HeadObject', at: 'before', skip: 0 },
];

describe('kill -9 of the server', { concurrency: 2 }, () => {
  for (const moment of moments) {
    test(`${moment.name} ends completed, once, and leaves no multipart upload`, async (t) => {
      await using stage = await Stage.start({ faults: true, env: { ORPHAN_AGE_SECONDS: '1' } });
      const file = stage.directory.join('large.bin');
      const sha256 = await randomFile(file, FILE_BYTES);
      await stage.startAgent('till', ['--file', file]);
      for (let round = 1; round <= ROUNDS; round += 1) {
        const { rule, restarted } = killServerAt(stage, moment);
        const { upload_id: id } = await stage.client.triggerDownload('till', { force: true });
        await rule.fired();
        await restarted;
        const record = await stage.ended(id);
        assert.equal(record.status, 'completed', record.message ?? '');
        assert.equal(record.sha256, sha256);
        assert.equal(rule.firedCount, 1);
        assert.deepEqual(await objectsOf(stage, id), [{ key: record.key, size: FILE_BYTES }]);
      }
      const aborted = () =>
        stage.faults.calls.filter(
          ({ operation, status, key }) =>
            operation === 'AbortMultipartUpload' &&
            status === 204 &&
            key?.includes('/.backhaul-probe/') === false,
        );
      await stage.noOpenMultipartUploads({ deadlineMs: 30_000 });
      t.diagnostic(`${ROUNDS} kills, ${ROUNDS} completed, ${aborted().length} orphans aborted`);
      if (moment.operation === 'CreateMultipartUpload' && moment.at === 'after') {
        assert.ok(aborted().length > 0, 'what no row knew was found');
      }
    });
  }
});

function killServerAt(
  stage: Stage,
  { operation, at, skip }: Moment,
): { rule: FaultRule; restarted: Promise<void> } {
  const { promise: restarted, resolve, reject } = Promise.withResolvers<void>();
  const act = async (): Promise<HoldOutcome> => {
    try {
      const { signal } = await stage.restartServer({ signal: 'SIGKILL' });
      assert.equal(signal, 'SIGKILL');
      resolve();
    } catch (error) {
      reject(error);
    }
    // The agent sends parts, and it is still running.
    return operation === 'UploadPart' ? 'go on' : 'drop';
  };
  const rule = stage.faults.next({
    operation,
    skip,
    matching: ({ key }) => key?.startsWith('uploads/') ?? false,
    fault: hold(at === 'before' ? { before: act } : { after: act }),
  });
  return { rule, restarted };
}

async function objectsOf({ s3 }: Stage, uploadId: string): Promise<{ key: string; size: number }[]> {
  const { Contents = [] } = await s3.client.send(new ListObjectsV2Command({ Bucket: s3.bucket }));
  return Contents.filter(({ Key = '' }) => Key.includes(uploadId)).map(({ Key = '', Size = -1 }) => ({
    key: Key,
    size: Size,
  }));
}
