import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ListPartsCommand } from '@aws-sdk/client-s3';
import { seededRandom } from '../../../harness/seeded-random.ts';
import { error } from './error-answer.ts';
import { FaultStand } from './fault-stand.ts';
import { dropRequest } from './lost-call.ts';
import { transientFault } from './transient-fault.ts';

describe('random faults', { concurrency: true }, () => {
  test('hit as many calls as told, and are counted by kind and operation', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const faults = stand.faults.randomly({
      random: seededRandom(7),
      probability: 0.5,
      pick: ({ operation }, random) => {
        if (operation !== 'UploadPart') return undefined;
        return random() < 0.5 ? error('SlowDown') : dropRequest();
      },
    });
    const found = new Map<string, number>();
    for (let at = 0; at < 60; at++) {
      const outcome = await upload.putPart(1, 'x').then(
        ({ status }) => String(status),
        () => 'lost',
      );
      found.set(outcome, (found.get(outcome) ?? 0) + 1);
    }
    const slowDown = faults.table.get('error SlowDown')?.get('UploadPart') ?? 0;
    const dropped = faults.table.get('dropRequest')?.get('UploadPart') ?? 0;
    assert.deepEqual(Object.fromEntries(found), {
      200: 60 - slowDown - dropped,
      503: slowDown,
      lost: dropped,
    });
    assert.ok(slowDown >= 5 && dropped >= 5, faults.report());
    assert.equal(faults.firedCount, slowDown + dropped);
    assert.equal(
      faults.report(),
      `dropRequest: UploadPart ${dropped}\nerror SlowDown: UploadPart ${slowDown}`,
    );

    faults.stop();
    assert.equal((await upload.putPart(1, 'x')).status, 200);
    assert.equal(faults.firedCount, slowDown + dropped);
  });

  test('of the usual kinds all fire, and leave calls that can be done again', async () => {
    await using stand = await FaultStand.start();
    const seed = Date.now() % 1e6;
    const faults = stand.faults.randomly({ random: seededRandom(seed), probability: 0.9 });
    const again = async <T>(call: () => Promise<T>, good: (result: T) => boolean): Promise<T> => {
      for (let at = 0; at < 200; at++) {
        const result = await call().catch(() => undefined);
        if (result !== undefined && good(result)) return result;
      }
      throw new Error(`no success in 200 attempts; seed ${seed}\n${faults.report()}`);
    };
    const upload = await again(
      () => stand.createUpload('key'),
      () => true,
    );
    for (let part = 1; part <= 20; part++) {
      await again(
        () => upload.putPart(part, 'x'),
        ({ status, headers }) => status === 200 && headers.has('etag'),
      );
    }
    const listed = await again(
      () => stand.client.send(new ListPartsCommand(upload.id)),
      () => true,
    );
    assert.equal(listed.Parts?.length, 20, `seed ${seed}`);
    assert.ok(faults.table.size >= 8, `seed ${seed}\n${faults.report()}`);
  });

  test('are the same for the same seed', () => {
    const call = { operation: 'CompleteMultipartUpload' } as Parameters<typeof transientFault>[0];
    const kinds = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 200 }, () => transientFault(call, random)?.kind);
    };
    assert.deepEqual(kinds(1), kinds(1));
    assert.notDeepEqual(kinds(1), kinds(2));
    assert.equal(new Set(kinds(1)).size, 12);
  });
});
