import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type LogFormat, renderLogLine } from '@backhaul/program';
import { AGENT_CONNECTED } from './terminal.ts';

function line(message: string, format: LogFormat): string {
  const fields = { session_id: 'ses_1', epoch: 1, next_try_in_ms: 1000 };
  return renderLogLine({ level: 'info', time: new Date(0), message, fields }, format);
}

const standIn = readFileSync(join(import.meta.dirname, 'stand-ins', 'systemctl'), 'utf8');
const [, pattern = ''] = /grep -qE '([^']*connected[^']*)'/.exec(standIn) ?? [];

for (const format of ['json', 'human'] as const) {
  for (const [message, isConnected] of [
    ['connected', true],
    ['disconnected', false],
    ['not connected: the server cannot be reached', false],
  ] as const) {
    test(`an agent that logs "${message}" as ${format} is ${isConnected ? 'ready' : 'not ready'}, for pages and units alike`, () => {
      const input = line(message, format);
      assert.equal(AGENT_CONNECTED.test(input), isConnected, input);
      assert.equal(spawnSync('grep', ['-qE', pattern], { input }).status === 0, isConnected, input);
    });
  }
}
