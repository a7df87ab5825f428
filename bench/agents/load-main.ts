/** Runs many operators in one process; see `load-order.ts`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { answerOrders } from '../side-process/answer-orders.ts';
import type { LoadOrder, LoadReport } from './load-order.ts';
import { pathSentNow } from './sent-path.ts';

const TICK_MS = 5;

let pool: Pool | undefined;
let authorization = '';
let report = emptyReport();

await answerOrders(async (line) => {
  const order = line as LoadOrder;
  if (order.do === 'open') {
    authorization = `Bearer ${order.token}`;
    pool = new Pool(order.url, { connections: order.connections, pipelining: 1 });
    return {};
  }
  report = emptyReport();
  const startedAt = performance.now();
  const { clientIds } = order;
  if (order.do === 'trigger_steadily') await triggerSteadily(order);
  else await Promise.all(clientIds.map(order.do === 'trigger' ? trigger : healthCheck));
  return { ...report, seconds: (performance.now() - startedAt) / 1000 } satisfies LoadReport;
});
await pool?.destroy();

/** Sends all requests that are due by the clock without waiting for earlier responses. */
async function triggerSteadily(order: Extract<LoadOrder, { do: 'trigger_steadily' }>): Promise<void> {
  const { clientIds, perSecond, seconds } = order;
  const startedAt = performance.now();
  const answers: Promise<void>[] = [];
  while (answers.length < perSecond * seconds) {
    await sleep(TICK_MS);
    const due = Math.min(perSecond * seconds, ((performance.now() - startedAt) / 1000) * perSecond);
    while (answers.length < Math.floor(due)) {
      answers.push(trigger(clientIds[answers.length % clientIds.length] ?? ''));
    }
  }
  await Promise.all(answers);
}

async function trigger(clientId: string): Promise<void> {
  const answer = await post(`/trigger-download/${clientId}`, { file_path: pathSentNow() });
  const { upload_id: id } = JSON.parse(answer) as { upload_id?: string };
  if (id !== undefined) report.uploadIds.push(id);
}

async function healthCheck(clientId: string): Promise<void> {
  await post(`/clients/${clientId}/commands/health_check`, {});
}

async function post(path: string, body: object): Promise<string> {
  if (pool === undefined) throw new TypeError('"open" has to be the first order');
  const sentAt = performance.now();
  const { statusCode, body: answer } = await pool.request({
    ...{ method: 'POST', path },
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  report.answerMs.push(performance.now() - sentAt);
  report.statuses[statusCode] = (report.statuses[statusCode] ?? 0) + 1;
  return text;
}

function emptyReport() {
  return {
    statuses: {} as Record<string, number>,
    answerMs: [] as number[],
    uploadIds: [] as string[],
  };
}
