import { setTimeout as sleep } from 'node:timers/promises';
import { transientFault } from '../faults/s3/index.ts';
import { seededRandom } from '../faults/seeded-random.ts';
import type { TemporaryDirectory } from '../temporary-directory.ts';
import { keepChanging } from './changing-files.ts';
import { FaultDirector } from './fault-director.ts';
import { lookAtAll } from './final-look.ts';
import { Journal } from './journal.ts';
import { networkFaults } from './network-faults.ts';
import { Operator } from './operator.ts';
import type { SoakOptions } from './options.ts';
import { agentFaults, serverFaults, storeFaults } from './process-faults.ts';
import { Results } from './results.ts';
import { s3Faults } from './s3-faults.ts';
import { type SoakStage, startSoakStage } from './soak-stage.ts';
import { Tally } from './tally.ts';

const OPERATORS_OF_AGENT = 3;
const PROGRESS_MS = 30_000;
/** Of the calls to the store, by what passes with the next try. */
const TRANSIENT_SHARE = 0.04;
/** When nothing goes wrong any more, all has to end within this. */
const SETTLING_MS = 300_000;

export interface SoakContext {
  readonly directory: TemporaryDirectory;
  readonly say: (text: string) => void;
  /** Stops everything. */
  readonly signal: AbortSignal;
}

/** Everything it starts has ended when it returns or throws. @throws the signal's reason. */
export async function soak(options: SoakOptions, { directory, say, signal }: SoakContext): Promise<Results> {
  const journal = new Journal(directory.join('logs'));
  const results = new Results(journal);
  say('Starting server, store and agents, and writing files');
  await using started = await startSoakStage({ ...options, directory, journal, results });
  signal.throwIfAborted();
  const faultsOver = AbortSignal.timeout(options.minutes * 60_000);
  const giveUp = AbortSignal.timeout(options.minutes * 60_000 + SETTLING_MS);
  const over = AbortSignal.any([signal, faultsOver]);
  const deniedKeys = new Set<string>();
  // A stream of its own for each, so that the choices of one do not depend on the pace of others.
  let streams = 0;
  const random = () => seededRandom(options.seed + 0x9e3779b9 * (streams += 1));

  const progress = keepTelling(results, { say, signal: over });
  const transient = started.stage.faults.randomly({
    random: random(),
    probability: TRANSIENT_SHARE,
    pick: transientFault,
  });
  const director = new FaultDirector({
    ...{ journal, over, random: random(), fired: results.faults },
    faults: faultsOf(started, deniedKeys),
  });
  const changes = new Tally();
  const changing = keepChanging(started.changing, {
    ...{ journal, changes, random: random(), signal: over },
  }).catch((error: unknown) => {
    if (!over.aborted) throw error;
  });
  const operators = started.sites.flatMap(({ agent, wanted }) =>
    Array.from({ length: OPERATORS_OF_AGENT }, () =>
      new Operator({
        ...{ stage: started.stage, results, journal, deniedKeys, wanted, over },
        clientId: agent.clientId,
        random: random(),
        signal: AbortSignal.any([signal, giveUp]),
      }).run(),
    ),
  );
  // Those are awaited below, also after a mistake of the director.
  const pulled = Promise.allSettled(operators);

  await Promise.all([director.run(), changing, progress]);
  started.stage.faults.clear();
  signal.throwIfAborted();
  for (const [kind, row] of transient.table) {
    for (const [operation, count] of row) results.faults.add(`${kind}, ${operation}`, count);
  }
  for (const [kind, count] of changes.entries) results.faults.add(kind, count);
  say('The faults are over; waiting for what is under way');
  await pulled;
  signal.throwIfAborted();
  await lookAtAll(started.stage, results, signal);
  return results;
}

function faultsOf({ stage, server, store, sites }: SoakStage, deniedKeys: Set<string>) {
  return [
    ...sites.flatMap(({ agent }) => agentFaults(agent)),
    ...serverFaults(server),
    ...storeFaults(store),
    ...networkFaults(stage.network, 'agents and server'),
    ...networkFaults(stage.storeNetwork, 'agents and store'),
    ...s3Faults(stage.faults, deniedKeys),
  ];
}

async function keepTelling(
  { outcomes, faults, wrong, pulls }: Results,
  { say, signal }: { say: (text: string) => void; signal: AbortSignal },
): Promise<void> {
  const startedAt = performance.now();
  while (!signal.aborted) {
    await sleep(PROGRESS_MS, undefined, { signal }).catch(() => undefined);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    say(
      `${seconds} s: ${pulls.size} uploads, ended ${outcomes.summary()}; ${faults.total} faults; ${wrong.length} wrong`,
    );
  }
}
