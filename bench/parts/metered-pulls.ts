import { open } from 'node:fs/promises';
import { uploadRecordSchema } from '@backhaul/protocol';
import { DiscardingStore } from '../../test/faults/injection/discarding-store/discarding-store.ts';
import { Stage } from '../../test/harness/stage.ts';
import type { Bench } from '../experiment.ts';
import { processUsage } from '../../test/harness/process-usage.ts';
import { quietUsage } from '../quiet-usage.ts';
import { resetPeak } from '../reset-peak.ts';

const PART_BYTES = 5 * 1024 * 1024;
const WARMING_PULLS = 20;
const CLIENT_ID = 'till';

/** Total cost of several pulls of one size. */
export interface PullCosts {
  readonly seconds: number;
  /** CPU time of the server in seconds. */
  readonly cpuSeconds: number;
  /** Peak memory of the server above its level before the first pull, in bytes. */
  readonly peakGrowthBytes: number;
  /** Bytes on the server's connections, including HTTP and WebSocket framing. */
  readonly wire: Readonly<Record<WireName, number>>;
}

export const wireNames = ['to the agent', 'from the agent', 'to the store', 'from the store'] as const;
type WireName = (typeof wireNames)[number];

/** Repeats pulls of a file with this many parts on a warm but otherwise unused server. */
export async function meteredPulls(
  { parts, pulls }: { parts: number; pulls: number },
  { signal }: Pick<Bench, 'signal'>,
): Promise<PullCosts> {
  await using stage = await Stage.start({
    ...{ s3: DiscardingStore.startTrusting, compiled: true },
    ...{ networkFaults: true, serverStoreNetworkFaults: true },
  });
  const { pid } = stage.server;
  if (pid === undefined) throw new Error('the server did not start');
  const [file, small] = [stage.directory.join('file.bin'), stage.directory.join('small.bin')];
  await holesOnly(file, parts * PART_BYTES);
  await holesOnly(small, 2 * PART_BYTES);
  await stage.startAgent(CLIENT_ID, ['--file', file, '--allow', stage.directory.path, '--no-sha256']);
  // Memory for lazy loading and compilation is not growth.
  for (let pull = 0; pull < WARMING_PULLS; pull += 1)
    await pullParts(stage, { file: small, parts: 2, signal });

  const before = await quietUsage(pid, { signal });
  await resetPeak(pid);
  const wireBefore = wireOf(stage);
  const startedAt = performance.now();
  for (let pull = 0; pull < pulls; pull += 1) await pullParts(stage, { file, parts, signal });
  const seconds = (performance.now() - startedAt) / 1000;
  const after = await processUsage(pid);
  const wireAfter = wireOf(stage);
  return {
    seconds,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    peakGrowthBytes: after.peakRssBytes - before.rssBytes,
    wire: Object.fromEntries(wireNames.map((name) => [name, wireAfter[name] - wireBefore[name]])) as Record<
      WireName,
      number
    >,
  };
}

function wireOf({ network, serverStoreNetwork }: Stage): Record<WireName, number> {
  return {
    'to the agent': network.bytesToClient,
    'from the agent': network.bytesToTarget,
    'to the store': serverStoreNetwork.bytesToTarget,
    'from the store': serverStoreNetwork.bytesToClient,
  };
}

/** Does not follow events, which would add work to the server. @throws Error unless the upload completed. */
async function pullParts(
  stage: Stage,
  { file, parts, signal }: { file: string; parts: number; signal: AbortSignal },
): Promise<void> {
  let record;
  do {
    // An identical request joins the running upload.
    const answer = await stage.fetch(`/trigger-download/${CLIENT_ID}`, {
      ...{ method: 'POST', body: JSON.stringify({ file_path: file }), signal },
      headers: { 'content-type': 'application/json', prefer: 'wait=300' },
    });
    record = uploadRecordSchema.parse(await answer.json());
  } while (record.completed_at === null);
  if (record.status !== 'completed' || record.parts_completed !== parts) {
    throw new Error(`the pull of ${parts} parts ended as ${record.status}: ${record.message}`);
  }
}

/** Creates a sparse file: it takes no disk space and reads as zeros. */
async function holesOnly(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
}
