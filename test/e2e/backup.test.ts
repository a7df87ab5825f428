import assert from 'node:assert/strict';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Program, logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';

const MiB = 1024 * 1024;

describe('backhaul-server backup', { concurrency: true }, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start();
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    const agent = await stage.startAgent('till', ['--file', file]);
    await agent.stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  /** Uses another directory than the server's, so it needs the path of the database. */
  function startBackup(
    args: readonly string[],
    databasePath = stage.directory.join('backhaul.sqlite'),
  ): Program {
    return new Program('backhaul-server', {
      args: ['backup', ...args],
      env: { DATABASE_URL: `sqlite:${databasePath}` },
      cwd: stage.directory.path,
    });
  }

  test('during a burst of triggers has all that were answered before, and a server starts from it', async () => {
    const file = stage.directory.join('burst.sqlite');
    const answered = new Set<string>();
    const stop = new AbortController();
    const burst = Array.from({ length: 8 }, async () => {
      while (!stop.signal.aborted) {
        answered.add((await stage.client.triggerDownload('till', { force: true })).upload_id);
      }
    });
    while (answered.size < 100) await sleep(5);
    const before = [...answered];
    await using backup = startBackup([file]);
    const exit = await backup.exit;
    const written = answered.size - before.length;
    stop.abort();
    await Promise.all(burst);
    assert.equal(exit.code, 0, exit.stderr);
    assert.ok(written > 0, 'the server wrote meanwhile');
    const entry = logged('backup written')(exit.stdout.trim());
    assert.ok(entry !== undefined, exit.stdout);
    assert.equal(entry['size_bytes'], (await stat(file)).size);
    assert.equal(typeof entry['duration_ms'], 'number');
    if (process.platform !== 'win32') assert.equal((await stat(file)).mode & 0o777, 0o600);

    const restored = stage.spawnServer({ env: { DATABASE_URL: `sqlite:${file}` } });
    try {
      const { url } = await restored.line(logged('listening'));
      for (const uploadId of before) {
        const answer = await fetch(`${String(url)}/uploads/${uploadId}`, {
          headers: { authorization: `Bearer ${stage.operatorToken}` },
        });
        assert.equal(answer.status, 200, uploadId);
        await answer.body?.cancel();
      }
    } finally {
      await restored.stop();
    }
  });

  for (const signals of [['SIGTERM'], ['SIGINT', 'SIGINT']] as const) {
    test(`ended by ${signals.join(' and ')} leaves nothing behind`, async () => {
      await using directory = await temporaryDirectory();
      const database = directory.join('backhaul.sqlite');
      await using plain = startBackup([database]);
      assert.equal((await plain.exit).code, 0);
      const large = new DatabaseSync(database);
      large.exec(`create table filling as select randomblob(${64 * MiB}) as bytes`);
      large.close();
      const copies = async () => (await readdir(directory.path)).filter((name) => name.startsWith('copy'));
      // A backup may end before the signal; then it has to be complete, and the next one is tried.
      let stopped = 0;
      for (let tries = 0; stopped === 0 && tries < 20; tries += 1) {
        const file = directory.join('copy.sqlite');
        await using backup = startBackup([file], database);
        while ((await copies()).length === 0) await sleep(1);
        for (const signal of signals) backup.kill(signal);
        const exit = await backup.exit;
        if (exit.code === 0) {
          assert.deepEqual(await copies(), ['copy.sqlite']);
          assert.equal((await stat(file)).size, (await stat(database)).size);
          await rm(file);
          continue;
        }
        stopped += 1;
        assert.equal(exit.code, 1, exit.stderr);
        assert.match(exit.stderr, new RegExp(`stopped by ${signals[0]}`));
        assert.doesNotMatch(exit.stderr, /^ +at /m);
        assert.deepEqual(await copies(), []);
      }
      assert.ok(stopped > 0, 'no signal came in time');
    });
  }

  test('tells mistakes in use by 2, names what to change and makes no file', async () => {
    await using directory = await temporaryDirectory();
    const file = directory.join('copy.sqlite');
    const none = directory.join('none.sqlite');
    const there = directory.join('there.sqlite');
    await writeFile(there, 'dear');
    for (const [program, expected] of [
      [startBackup([file], none), /DATABASE_URL.*none\.sqlite/],
      [startBackup([there]), /there\.sqlite already exists/],
      [startBackup([]), /FILE is missing/],
      [startBackup([file], there), /DATABASE_URL.*there\.sqlite/],
    ] as const) {
      const exit = await program.exit;
      assert.equal(exit.code, 2, exit.stderr);
      assert.match(exit.stderr, expected);
      assert.doesNotMatch(exit.stderr, /^ +at /m);
      assert.equal(exit.stdout, '');
    }
    assert.deepEqual(await readdir(directory.path), ['there.sqlite']);
  });

  test('with --dev copies the database of the working directory, and says so to a person', async () => {
    await using directory = await temporaryDirectory();
    await using server = new Program('backhaul-server', {
      args: ['--dev', '--port', '0'],
      cwd: directory.path,
    });
    await server.line((line) => line.includes('Backhaul is ready') || undefined);
    await using backup = new Program('backhaul-server', {
      args: ['backup', '--dev', 'copy.sqlite'],
      cwd: directory.path,
    });
    const exit = await backup.exit;
    assert.equal(exit.code, 0, exit.stderr);
    assert.match(exit.stdout, /^Backed up .*copy\.sqlite: \d+ bytes in \d+ ms\.\n$/);
    assert.equal(exit.stderr, '');
    await rm(directory.join('copy.sqlite'));
  });
});
