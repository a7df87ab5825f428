import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Crowd } from './crowd/crowd.ts';
import { histogram } from './crowd/histogram.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const AGENTS = 300;
const PROCESSES = 6;
const FILE_BYTES = 400_000;
/** Makes a pull take twenty seconds, so that the server ends during nearly all of them. */
const BYTES_PER_SECOND = 20_000;

test(`${AGENTS} agents come back to a killed server spread out, and no pull is lost`, async (t) => {
  await using stage = await Stage.start({
    // The test opens one event stream per upload.
    env: { MAX_HELD_REQUESTS_PER_TOKEN: '1000' },
  });
  const clientIds = Array.from({ length: AGENTS }, (_, index) => `till-${index + 1}`);
  const agents = await Promise.all(
    clientIds.map(async (clientId) => {
      const file = stage.directory.join(`${clientId}.bin`);
      const sha256 = await randomFile(file, FILE_BYTES, clientId);
      return { clientId, token: await stage.tokens.agent(clientId), file, sha256 };
    }),
  );
  await using cleanup = new AsyncDisposableStack();
  const share = AGENTS / PROCESSES;
  const crowds = Array.from({ length: PROCESSES }, (_, index) =>
    cleanup.use(
      new Crowd({
        serverUrl: stage.webSocketUrl,
        agents: agents
          .slice(index * share, (index + 1) * share)
          .map(({ sha256: _sha256, ...agent }) => agent),
        args: ['--max-rate', String(BYTES_PER_SECOND)],
      }),
    ),
  );
  const all = async (since: number): Promise<number[]> => {
    const signal = AbortSignal.timeout(90_000);
    return (await Promise.all(crowds.map((crowd) => crowd.connected(share, { since, signal })))).flat();
  };
  await all(0);

  const uploads = await Promise.all(
    agents.map(async ({ clientId, sha256 }) => {
      const { upload_id: id } = await stage.client.triggerDownload(clientId, {});
      return { id, sha256 };
    }),
  );
  await Promise.all(uploads.map(({ id }) => stage.recordWhen(id, ({ status }) => status === 'uploading')));
  const killedAt = Date.now();
  await stage.restartServer({ signal: 'SIGKILL' });
  const backAt = Date.now();
  const moments = await all(backAt - 1000);
  const { counts, lines } = histogram(moments, { start: backAt, stepMs: 250 });
  t.diagnostic(`server back after ${backAt - killedAt} ms; agents connected, from then on:`);
  for (const line of lines) t.diagnostic(line);
  assert.ok(Math.max(...counts) < AGENTS / 2, 'half of them or more came at once');
  assert.ok(counts.length >= 3, 'they came within half a second');

  const outcomes = new Map<string, number>();
  for (const { id, sha256 } of uploads) {
    const record = await stage.ended(id);
    const outcome = record.sha256 === sha256 ? record.status : `${record.status}, other bytes`;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    assert.equal(record.attempt, 1, 'a socket that is lost repeats nothing');
  }
  t.diagnostic(`outcomes: ${JSON.stringify(Object.fromEntries(outcomes))}`);
  assert.deepEqual([...outcomes], [['completed', AGENTS]]);
});
