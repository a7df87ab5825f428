import { BackhaulClient } from '@backhaul/client';
import type { UploadRecord } from '@backhaul/protocol';
import { DiscardingStore } from '../../test/faults/injection/discarding-store/discarding-store.ts';
import { randomFile } from '../../test/harness/random-file.ts';
import { Stage } from '../../test/harness/stage.ts';
import type { TemporaryDirectory } from '../../test/harness/temporary-directory.ts';
import { pidOf } from '../pid-of.ts';
import { processUsage } from '../../test/harness/process-usage.ts';
import { quietUsage } from '../quiet-usage.ts';

const CLIENT_ID = 'size';
/** Warm-up pull: memory for lazy loading is not growth. */
const WARM_UP_BYTES = 12 * 1024 * 1024;

export interface SizedPull {
  /** Seconds from the trigger to the verified record. */
  readonly seconds: number;
  readonly agentPeakBytes: number;
  /** Memory of the server once it is stable. */
  readonly serverBytes: number;
  readonly serverPeakBytes: number;
  /** Bytes in both directions between the server and the agent, the operator and the store. */
  readonly trafficBytes: number;
}

/** Pulls a file as an operator who follows it, with newly started programs. */
export async function sizedPull(
  { file, sizeBytes }: { file: string; sizeBytes: number },
  { directory, signal }: { directory: TemporaryDirectory; signal: AbortSignal },
): Promise<SizedPull> {
  const warmUp = directory.join('warm-up.bin');
  await randomFile(warmUp, WARM_UP_BYTES);
  await using stage = await Stage.start({
    s3: DiscardingStore.startTrusting,
    compiled: true,
    networkFaults: true,
    serverStoreNetworkFaults: true,
  });
  const agent = await stage.startAgent(CLIENT_ID, ['--file', file, '--allow', directory.path]);
  const operator = new BackhaulClient({ url: stage.network.endpoint, token: stage.operatorToken });
  const pull = (request: { file_path?: string }): Promise<void> => followToEnd(operator, request, { signal });
  await pull({ file_path: warmUp });

  const traffic = (): number => stage.network.bytes + stage.serverStoreNetwork.bytes;
  const trafficBefore = traffic();
  const startedAt = performance.now();
  await pull({});
  const seconds = (performance.now() - startedAt) / 1000;
  const trafficBytes = traffic() - trafficBefore;
  await assertSentDirectly(stage, { sizeBytes: sizeBytes + WARM_UP_BYTES });
  const serverPid = pidOf(stage.server);
  return {
    seconds,
    trafficBytes,
    agentPeakBytes: (await processUsage(pidOf(agent))).peakRssBytes,
    serverBytes: (await quietUsage(serverPid, { signal })).rssBytes,
    serverPeakBytes: (await processUsage(serverPid)).peakRssBytes,
  };
}

async function followToEnd(
  operator: BackhaulClient,
  request: { file_path?: string },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { upload_id: id } = await operator.triggerDownload(CLIENT_ID, request, { signal });
  let last: UploadRecord | undefined;
  for await (const record of operator.followUpload(id, { signal })) last = record;
  if (last?.status !== 'completed' || last.verification !== 'full_object') {
    throw new Error(`the pull ended as ${last?.status} (${last?.verification}): ${last?.message}`);
  }
}

/** Checks that the store received all bytes, and that the server's proxies carried fewer. */
async function assertSentDirectly(stage: Stage, { sizeBytes }: { sizeBytes: number }): Promise<void> {
  const puts = (await stage.storeRequests()).filter(({ operation }) => operation === 'UploadPart');
  const sent = puts.reduce((sum, { bytes_in: bytes }) => sum + bytes, 0);
  if (sent < sizeBytes) throw new Error(`the store had ${sent} of ${sizeBytes} bytes`);
  const counted = stage.network.bytesToTarget + stage.serverStoreNetwork.bytesToTarget;
  if (counted > sent / 2) throw new Error(`${counted} bytes went by way of the server`);
}
