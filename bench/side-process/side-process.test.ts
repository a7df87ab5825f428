import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { temporaryDirectory } from '../../test/harness/temporary-directory.ts';
import { SideProcess } from './side-process.ts';

const answerOrders = new URL('answer-orders.ts', import.meta.url).href;
const { signal } = new AbortController();

async function sideProcess(directory: { join: (name: string) => string }): Promise<SideProcess<number>> {
  const path = directory.join('doubles.mjs');
  await writeFile(
    path,
    `import { answerOrders } from ${JSON.stringify(answerOrders)};
     await answerOrders(async (n) => (n < 0 ? process.exit(7) : n === 0 ? new Promise(() => {}) : { twice: 2 * n }));`,
  );
  return new SideProcess(pathToFileURL(path));
}

describe('a separate process of an experiment', () => {
  test('answers its orders in turn', async () => {
    await using directory = await temporaryDirectory();
    await using side = await sideProcess(directory);
    const answers = await Promise.all([1, 2, 3].map((n) => side.order<{ twice: number }>(n, { signal })));
    assert.deepEqual(answers, [{ twice: 2 }, { twice: 4 }, { twice: 6 }]);
  });

  test('fails the orders it did not answer when it ends, and those after that', async () => {
    await using directory = await temporaryDirectory();
    await using side = await sideProcess(directory);
    await assert.rejects(side.order(-1, { signal }), /doubles\.mjs ended with 7/);
    await assert.rejects(side.order(1, { signal }), /doubles\.mjs ended with 7/);
  });

  test('is not waited for after an interruption', async () => {
    await using directory = await temporaryDirectory();
    await using side = await sideProcess(directory);
    const interruption = new AbortController();
    const answer = side.order(0, { signal: interruption.signal });
    interruption.abort(new Error('enough'));
    await assert.rejects(answer, /enough/);
  });
});
