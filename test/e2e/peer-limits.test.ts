import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import { assertProblem } from '../harness/assert-problem.ts';
import { AgentSocket } from '../protocol/agent-socket.ts';
import { plainHello } from '../protocol/suite-client.ts';
import { Stage } from '../harness/stage.ts';

test('commands that wait for their agent are held requests, and a further one is refused', async () => {
  await using stage = await Stage.start({ env: { MAX_HELD_REQUESTS_PER_TOKEN: '1' } });
  const agent = await open(stage, 'till');
  assert.ok(agent instanceof AgentSocket);
  agent.send(plainHello);
  await agent.next('welcome');
  const waiting = askHealth(stage);
  const { command_id } = await agent.next('health_check');
  const refused = await askHealth(stage);
  await assertProblem(refused, 429, 'too_many_requests');
  await assertProblem(await stage.fetch('/doctor'), 429, 'too_many_requests');
  agent.send({
    status: 'result',
    command_id,
    ok: false,
    error: 'agent_fault',
    message: 'answered at last',
  });
  await (await waiting).text();
  assert.equal((await stage.fetch('/doctor')).status, 200, 'the place is free again');
  await agent.close();
});

test('a client that is kept away is told until when, and what to change', async () => {
  await using stage = await Stage.start({ env: { AGENT_REFUSALS_PER_MINUTE: '1' } });
  for (let count = 0; count < 20; count += 1) {
    const agent = await open(stage, 'till');
    if (!(agent instanceof AgentSocket)) {
      assert.equal(agent.status, 429);
      assert.match(agent.body, /Client till .* in \d+ s\. .*AGENT_REFUSALS_PER_MINUTE/);
      return;
    }
    for (let frames = 0; frames < 5; frames += 1) agent.sendRaw('no JSON');
    assert.equal(await agent.closeCode(), 4003);
  }
  assert.fail('the client was never kept away');
});

test('a client whose proxy writes its port too is one address, in the log and for its limit', async () => {
  const env = { TRUSTED_PROXIES: '127.0.0.1', MAX_UNAUTHENTICATED_PER_ADDRESS: '2' };
  await using stage = await Stage.start({ env });
  const from = (port: number, address = '203.0.113.9') => ({ 'x-forwarded-for': `${address}:${port}` });
  await (await fetch(`${stage.url}/nowhere`, { headers: from(4000, '203.0.113.10') })).text();
  const line = await stage.server.line((text) => (text.includes('"/nowhere"') ? text : undefined));
  assert.match(line, /"address":"203\.0\.113\.10"/);

  const { port } = new URL(stage.url);
  const requests = [4001, 4002, 4003].map((each) => {
    // This path has no route, so the server waits for the body and the connection stays open.
    const options = {
      port,
      method: 'POST',
      path: '/nowhere',
      headers: { ...from(each), 'content-length': 9 },
    };
    const sent = request(options).on('error', () => {});
    sent.flushHeaders();
    return sent;
  });
  try {
    const signal = AbortSignal.timeout(15_000);
    await Promise.race(requests.map((sent) => once(sent, 'close', { signal })));
    assert.equal(requests.filter(({ destroyed }) => destroyed).length, 1, 'the third is dropped');
    const refused = /^backhaul_connections_refused_total\{reason="per_address"\} 1$/m;
    assert.match(await (await stage.fetch('/metrics')).text(), refused);
  } finally {
    for (const sent of requests) sent.destroy();
  }
});

async function open(stage: Stage, clientId: string): ReturnType<typeof AgentSocket.open> {
  const authorization = `Bearer ${await stage.tokens.agent(clientId)}`;
  return AgentSocket.open({ url: `${stage.webSocketUrl}/ws/connect`, authorization });
}

function askHealth(stage: Stage): Promise<Response> {
  return stage.fetch('/clients/till/commands/health_check', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
}
