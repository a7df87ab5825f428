import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../harness/seeded-random.ts';
import type { TemporaryDirectory } from '../harness/temporary-directory.ts';
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

const OPERATORS_OF_AGENT = 3;
const PROGRESS_MS = 30_000;
/** Share of store calls that get a fault which the next try does not meet. */
const TRANSIENT_SHARE = 0.04;
/** Maximum time for all uploads to end once the faults are over. */
const SETTLING_MS = 300_000;
const LOOKING_MS = 300_000;

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
  say('Faults begin');
  await letThingsHappen(options, { started, results, journal, say, signal });
  signal.throwIfAborted();
  const looking = AbortSignal.timeout(LOOKING_MS);
  try {
    await lookAtAll(started.stage, results, AbortSignal.any([signal, looking]));
  } catch (error) {
    if (!looking.aborted) throw error;
    results.wrongOutcome('server and store did not answer when all was over');
  }
  return results;
}

interface Happening extends Omit<SoakContext, 'directory'> {
  readonly started: SoakStage;
  readonly results: Results;
  readonly journal: Journal;
}

/** Waits until all uploads have ended or the time is over. */
async function letThingsHappen(options: SoakOptions, happening: Happening): Promise<void> {
  const { started, results, journal, say, signal } = happening;
  // This controller also stops the operators if anything here fails.
  const stop = new AbortController();
  const over = AbortSignal.any([signal, stop.signal, AbortSignal.timeout(options.minutes * 60_000)]);
  const giveUp = AbortSignal.timeout(options.minutes * 60_000 + SETTLING_MS);
  // Each component has its own random stream, so that its choices do not depend on the pace of others.
  let streams = 0;
  const random = () => seededRandom(options.seed + 0x9e3779b9 * (streams += 1));

  const { faults } = started.stage;
  const transient = faults.randomly({ random: random(), probability: TRANSIENT_SHARE });
  const deniedKeys = new Set<string>();
  const director = new FaultDirector({
    ...{ journal, over, random: random(), fired: results.faults },
    faults: faultsOf(started, deniedKeys),
  });
  const changing = keepChanging(started.changing, {
    ...{ journal, random: random(), changes: results.changes, signal: over },
  }).catch((error: unknown) => {
    if (!over.aborted) throw error;
  });
  const operators = started.sites.flatMap(({ agent, wanted }) =>
    Array.from({ length: OPERATORS_OF_AGENT }, () =>
      new Operator({
        ...{ stage: started.stage, results, journal, deniedKeys, wanted, over },
        clientId: agent.clientId,
        random: random(),
        signal: AbortSignal.any([signal, stop.signal, giveUp]),
      }).run(),
    ),
  );
  const allPulled = Promise.allSettled(operators);
  try {
    await Promise.all([director.run(), changing, keepTelling(results, { say, signal: over })]);
    faults.clear();
    for (const [kind, row] of transient.table) {
      for (const [operation, count] of row) {
        results.faults.add(kind, count);
        results.hitCalls.add(operation, count);
      }
    }
    if (!signal.aborted) say('The faults are over; waiting for what is under way');
    await allPulled;
  } finally {
    stop.abort();
    await allPulled;
  }
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
  for (;;) {
    await sleep(PROGRESS_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    say(
      `${seconds} s: ${pulls.size} uploads, ended ${outcomes.summary()}; ${faults.total} faults; ${wrong.length} wrong`,
    );
  }
}
