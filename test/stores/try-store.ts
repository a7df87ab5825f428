import { randomBytes } from 'node:crypto';
import type { Finding, Opened } from '@backhaul/protocol';
import { Stage } from '../harness/stage.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';
import { tryKill, trySizes } from './pull-trial.ts';
import type { RealStore } from './real-stores.ts';
import { RunningStore, installTool } from './running-store.ts';
import { tryAwsCopy, trySetup } from './setup-trial.ts';
import type { TrialResult } from './trial-results.ts';

/**
 * Installs a store, starts it, runs every case on it, and deletes its data.
 *
 * @throws Error outside of the cases: the store did not start, or a program ended by itself.
 */
export async function tryStore(
  store: RealStore,
  tools: string,
  report: (result: TrialResult) => void,
): Promise<void> {
  await installTool(store.name, tools);
  await using data = await temporaryDirectory();
  await using running = await RunningStore.start(store, { tools, directory: data.path });
  await using directory = await temporaryDirectory();
  const s3 = running.target(`trial-${randomBytes(4).toString('hex')}`);
  const place = { s3, directory, tools };

  const setup = await trySetup(place);
  report(setup);
  if (setup.outcome === 'refused') return;
  report(await tryAwsCopy(place));
  await using stage = await Stage.start({ s3: () => Promise.resolve(s3), storeNetworkFaults: true });
  report({ name: 'start', outcome: 'ok', detail: '' });
  const { findings } = await stage.client.diagnosis();
  report(judge(findings));
  await trySizes(stage, report);
  const isResumeOff = findings.some(({ name, level }) => name === 's3_resume' && level !== 'ok');
  await tryKill(stage, isResumeOff, report);
}

/** After the setup, no finding may be an error or a warning that advises it; an `info` says if it cannot help. */
function judge(findings: readonly Opened<Finding>[]): TrialResult {
  const wrong = findings.filter(
    ({ level, fix }) =>
      level === 'error' || (level === 'warning' && fix?.includes('--setup-bucket') === true),
  );
  const told = (wrong.length > 0 ? wrong : findings.filter(({ level }) => level === 'warning')).map(
    ({ level, name, detail, fix }) => `${level} ${name}: ${detail}${fix === null ? '' : ` → ${fix}`}`,
  );
  return { name: 'doctor', outcome: wrong.length > 0 ? 'failed' : 'ok', detail: told.join(' · ') };
}
