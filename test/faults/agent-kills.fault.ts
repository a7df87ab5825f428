import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessLogEntry } from '../harness/access-log.ts';
import { seededRandom } from '../harness/seeded-random.ts';
import { logged, type Program } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const FILE_BYTES = 500 * MiB;
const PART_BYTES = 5 * MiB;
/** The agent's limit. */
const PARALLEL_PARTS = 8;
const PULLS = 6;
const KILLS_PER_PULL = 5;
const KILLS = PULLS * KILLS_PER_PULL;
/** Makes a pull last some seconds, so that the kills happen at distinct moments. */
const RATE = 60 * MiB;

describe(`kill -9 of the agent at ${KILLS} random moments`, () => {
  test(
    'each pull ends completed, and only what was on its way is sent twice',
    { timeout: 600_000 },
    async (t) => {
      const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 2 ** 31);
      t.diagnostic(`seed ${seed} (FAULT_SEED)`);
      const random = seededRandom(seed);
      await using stage = await Stage.start({ faults: true });
      const file = stage.directory.join('large.bin');
      const sha256 = await randomFile(file, FILE_BYTES, String(seed));
      let withPartsInFlight = 0;
      let kept = 0;
      let receivedTwice = 0;

      for (let pull = 1; pull <= PULLS; pull += 1) {
        const kills = await pullWithKills(stage, { clientId: `till-${pull}`, file, random });
        const record = await stage.ended(kills.uploadId);
        assert.equal(record.status, 'completed', record.message ?? '');
        assert.equal(record.sha256, sha256);
        assert.equal(record.verification, 'full_object');
        await kills.agent.stop();
        const puts = (await stage.storeRequests()).filter(
          ({ operation, key }) => operation === 'UploadPart' && key === record.key,
        );
        const inFlight = kills.moments.filter((moment) =>
          puts.some((put) => wasUnderWay(put, moment)),
        ).length;
        const twice = puts.reduce((sum, { bytes_in: bytes }) => sum + bytes, 0) - FILE_BYTES;
        const allowed = kills.moments.length * PARALLEL_PARTS * PART_BYTES;
        t.diagnostic(
          `pull ${pull}: ${kills.moments.length} kills, ${inFlight} with parts in flight, ` +
            `parts kept ${kills.kept.join(', ')}; ${(twice / MiB).toFixed(1)} MiB received twice (allowed ${allowed / MiB})`,
        );
        assert.ok(twice <= allowed, `${twice} bytes were received twice`);
        assert.equal(record.attempt, kills.moments.length + 1);
        withPartsInFlight += inFlight;
        kept += kills.kept.reduce((sum, parts) => sum + parts, 0);
        receivedTwice += twice;
        await stage.client.deleteUpload(record.upload_id, { object: true });
      }
      t.diagnostic(
        `in all: ${KILLS} kills, ${withPartsInFlight} with parts in flight, ${kept} parts kept, ` +
          `${(receivedTwice / MiB).toFixed(1)} MiB received twice`,
      );
      // On a busy machine some parts end between the last check and the signal.
      assert.ok(withPartsInFlight >= KILLS / 2, `only ${withPartsInFlight} kills met parts in flight`);
      assert.ok(kept > 0);
      await stage.noOpenMultipartUploads();
    },
  );
});

/** Interrupts one pull at random moments between its first and its last byte. */
async function pullWithKills(
  stage: Stage,
  { clientId, file, random }: { clientId: string; file: string; random: () => number },
): Promise<{ uploadId: string; agent: Program; moments: number[]; kept: number[] }> {
  const args = ['--file', file, '--max-rate', String(RATE)];
  // One kill in each fifth of the first three quarters: the last kill must not hit an ended pull.
  const share = (0.75 * FILE_BYTES) / KILLS_PER_PULL;
  const thresholds = Array.from({ length: KILLS_PER_PULL }, (_, fifth) => (fifth + random()) * share);
  const moments: number[] = [];
  const kept: number[] = [];
  let agent = await stage.startAgent(clientId, args);
  const { upload_id: uploadId } = await stage.client.triggerDownload(clientId, {});
  for (const threshold of thresholds) {
    // Most kills happen during PUTs; a few happen right after a restart.
    const atOnce = random() < 0.1 && moments.length > 0;
    const held = (kept.at(-1) ?? 0) * PART_BYTES;
    await stage.recordWhen(
      uploadId,
      ({ status, bytes_uploaded: bytes }) =>
        status === 'uploading' && (atOnce || bytes >= Math.max(threshold, held + PART_BYTES)),
    );
    await sleep(random() * 80);
    if (!atOnce) await partOnItsWay(stage);
    moments.push(Date.now());
    agent.kill('SIGKILL');
    await agent.exit;
    agent = await stage.startAgent(clientId, args);
    const resumed = await agent.line(logged('resumed'));
    kept.push(Number(resumed['kept']));
  }
  return { uploadId, agent, moments, kept };
}

/** Waits until a part is on its way to the store. */
async function partOnItsWay({ faults }: Stage): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!faults.calls.some(({ operation, endedAtMs }) => operation === 'UploadPart' && endedAtMs === null)) {
    assert.ok(performance.now() < deadline, 'no part was sent for 10 s');
    await sleep(1);
  }
}

function wasUnderWay(
  { started_at_ms: started, ended_at_ms: ended }: AccessLogEntry,
  moment: number,
): boolean {
  return started <= moment && ended >= moment;
}
