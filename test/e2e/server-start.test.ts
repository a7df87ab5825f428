import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DeleteBucketCommand, HeadBucketCommand } from '@aws-sdk/client-s3';
import { type Exit, Program, logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';

describe('backhaul-server', () => {
  let stage: Stage;
  let count = 0;
  before(async () => {
    stage = await Stage.start();
  });
  after(() => stage[Symbol.asyncDispose]());

  /** Starts a second server with changed settings and waits until it ends by itself. */
  async function startsAndEnds(
    env: Readonly<Record<string, string>>,
    args: readonly string[] = [],
  ): Promise<Exit> {
    const server = stage.spawnServer({ env: { ...ownDatabase(), ...env }, args });
    const timer = setTimeout(() => server.kill('SIGKILL'), 60_000);
    const exit = await server.exit;
    clearTimeout(timer);
    return exit;
  }

  function ownDatabase(): Record<string, string> {
    count += 1;
    return { DATABASE_URL: `sqlite:${stage.directory.join(`own-${count}.sqlite`)}` };
  }

  test('does not start without its settings, and names all of them', async () => {
    await using server = new Program('backhaul-server', { cwd: stage.directory.path });
    const exit = await server.exit;
    assert.equal(exit.code, 2);
    for (const name of ['S3_BUCKET_NAME', 'AWS_REGION', 'JWT_SECRET', '--dev']) {
      assert.match(exit.stderr, new RegExp(name), exit.stderr);
    }
    assert.doesNotMatch(exit.stderr, /^ +at /m, 'a mistake in use comes without a stack');
  });

  test('does not start with a wrong setting, and names it without its value', async () => {
    const exit = await startsAndEnds({ JWT_SECRET: 'far-too-short', PRESIGN_EXPIRY_SECONDS: '0' });
    assert.equal(exit.code, 2);
    assert.match(exit.stderr, /JWT_SECRET/);
    assert.match(exit.stderr, /PRESIGN_EXPIRY_SECONDS/);
    assert.doesNotMatch(exit.stderr, /far-too-short/);
  });

  test('does not start with a bucket that does not exist, and names the setting', async () => {
    const exit = await startsAndEnds({ S3_BUCKET_NAME: 'no-such-bucket-here' });
    assert.equal(exit.code, 2, exit.stderr);
    assert.match(exit.stderr, /S3_BUCKET_NAME/);
    assert.match(exit.stderr, /no-such-bucket-here/);
    assert.match(exit.stderr, /--setup-bucket/);
    assert.doesNotMatch(exit.stderr, /^ +at /m);
  });

  for (const args of [[], ['--setup-bucket']]) {
    const suffix = args.length === 0 ? '' : `, also with ${args.join(' ')}`;
    test(`does not start with credentials that the store refuses, and names the settings${suffix}`, async () => {
      const wrongSecret = await startsAndEnds({ AWS_SECRET_ACCESS_KEY: 'wrong-secret-value' }, args);
      assert.equal(wrongSecret.code, 2, wrongSecret.stderr);
      assert.match(wrongSecret.stderr, /^backhaul-server: [^\n]*Check AWS_SECRET_ACCESS_KEY[^\n]*\n$/);
      assert.doesNotMatch(`${wrongSecret.stdout}${wrongSecret.stderr}`, /wrong-secret-value/);
      const wrongKey = await startsAndEnds({ AWS_ACCESS_KEY_ID: 'NOSUCHKEY' }, args);
      assert.equal(wrongKey.code, 2, wrongKey.stderr);
      assert.match(wrongKey.stderr, /^backhaul-server: [^\n]*check AWS_ACCESS_KEY_ID[^\n]*\n$/);
      const invisible = await startsAndEnds({ AWS_SECRET_ACCESS_KEY: 'right-or-wrong\r' }, args);
      assert.equal(invisible.code, 2, invisible.stderr);
      assert.match(invisible.stderr, /AWS_SECRET_ACCESS_KEY must not .*carriage return/);
    });
  }

  test('does not start on a port in use, and names the flag', async () => {
    const exit = await startsAndEnds({}, ['--port', new URL(stage.url).port]);
    assert.equal(exit.code, 2, exit.stderr);
    assert.match(exit.stderr, /--port/);
    assert.doesNotMatch(exit.stderr, /^ +at /m);
  });

  test('does not start on an address that this machine lacks, and names the flag', async () => {
    for (const host of ['192.0.2.1', 'nosuch.invalid']) {
      const exit = await startsAndEnds({}, ['--host', host]);
      assert.equal(exit.code, 2, exit.stderr);
      assert.match(exit.stderr, /--host/);
      assert.doesNotMatch(exit.stderr, /^ +at /m);
    }
  });

  test('does not make directories for a database, and names the one that is missing', async () => {
    const directory = stage.directory.join('nosuch', 'dir');
    const exit = await startsAndEnds({ DATABASE_URL: `sqlite:${directory}/b.sqlite` });
    assert.equal(exit.code, 2, exit.stderr);
    assert.match(exit.stderr, new RegExp(`the directory ${directory} does not exist.*DATABASE_URL`));
    assert.equal(existsSync(stage.directory.join('nosuch')), false);
  });

  test('says which database it uses, and whether that is a new one', async () => {
    const env = ownDatabase();
    const database = String(env['DATABASE_URL']).replace('sqlite:', '');
    for (const [message, existing] of [
      ['new database created', false],
      ['database opened', true],
    ] as const) {
      await using server = stage.spawnServer({ env });
      const line = await server.line(logged(message));
      assert.deepEqual([line['database'], line['existing']], [database, existing]);
    }
  });

  test('does not start on a database that another server uses, and names the setting', async () => {
    const database = `sqlite:${stage.directory.join('backhaul.sqlite')}`;
    const exit = await startsAndEnds({ DATABASE_URL: database });
    assert.equal(exit.code, 2, exit.stderr);
    assert.match(exit.stderr, /DATABASE_URL/);
    assert.equal((await stage.client.readiness()).ready, true, 'the first goes on');
  });

  test('creates its bucket when told to, and says what it did', async () => {
    const bucket = `setup-${stage.s3.bucket}`;
    const server = stage.spawnServer({
      env: { ...ownDatabase(), S3_BUCKET_NAME: bucket },
      args: ['--setup-bucket'],
    });
    await server.line(logged('bucket set up'));
    const { url } = await server.line(logged('listening'));
    await stage.s3.client.send(new HeadBucketCommand({ Bucket: bucket }));
    assert.equal((await fetch(`${String(url)}/readyz`)).status, 200);
    assert.equal((await server.stop()).code, 0);
    await stage.s3.client.send(new DeleteBucketCommand({ Bucket: bucket }));
  });

  test('prints help and version without any setting', async () => {
    for (const [flag, expected] of [
      ['--help', /--setup-bucket/],
      ['--version', /^\d+\.\d+\.\d+\n$/],
    ] as const) {
      await using program = new Program('backhaul-server', { args: [flag] });
      const { code, stdout, stderr } = await program.exit;
      assert.equal(code, 0);
      assert.match(stdout, expected);
      assert.equal(stderr, '');
    }
  });

  test('ends at once by SIGINT as by SIGTERM, with 0', async () => {
    const server = stage.spawnServer({ env: ownDatabase() });
    await server.line(logged('listening'));
    server.kill('SIGINT');
    const { code, signal, stderr } = await server.exit;
    assert.deepEqual([code, signal, stderr], [0, null, '']);
  });
});
