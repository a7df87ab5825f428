/**
 * Many real agents in one process, each with its own socket, token and file. Reads one line of JSON ({@link
 * CrowdOrder}) from standard input, prints one line per connection of an agent, and ends with its input.
 */
import { createInterface } from 'node:readline';
import { AgentApp, createLog, readConfig } from 'backhaul-agent';
import { crowdOrderSchema } from './crowd-order.ts';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value: line } = await lines.next();
const { serverUrl, agents, args } = crowdOrderSchema.parse(JSON.parse(String(line)));

const apps = agents.map(({ clientId, token, file }) => {
  const invocation = readConfig(
    ['--client-id', clientId, '--server-url', serverUrl, '--file', file, ...args],
    { env: { BACKHAUL_TOKEN: token }, cwd: process.cwd(), terminal: false, os: process.platform },
  );
  if (invocation.kind !== 'run') throw new Error('the arguments start no agent');
  const log = createLog({ level: 'info', format: 'json', write: (text) => report(clientId, text) });
  return new AgentApp(invocation.config, { log });
});
await Promise.all(apps.map((app) => app.start()));
// Waits for the end of input, which also comes when the test is killed.
while ((await lines.next()).done !== true);
await Promise.all(apps.map((app) => app.close()));

function report(clientId: string, text: string): void {
  const { msg, level, ...fields } = JSON.parse(text) as Record<string, unknown>;
  if (msg === 'connected' || level === 'warn' || level === 'error') {
    process.stdout.write(`${JSON.stringify({ clientId, at: Date.now(), level, msg, ...fields })}\n`);
  }
}
