import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertProblem } from '../harness/assert-problem.ts';
import { hold } from '../faults/injection/s3/hold.ts';
import { Stage } from '../harness/stage.ts';

test('a diagnosis whose trial upload hangs does not hold up the server’s end, and leaves nothing in the bucket', async () => {
  await using stage = await Stage.start({ faults: true });
  const { findings } = await stage.client.diagnosis();
  assert.deepEqual(
    findings.filter(({ level }) => level === 'error'),
    [],
  );
  const { promise: ended, resolve: end } = Promise.withResolvers<'drop'>();
  const held = stage.faults.next({
    operation: 'CompleteMultipartUpload',
    trials: true,
    fault: hold({ before: () => ended }),
  });
  // The client would repeat the request to the next server.
  const asked = stage.fetch('/doctor');
  await held.fired();
  const tried = await stage.openMultipartUploads();
  assert.ok(tried.length > 0);
  const exit = await stage.restartServer({ signal: 'SIGTERM' });
  end('drop');
  assert.equal(exit.code, 0, exit.stdout.slice(-1000));
  await assertProblem(await asked, 503, 'shutting_down');
  // The next server may be checking the store, under its own keys.
  const open = await stage.openMultipartUploads();
  assert.deepEqual(
    open.filter((key) => tried.includes(key)),
    [],
  );
});
