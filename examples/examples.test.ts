import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { randomFile } from '../test/harness/random-file.ts';
import { Stage } from '../test/harness/stage.ts';
import { ExampleRun } from '../test/harness/example-run.ts';

const SIZE_BYTES = 11 * 1024 * 1024;

let stage: Stage;
let file: string;
before(async () => {
  stage = await Stage.start();
  await mkdir(stage.directory.join('data'));
  file = stage.directory.join('data', 'report.bin');
  await randomFile(file, SIZE_BYTES);
  await stage.startAgent('restaurant-1', ['--allow', stage.directory.join('data'), '--label', 'site=berlin']);
});
after(() => stage[Symbol.asyncDispose]());

function start(name: string, args: readonly string[] = [], url = stage.url): ExampleRun {
  const env = { BACKHAUL_URL: url, BACKHAUL_TOKEN: stage.operatorToken };
  return new ExampleRun(name, args, { env, cwd: stage.directory.path });
}

describe('pull-file.ts', () => {
  test('shows progress and saves the same bytes', async () => {
    await using example = start('pull-file.ts', ['restaurant-1', file, 'copy.bin']);
    const { code, stdout, stderr } = await example.exit;
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      new RegExp(
        `^completed ${SIZE_BYTES} of ${SIZE_BYTES} bytes\\nsaved copy\\.bin compared by sha256$`,
        'm',
      ),
    );
    assert.ok((await readFile(stage.directory.join('copy.bin'))).equals(await readFile(file)));
    assert.deepEqual(
      (await readdir(stage.directory.path)).filter((name) => name.endsWith('.part')),
      [],
    );
  });

  test('reports why a file was not pulled', async () => {
    await using example = start('pull-file.ts', ['restaurant-1', '/etc/hostname', 'no.bin']);
    const { code, stderr } = await example.exit;
    assert.equal(code, 1);
    assert.match(stderr, /failed: path_not_allowed/);
  });
});

describe('follow-events.ts', () => {
  test('prints each change of status once, across a lost connection, and ends by Ctrl-C', async () => {
    await using example = start('follow-events.ts');
    const isDone = (text: string): boolean => text.includes(`restaurant-1 ${file} completed`);
    // The example's stream has started once it shows an upload.
    let pulls = 0;
    while (!isDone(example.output.stdout)) {
      await stage.pull('restaurant-1', { file_path: file });
      pulls += 1;
      assert.ok(pulls < 50, example.output.stderr);
    }
    await stage.restartServer();
    await example.until(({ stderr }) => /lost .*retrying in/.test(stderr));
    await stage.pull('restaurant-1', { file_path: '/etc/hostname' });
    await example.until(({ stdout }) => stdout.includes('/etc/hostname failed path_not_allowed'));
    example.kill('SIGINT');
    const { code, stdout } = await example.exit;
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split('\n');
    assert.deepEqual(lines, [...new Set(lines)]);
  });
});

describe('fleet-report.ts', () => {
  test('has a line for every machine with the label, and its last pull', async () => {
    await stage.startAgent('lab-7', []);
    await stage.pull('restaurant-1', { file_path: '/etc/hostname' });
    await using all = start('fleet-report.ts');
    const { stdout } = await all.exit;
    const [lab, restaurant] = stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    assert.partialDeepStrictEqual(lab, { client_id: 'lab-7', connected: true, last_pull: null });
    const last = { last_pull: '/etc/hostname: failed', last_error: 'path_not_allowed' };
    assert.partialDeepStrictEqual(restaurant, {
      client_id: 'restaurant-1',
      labels: { site: 'berlin' },
      ...last,
    });

    await using some = start('fleet-report.ts', ['site=berlin']);
    assert.match((await some.exit).stdout, /^{"client_id":"restaurant-1".*}\n$/);
  });
});

describe('pull-once.ts', () => {
  test('repeats the request after a lost response, and starts one upload', async () => {
    await using proxy = await responseLosingProxy(stage.url);
    const { uploads: earlier } = await stage.client.listUploads({ limit: 500 });
    await using example = start('pull-once.ts', ['restaurant-1', file, 'nightly-1'], proxy.url);
    const { code, stdout, stderr } = await example.exit;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[0-9a-f-]{36} completed\n$/);
    assert.match(stderr, /retrying in \d+ ms/);
    assert.equal(proxy.lost(), 1);
    const { uploads } = await stage.client.listUploads({ limit: 500 });
    assert.equal(uploads.length, earlier.length + 1);
  });

  test('does not repeat a request where that cannot help', async () => {
    await using example = start('pull-once.ts', ['nobody', file, 'nightly-2']);
    const { code, stderr } = await example.exit;
    assert.equal(code, 2);
    assert.match(stderr, /^client_not_found [^\n]+\n$/);
  });
});

/** Forwards requests to the server, and cuts the connection instead of returning the first response. */
async function responseLosingProxy(
  target: string,
): Promise<{ url: string; lost(): number } & AsyncDisposable> {
  let lost = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const { method = 'GET', url = '/', headers } = request;
      const chunks = await request.toArray();
      const { host: _host, connection: _connection, 'content-length': _length, ...kept } = headers;
      const body = method === 'POST' ? { body: Buffer.concat(chunks) } : {};
      const upstream = await fetch(new URL(url, target), {
        method,
        headers: kept as Record<string, string>,
        ...body,
      });
      if (method === 'POST' && lost === 0) {
        await upstream.body?.cancel();
        lost += 1;
        request.socket.destroy();
        return;
      }
      response.writeHead(upstream.status, { 'content-type': upstream.headers.get('content-type') ?? '' });
      for await (const chunk of upstream.body ?? []) response.write(chunk);
      response.end();
    })().catch(() => response.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lost: () => lost,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
