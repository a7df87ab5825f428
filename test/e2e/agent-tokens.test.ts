import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Finding, Opened } from '@backhaul/protocol';
import { logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { TokenSigner } from '../harness/tokens.ts';

describe('an agent’s token', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage[Symbol.asyncDispose]());

  test('that has expired is named by the agent with what to do, logged by the server and counted', async () => {
    const expiresAt = Math.floor(Date.now() / 1000) - 3600;
    const ended = new Date(expiresAt * 1000).toISOString();
    const token = await stage.tokens.sign('agent', { subject: 'till-7', expiresAt });
    const agent = stage.spawnAgent({
      args: ['--client-id', 'till-7', '--server-url', stage.webSocketUrl, '--log-format', 'json'],
      env: { BACKHAUL_TOKEN: token },
    });
    const refusal = await stage.server.line(logged('agent refused before the upgrade'));
    const { reason, claimed_client_id: claimed, address, detail } = refusal;
    assert.deepEqual([reason, claimed, address], ['token_expired', 'till-7', '127.0.0.1']);
    assert.equal(detail, `The token expired on ${ended}.`);
    const line = await agent.line((text) => (text.includes('rejected this agent') ? text : undefined));
    assert.ok(line.includes(`expired on ${ended}; ask an operator for a new one`), line);
    assert.ok(line.includes('backhaul token agent --client-id till-7'), line);
    await agent.stop();
    const metrics = await (await stage.fetch('/metrics')).text();
    assert.match(metrics, /^backhaul_agents_refused_total\{reason="token_expired"\} [1-9]/m);
  });

  test('shows when it ends in status, list, command line and metrics', async () => {
    const expiresAt = Math.floor(Date.now() / 1000) + 600;
    const token = await stage.tokens.sign('agent', { subject: 'till-8', expiresAt });
    const ends = new Date(expiresAt * 1000).toISOString();
    const agent = await stage.startAgent('till-8', ['--token', token]);
    assert.equal((await stage.client.getStatus('till-8')).token_expires_at, ends);
    const { clients } = await stage.client.listClients();
    assert.deepEqual(
      clients.map(({ token_expires_at }) => token_expires_at),
      [ends],
    );
    for (const command of ['status', 'health']) {
      const { stdout } = await stage.cli(command, 'till-8');
      assert.match(stdout, /token ends +in (9 min \d+ s|10 min)/, command);
    }
    assert.match((await stage.cli('clients')).stdout, /TOKEN ENDS[^]*in (9 min|10 min)/);
    const metrics = await (await stage.fetch('/metrics')).text();
    const earliest = `backhaul_agent_token_earliest_expiry_timestamp_seconds ${expiresAt}`;
    assert.ok(metrics.includes(`${earliest}\n`), metrics);
    await agent.stop();
    assert.equal((await stage.client.getStatus('till-8')).token_expires_at, ends, 'while it is away, too');
  });

  test('of a blocked client gets no connection, and the one that it had is closed within 5 s', async () => {
    const agent = await stage.startAgent('till-10', []);
    const before = performance.now();
    const { stdout } = await stage.cli('block', 'till-10', '--reason', 'stolen');
    assert.match(stdout, /till-10 is blocked/);
    const closed = await agent.line((text) => (text.includes('has blocked') ? text : undefined));
    assert.match(closed, /an operator has blocked this client_id/);
    assert.ok(performance.now() - before < 5000);
    await agent.stop();
    const status = await stage.client.getStatus('till-10');
    assert.deepEqual(
      [status.connected, status.blocked?.blocked_by, status.blocked?.reason],
      [false, 'tester', 'stolen'],
    );
    await assert.rejects(stage.client.triggerDownload('till-10', { file_path: '/x' }), {
      code: 'client_blocked',
    });

    const again = stage.spawnAgent({
      args: ['--client-id', 'till-10', '--server-url', stage.webSocketUrl, '--log-format', 'json'],
      env: { BACKHAUL_TOKEN: await stage.tokens.agent('till-10') },
    });
    const refused = await again.line((text) => (text.includes('rejected this agent') ? text : undefined));
    assert.match(
      refused,
      /HTTP 403\): Client till-10 was blocked by an operator on [\d:.TZ-]+; an operator can remove the block/,
    );
    await again.stop();
    const line = await stage.server.line((text) => (text.includes('"reason":"blocked"') ? text : undefined));
    assert.match(line, /"client_id":"till-10"/);
    assert.match(line, /"blocked_by":"tester","block_reason":"stolen"/);

    assert.equal((await stage.cli('unblock', 'till-10')).code, 0);
    const { events } = await stage.client.listAudit({ client_id: 'till-10', actor: 'tester' });
    assert.deepEqual(
      events.map(({ action, detail }) => ({ action, detail })),
      [
        { action: 'client.unblock', detail: {} },
        {
          action: 'upload.trigger',
          detail: { error: 'client_blocked', file_path: '/x', reason: null },
        },
        { action: 'client.block', detail: { reason: 'stolen' } },
      ],
    );
    const first = await stage.client.listAudit({ client_id: 'till-10', limit: 1 });
    const second = await stage.client.listAudit({ client_id: 'till-10', cursor: first.next_cursor ?? '' });
    assert.deepEqual([...first.events, ...second.events], events);
    assert.match(
      (await stage.cli('audit', '--action', 'client.block')).stdout,
      /tester +127\.0\.0\.1 +client\.block +till-10/,
    );
    const back = await stage.startAgent('till-10', []);
    assert.equal((await stage.client.getStatus('till-10')).blocked, null);
    await back.stop();
  });

  test('of either secret is accepted during a change-over, and doctor says who still uses the old one', async () => {
    const agent = await stage.startAgent('till-9', []);
    const next = new TokenSigner('the secret that replaces the one of before');
    const env = { JWT_SECRET: next.secret, JWT_SECRET_PREVIOUS: stage.tokens.secret };
    await stage.restartServer({ env });
    await stage.server.line(logged('agent connected'));
    const old = await previousSecretOf(stage);
    assert.match(old.detail, /^1 connected agents use tokens of JWT_SECRET_PREVIOUS \(till-9\)/);
    assert.match(old.detail, /Operators that used one .*: 1 \(tester\)/);
    assert.equal(old.level, 'warning');
    await agent.stop();
    const renewed = await stage.startAgent('till-9', ['--token', await next.agent('till-9')]);
    assert.match((await previousSecretOf(stage)).detail, /^0 connected agents/);
    await renewed.stop();
  });
});

async function previousSecretOf(stage: Stage): Promise<Opened<Finding>> {
  const { findings } = await stage.client.diagnosis();
  return findings.find(({ name }) => name === 'previous_secret') ?? assert.fail('doctor does not say');
}
