import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, commandAnswerSchema, problemSchema } from '@backhaul/protocol';
import type { SuiteTarget } from './suite-target.ts';

const UNKNOWN_COMMAND = '019ab3c2-5f00-7000-8000-00000000c0de';

const health = {
  agent_version: 'protocol-suite',
  uptime_ms: 1,
  rss_bytes: 2,
  active_uploads: 0,
  max_uploads: 4,
  allowed: ['/pretended'],
  max_rate_bytes_per_second: null,
};

/** Checks commands and their results. */
export function commandChecks(target: () => SuiteTarget): void {
  describe('a command', { concurrency: false }, () => {
    test('health_check reaches the agent, and its result the operator', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/health_check`);
      const { command_id } = await socket.next('health_check');
      socket.send({ status: 'result', command_id, ok: true, data: { ...health, of_the_future: 1 } });
      const answer = await asked;
      assert.equal(answer.status, 200);
      const { result, command_id: answered } = commandAnswerSchema.parse(await answer.json());
      assert.deepEqual(result, health);
      assert.equal(answered, command_id);
    });

    test('list_directory reaches the agent with its path, and its result the operator', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const path = 'D:\\Täglich';
      const asked = list(path);
      const command = await socket.next('list_directory');
      assert.equal(command.path, path);
      const entries = [{ name: 'a.bin', type: 'file', size: 7, modified_at: '2025-11-01T10:20:00.000Z' }];
      const data = { path, entries, truncated: true };
      socket.send({ status: 'result', command_id: command.command_id, ok: true, data });
      const answer = await asked;
      assert.equal(answer.status, 200);
      assert.deepEqual(commandAnswerSchema.parse(await answer.json()).result, data);

      function list(directory: string): Promise<Response> {
        return client.operator.request('POST', `/clients/${client.clientId}/commands/list_directory`, {
          path: directory,
        });
      }
    });

    for (const [what, error, status, code] of [
      ['refuses', 'path_not_allowed', 403, 'path_not_allowed'],
      ['refuses for an unknown reason', 'reason_of_the_future', 502, 'agent_fault'],
      ['refuses for __proto__', '__proto__', 502, 'agent_fault'],
    ] as const) {
      test(`that the agent ${what} is answered ${status}`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/health_check`);
        const { command_id } = await socket.next('health_check');
        socket.send({ status: 'result', command_id, ok: false, error, message: 'because' });
        const problem = await assertProblem(await asked, status, code);
        assert.equal(problem.detail, 'because');
      });
    }

    for (const [what, data] of [
      ['nothing in it', {}],
      ['a number as text', { ...health, uptime_ms: '1' }],
      ['a negative size', { ...health, rss_bytes: -1 }],
    ] as const) {
      test(`whose result has ${what} is answered 502, and the socket goes on`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/health_check`);
        const { command_id } = await socket.next('health_check');
        socket.send({ status: 'result', command_id, ok: true, data });
        await assertProblem(await asked, 502, 'protocol_error');
        await socket.settle();
      });
    }

    test('takes the first result; further ones, and those of unknown commands, change nothing', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const result = { status: 'result', ok: true, data: health };
      socket.send({ ...result, command_id: UNKNOWN_COMMAND });
      const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/health_check`);
      const { command_id } = await socket.next('health_check');
      socket.send({ ...result, command_id: UNKNOWN_COMMAND, data: {} });
      socket.send({ ...result, command_id });
      socket.send({ ...result, command_id, data: {} });
      assert.equal((await asked).status, 200);
      await socket.settle();
      assert.deepEqual(socket.unread, []);
    });

    test('is not answered by another client', async (t) => {
      if (!target().hasTwoClients) return t.skip('needs a second agent’s token');
      await using lent = await target().lendTwo();
      const { socket } = await lent.one.session();
      const { socket: stranger } = await lent.two.session();
      const asked = lent.one.operator.request('POST', `/clients/${lent.one.clientId}/commands/health_check`);
      const { command_id } = await socket.next('health_check');
      stranger.send({ status: 'result', command_id, ok: false, error: 'agent_fault', message: 'mine' });
      await stranger.settle();
      socket.send({ status: 'result', command_id, ok: true, data: health });
      assert.equal((await asked).status, 200);
    });

    test('that the agent has not announced is answered 409 at once, and is not sent', async () => {
      await using client = await target().lend();
      const { socket } = await client.session({ capabilities: ['list_directory'] });
      const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/health_check`);
      const problem = await assertProblem(await asked, 409, 'not_supported');
      assert.match(problem.detail, /protocol-suite/);
      await socket.settle();
      assert.deepEqual(socket.unread, []);
    });

    test('whose agent goes away is answered that it is offline', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const asked = client.operator.request('POST', `/clients/${client.clientId}/commands/health_check`);
      await socket.next('health_check');
      socket.webSocket.terminate();
      await assertProblem(await asked, 409, 'client_offline');
    });
  });
}

async function assertProblem(answer: Response, status: number, code: ErrorCode) {
  const text = await answer.text();
  assert.equal(answer.status, status, text);
  const problem = problemSchema.parse(JSON.parse(text));
  assert.equal(problem.code, code, text);
  return problem;
}
