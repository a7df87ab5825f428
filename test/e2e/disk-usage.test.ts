import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { DiskUsageProgress } from '@backhaul/protocol';
import { WebSocket } from 'ws';
import { assertProblem } from '../harness/assert-problem.ts';
import type { Program } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';

/** Enough for a walk of a few seconds. */
const DIRECTORIES = 5000;

describe('disk_usage', () => {
  let stage: Stage;
  let agent: Program;
  let small: string;
  let large: string;
  before(async () => {
    // This level logs a request before its response.
    stage = await Stage.start({ env: { LOG_LEVEL: 'debug' } });
    small = stage.directory.join('small');
    large = stage.directory.join('large');
    await mkdir(`${small}/inner`, { recursive: true });
    await writeFile(`${small}/inner/five`, '12345');
    await writeFile(`${small}/two`, '12');
    mkdirSync(large);
    for (let index = 0; index < DIRECTORIES; index += 1) mkdirSync(`${large}/d${index}`);
    agent = await stage.startAgent('till', ['--allow', small, '--allow', large]);
  });
  after(() => stage[Symbol.asyncDispose]());

  test('adds up a directory, and the audit records it', async () => {
    const { code, stdout, stderr } = await stage.cli('du', 'till', small, '--largest', '1', '--json');
    assert.equal(code, 0, stderr);
    const { bytes, files, directories, largest } = JSON.parse(stdout);
    assert.deepEqual([bytes, files, directories], [7, 2, 1]);
    assert.deepEqual(
      largest.map(({ path }: { path: string }) => path),
      [`${small}/inner/five`],
    );
    const table = await stage.cli('du', 'till', small);
    assert.match(table.stdout, /size +7 B/);
    const audit = await stage.cli('audit', '--action', 'client.disk_usage', '--json');
    assert.match(audit.stdout, new RegExp(small));
  });

  test('stays inside the allow-list', async () => {
    await assertProblem(await usage('till', stage.directory.path), 403, 'path_not_allowed');
    await assertProblem(await usage('till', `${small}/two`), 422, 'not_a_directory');
  });

  test('reports progress, and then the result', async () => {
    const seen: DiskUsageProgress[] = [];
    const onProgress = (progress: DiskUsageProgress) => seen.push(progress);
    const { directories } = await stage.client.runCommand(
      'till',
      'disk_usage',
      { path: large },
      { onProgress },
    );
    assert.equal(directories, DIRECTORIES);
    assert.ok(seen.length > 0);
  });

  test('stops on the agent when its requester disconnects', async () => {
    const cancelled = agent.line((line) =>
      line.includes('command cancelled by the server') ? true : undefined,
    );
    await using cli = stage.startCli(['du', 'till', large]);
    await stage.server.line((line) => (line.includes('disk_usage') ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    cli.kill('SIGINT');
    assert.equal((await cli.exit).code, 130);
    await cancelled;
  });

  test('is not sent to an agent of 0.1.0, and the refusal names its version', async () => {
    const socket = new WebSocket(`${stage.webSocketUrl}/ws/connect`, ['backhaul.v1'], {
      headers: { authorization: `Bearer ${await stage.tokens.agent('old')}` },
    });
    await once(socket, 'open');
    const welcome = once(socket, 'message');
    socket.send(
      JSON.stringify({
        status: 'hello',
        agent_version: '0.1.0',
        platform: { os: 'linux', arch: 'x64' },
        capabilities: ['health_check', 'list_directory', 'resume'],
        limits: { max_uploads: 4, parallel_parts: 8 },
      }),
    );
    await welcome;
    const frames: unknown[] = [];
    socket.on('message', (frame) => frames.push(frame));
    const problem = await assertProblem(await usage('old', small), 409, 'not_supported');
    assert.match(problem.detail, /0\.1\.0/);
    assert.deepEqual(frames, []);
    socket.terminate();
  });

  function usage(clientId: string, path: string): Promise<Response> {
    return stage.fetch(`/clients/${clientId}/commands/disk_usage`, {
      method: 'POST',
      body: JSON.stringify({ path }),
      headers: { 'content-type': 'application/json' },
    });
  }
});
