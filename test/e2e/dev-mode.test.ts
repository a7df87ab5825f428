import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { uploadRecordSchema } from '@backhaul/protocol';
import { type DevFile, devFileSchema } from '@backhaul/protocol/dev-file';
import { type Exit, Program, type ProgramName, logged } from '../harness/program.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';

describe('backhaul-server --dev in an empty directory', { concurrency: true }, () => {
  test('needs no setting, nor do agent and command line there; a restart keeps everything', async () => {
    await using place = await temporaryDirectory();
    const file = place.join('report.txt');
    await writeFile(file, 'a first pull\n');
    await using first = await startServer(place, '0');
    const { server_url: url, pid } = await devFileOf(place);
    assert.equal(pid, first.pid);
    assert.match(first.output.stdout, new RegExp(`ready at ${url}`));
    assert.match(first.output.stdout, /npx --no -- backhaul download --client-id restaurant-1/);
    assert.deepEqual((await readdir(place.path)).toSorted(), ['.backhaul', 'report.txt']);
    if (process.platform !== 'win32') {
      assert.equal((await stat(place.join('.backhaul', 'dev.json'))).mode & 0o777, 0o600);
      assert.equal((await stat(place.join('.backhaul'))).mode & 0o077, 0);
    }

    const server = url.replace('http://127.0.0.1', 'ws://localhost');
    const args = ['--client-id', 'restaurant-1', '--file', file, '--server-url', server];
    await using agent = new Program('backhaul-agent', { args, cwd: place.path });
    await agent.line(logged('connected'));
    const pulled = await run(place, 'backhaul', ['download', '--client-id', 'restaurant-1', '--json']);
    assert.equal(pulled.code, 0, pulled.stderr);
    const record = uploadRecordSchema.parse(JSON.parse(pulled.stdout.trimEnd().split('\n').at(-1) ?? ''));
    assert.equal(record.status, 'completed');
    assert.equal(record.verification, 'full_object');

    const [store] = await childrenOf(first.pid);
    first.kill('SIGTERM');
    const { code, stderr } = await first.exit;
    assert.equal(code, 0, stderr);
    if (store !== undefined) assert.ok(!isRunning(store), 'the object store ended with the server');
    await assert.rejects(stat(place.join('.backhaul', 'dev.json')), { code: 'ENOENT' });

    await using second = await startServer(place, new URL(url).port);
    assert.equal((await devFileOf(place)).server_url, url);
    await second.line(logged('agent connected'));
    const copy = place.join('copy.txt');
    const content = await run(place, 'backhaul', ['content', record.upload_id, '--output', copy]);
    assert.equal(content.code, 0, content.stderr);
    assert.equal(await readFile(copy, 'utf8'), 'a first pull\n');
    const again = await run(place, 'backhaul', ['download', '--client-id', 'restaurant-1', '--output', '-']);
    assert.equal(again.stdout, 'a first pull\n', again.stderr);
    const doctor = await run(place, 'backhaul', ['doctor']);
    assert.equal(doctor.code, 0, doctor.stdout);
    for (const { output } of [first, second]) {
      const { jwt_secret: secret, operator_token: token } = await devFileOf(place);
      assert.ok(!`${output.stdout}${output.stderr}`.includes(secret));
      assert.ok(!`${output.stdout}${output.stderr}`.includes(token));
    }
  });

  test(
    'goes on when standard output is full, and says so in a line',
    { skip: !existsSync('/dev/full') },
    async () => {
      await using directory = await temporaryDirectory();
      const shell = 'exec "$0" "$@" >/dev/full';
      await using server = new Program('backhaul-server', {
        args: ['--dev', '--port', '0'],
        cwd: directory.path,
        through: ['sh', '-c', shell],
      });
      await server.line((line) => (line.includes('standard output cannot be written') ? line : undefined));
      const { url } = await server.line(logged('listening'));
      assert.equal((await fetch(`${String(url)}/healthz`)).status, 200);
      const { stderr } = await server.stop();
      assert.doesNotMatch(stderr, /^ +at /m);
    },
  );

  test('a second one there is refused and says so', async () => {
    await using place = await temporaryDirectory();
    await using _first = await startServer(place, '0');
    const { code, stderr } = await run(place, 'backhaul-server', ['--dev', '--port', '0']);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /\.backhaul|directory/);
    assert.doesNotMatch(stderr, /^ +at /m);
  });

  test('killed, it leaves no object store behind, and starts again', async (context) => {
    await using place = await temporaryDirectory();
    await using server = await startServer(place, '0');
    const { server_url: url } = await devFileOf(place);
    const children = await childrenOf(server.pid);
    if (process.platform !== 'linux') return context.skip('children are looked up in /proc');
    assert.equal(children.length, 1);
    server.kill('SIGKILL');
    await server.exit;
    const deadline = performance.now() + 15_000;
    while (children.some(isRunning)) {
      assert.ok(performance.now() < deadline, 'the object store still runs');
      // It is not our child, so there is no event to wait for.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await using again = await startServer(place, new URL(url).port);
    assert.equal((await fetch(`${url}/readyz`)).status, 200, again.output.stderr);
  });
});

async function startServer(place: TemporaryDirectory, port: string): Promise<Program> {
  const server = new Program('backhaul-server', { args: ['--dev', '--port', port], cwd: place.path });
  await server.line((line) => (line.startsWith('Backhaul is ready') ? true : undefined));
  return server;
}

async function devFileOf(place: TemporaryDirectory): Promise<DevFile> {
  return devFileSchema.parse(JSON.parse(await readFile(place.join('.backhaul', 'dev.json'), 'utf8')));
}

async function run(place: TemporaryDirectory, name: ProgramName, args: readonly string[]): Promise<Exit> {
  await using program = new Program(name, { args, cwd: place.path });
  return await program.exit;
}

/** Works only on Linux. */
async function childrenOf(pid = 0): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
