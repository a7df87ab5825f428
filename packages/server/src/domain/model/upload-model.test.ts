import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { handleAgentMessage } from '../../websocket/agent-message-handlers.ts';
import { worldCommands } from './commands/world-commands.ts';
import { heal } from './healing.ts';
import { Tally } from './tally.ts';
import { World } from './world.ts';

/** More for long runs: `MODEL_RUNS=5000 npm test -- packages/server/src/domain/model`. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 25);
const SEED = Number(process.env['MODEL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** A short run may miss a rare fact; it goes on until it has seen them all. */
const MAX_ROUNDS = 20;

test('whatever fails, in whatever order, every upload ends well or with a reason', async (t) => {
  const tally = new Tally();
  const run = fc.asyncProperty(
    fc.commands([...worldCommands], { maxCommands: 80, size: 'max' }),
    fc.nat(),
    fc.record({ fullObjectChecksum: fc.boolean(), conditionalComplete: fc.boolean() }),
    async (commands, seed, honours) => {
      const store = await openSqliteStore(':memory:');
      await using world = new World({ seed, store, handle: handleAgentMessage, tally });
      world.s3.honours = { ...world.s3.honours, ...honours };
      await world.startServer();
      for (const agent of world.agents) world.connect(agent);
      await fc.asyncModelRun(() => ({ model: world, real: world }), commands);
      await heal(world);
    },
  );
  t.diagnostic(`seed ${SEED}: MODEL_SEED=${SEED} MODEL_RUNS=${RUNS} runs the same again`);
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    await fc.assert(run, { seed: SEED + round, numRuns: RUNS, unbiased: true });
    if (tally.missing.length === 0) break;
  }
  for (const line of tally.table()) t.diagnostic(line);
  assert.deepEqual(tally.missing, [], 'this never happened, so nothing was shown about it');
});
