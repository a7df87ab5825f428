import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { commandAnswerSchema } from '@backhaul/protocol';
import type { AgentSocket } from './agent-socket.ts';
import type { SuiteClient } from './suite-client.ts';
import type { SuiteTarget } from './suite-target.ts';

const FRAMES = 10_000;
/** Far above a normal response time, far below the 30 s of a server without backpressure. */
const ANSWER_WITHIN_MS = 20_000;
const UNKNOWN_UPLOAD = '019ab3c2-5f00-7000-8000-00000000dead';

/** An agent that floods the server must not affect others. */
export function floodChecks(target: () => SuiteTarget): void {
  describe(`a flood of ${FRAMES} frames`, { concurrency: false }, () => {
    for (const [what, frame] of [
      ['that are no messages', '{"status":'],
      [
        'about an upload that does not exist',
        JSON.stringify({
          status: 'part_uploaded',
          upload_id: UNKNOWN_UPLOAD,
          attempt: 1,
          parts: Array.from({ length: 50 }, (_, index) => ({ part_number: index + 1, etag: '"x"' })),
        }),
      ],
    ] as const) {
      test(`${what} leaves other agents answered, and the client can connect again`, async (t) => {
        if (!target().hasTwoClients) return t.skip('needs a second agent’s token');
        await using lent = await target().lendTwo();
        const { socket: flooding } = await lent.one.session();
        const { socket: other } = await lent.two.session();
        for (let count = 0; count < FRAMES; count += 1) flooding.sendRaw(frame);
        for (let count = 0; count < 5; count += 1) await assertAnswered(lent.two, other);
        await lent.two.pullStarted(other);
        await flooding.close();
        const { socket } = await lent.one.session();
        await socket.settle();
      });
    }
  });
}

async function assertAnswered(client: SuiteClient, socket: AgentSocket): Promise<void> {
  const started = performance.now();
  const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/list_directory`, {
    path: '/pretended',
  });
  const { command_id } = await socket.next('list_directory');
  const data = { path: '/pretended', entries: [], truncated: false };
  socket.send({ status: 'result', command_id, ok: true, data });
  const answer = await asked;
  assert.equal(answer.status, 200);
  assert.deepEqual(commandAnswerSchema.parse(await answer.json()).result, data);
  const took = performance.now() - started;
  assert.ok(took < ANSWER_WITHIN_MS, `answered after ${took} ms`);
}
