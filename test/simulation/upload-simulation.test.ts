import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openSqliteStore } from '../../packages/server/src/store/open-sqlite-store.ts';
import { handleAgentMessage } from '../../packages/server/src/websocket/agent-message-handlers.ts';
import { simulationCommands } from './commands/simulation-commands.ts';
import { recover } from './recover.ts';
import { Coverage } from './coverage.ts';
import { Simulation } from './simulation.ts';

/** Increase for long runs: `SIMULATION_RUNS=5000 npm test -- test/simulation`. */
const RUNS = Number(process.env['SIMULATION_RUNS'] ?? 100);
const SEED = Number(process.env['SIMULATION_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Enough runs to cover every fact. A shorter run may miss rare ones, and reports which. */
const RUNS_FOR_ALL = 2000;
const MAX_MISSED = 12;

test('whatever fails, in any order, every upload completes or ends with a reason', async (t) => {
  const coverage = new Coverage();
  const run = fc.asyncProperty(
    fc.commands([...simulationCommands], { maxCommands: 80, size: 'max' }),
    fc.nat(),
    fc.record({ fullObjectChecksum: fc.boolean(), conditionalComplete: fc.boolean() }),
    async (commands, seed, supports) => {
      const store = await openSqliteStore(':memory:');
      await using simulation = new Simulation({ seed, store, handle: handleAgentMessage, coverage });
      simulation.s3.supports = { ...simulation.s3.supports, ...supports };
      await simulation.startServer();
      for (const agent of simulation.agents) simulation.connect(agent);
      await fc.asyncModelRun(() => ({ model: simulation, real: simulation }), commands);
      await recover(simulation);
    },
  );
  t.diagnostic(`seed ${SEED}: SIMULATION_SEED=${SEED} SIMULATION_RUNS=${RUNS} repeats this run`);
  await fc.assert(run, { seed: SEED, numRuns: RUNS, unbiased: true });
  for (const line of coverage.table()) t.diagnostic(line);
  if (RUNS >= RUNS_FOR_ALL) {
    assert.deepEqual(coverage.missing, [], 'never happened, so nothing was proven about it');
  } else {
    t.diagnostic(`nothing was proven about: ${coverage.missing.join('; ')}`);
    assert.ok(coverage.missing.length <= MAX_MISSED, `${coverage.missing.length} facts never happened`);
  }
});
