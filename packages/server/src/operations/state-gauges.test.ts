import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { sampleToken } from '../../../../test/doubles/fake-agent.ts';
import type { AgentSession } from '../domain/agents/session.ts';
import { type GaugeDeps, registerStateGauges } from './state-gauges.ts';

const DAY_MS = 86_400_000;

test('tokens count as expiring 30 days before they expire, short-lived tokens in their last quarter', async () => {
  const tokens = [
    { madeForDays: 365, leftDays: 31 },
    { madeForDays: 365, leftDays: 29 },
    { madeForDays: 30, leftDays: 29 },
    { madeForDays: 30, leftDays: 7 },
    { madeForDays: 1, leftDays: 0.5 },
  ].map(({ madeForDays, leftDays }) => {
    const expiresAt = Date.now() + leftDays * DAY_MS;
    return { ...sampleToken, issuedAt: expiresAt - madeForDays * DAY_MS, expiresAt };
  });
  assert.deepEqual(await gaugesWith(tokens), {
    backhaul_agent_tokens_expiring: 2,
    backhaul_agent_token_earliest_expiry_timestamp_seconds: (tokens[4]?.expiresAt ?? 0) / 1000,
  });
});

test('without agents there is no earliest expiry', async () => {
  assert.deepEqual(await gaugesWith([]), {
    backhaul_agent_tokens_expiring: 0,
    backhaul_agent_token_earliest_expiry_timestamp_seconds: Number.NaN,
  });
});

async function gaugesWith(
  tokens: readonly AgentSession['token'][],
): Promise<Record<string, number | undefined>> {
  const registry = new Registry();
  const sessions = { all: () => tokens.map((token) => ({ token })), size: tokens.length };
  const tokenOf = ({ token }: Pick<AgentSession, 'token'>) => token;
  registerStateGauges(registry, { sessions, tokenOf } as unknown as GaugeDeps);
  const values: Record<string, number | undefined> = {};
  for (const name of [
    'backhaul_agent_tokens_expiring',
    'backhaul_agent_token_earliest_expiry_timestamp_seconds',
  ]) {
    const metric = await registry.getSingleMetric(name)?.get();
    values[name] = metric?.values[0]?.value;
  }
  return values;
}
