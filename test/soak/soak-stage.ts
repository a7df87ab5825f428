import { mkdir } from 'node:fs/promises';
import { type EmbeddedStore } from '../harness/embedded-store.ts';
import { Stage } from '../harness/stage.ts';
import type { TemporaryDirectory } from '../harness/temporary-directory.ts';
import type { Journal } from './journal.ts';
import type { Wanted } from './pull.ts';
import type { Results } from './results.ts';
import { SoakAgent } from './soak-agent.ts';
import { SoakFile } from './soak-file.ts';
import { SoakServer } from './soak-server.ts';

const MiB = 1024 * 1024;
/** Sizes of each agent's files: around part boundaries, and some that take seconds. */
const STABLE_BYTES = [0, 1, 5 * MiB, 5 * MiB + 1, 17 * MiB + 7, 48 * MiB];
const CHANGING_BYTES = [300_000, 12 * MiB, 30 * MiB, 50 * MiB + 3];
/** Added to the soak's duration. */
const SETTLING_SECONDS = 3600;

export interface SoakStageOptions {
  readonly directory: TemporaryDirectory;
  readonly journal: Journal;
  readonly results: Results;
  readonly minutes: number;
  readonly agents: number;
  readonly seed: number;
}

export interface Site {
  readonly agent: SoakAgent;
  readonly wanted: readonly Wanted[];
}

/** All started programs, with a proxy on every link. */
export interface SoakStage extends AsyncDisposable {
  readonly stage: Stage;
  readonly server: SoakServer;
  readonly store: EmbeddedStore;
  readonly sites: readonly Site[];
  readonly changing: readonly SoakFile[];
}

export async function startSoakStage(options: SoakStageOptions): Promise<SoakStage> {
  const { directory, journal, results } = options;
  await using cleanup = new AsyncDisposableStack();
  const stage = cleanup.use(
    await Stage.start({
      directory,
      ...{ faults: true, networkFaults: true, storeNetworkFaults: true },
      env: { ORPHAN_AGE_SECONDS: '2' },
    }),
  );
  const { embedded: store } = stage.s3;
  if (store === undefined) throw new Error('a soak kills its store: unset S3_TEST_ENDPOINT');
  const server = cleanup.use(new SoakServer(stage, journal, results));
  const tokenUntil = Math.floor(Date.now() / 1000 + options.minutes * 60) + SETTLING_SECONDS;
  const sites: Site[] = [];
  const changing: SoakFile[] = [];
  for (let number = 1; number <= options.agents; number += 1) {
    const clientId = `till-${number}`;
    const files = await createFiles(directory.join('files', clientId), `${options.seed} ${clientId}`);
    changing.push(...files.changing);
    const agent = await SoakAgent.start({
      ...{ stage, journal, results, clientId, tokenUntil },
      directory: directory.join('files', clientId),
    });
    cleanup.use(agent);
    sites.push({
      agent,
      wanted: [...files.wanted, { kind: 'path_not_allowed', path: directory.join('secret') }],
    });
  }
  const started = cleanup.move();
  return { stage, server, store, sites, changing, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

async function createFiles(
  directory: string,
  seed: string,
): Promise<{ wanted: Wanted[]; changing: SoakFile[] }> {
  await mkdir(directory, { recursive: true });
  const create = (name: string, sizeBytes: number) =>
    SoakFile.create(`${directory}/${name}`, `${seed} ${name}`, sizeBytes);
  const stable: SoakFile[] = [];
  for (const [index, sizeBytes] of STABLE_BYTES.entries())
    stable.push(await create(`stable-${index}`, sizeBytes));
  const changing: SoakFile[] = [];
  for (const [index, sizeBytes] of CHANGING_BYTES.entries()) {
    changing.push(await create(`changing-${index}`, sizeBytes));
  }
  const files = [...stable, ...changing].map((file) => ({ kind: 'file', path: file.path, file }) as const);
  return { wanted: [...files, { kind: 'file_not_found', path: `${directory}/nothing` }], changing };
}
