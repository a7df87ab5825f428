import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Stage } from '../test/harness/stage.ts';
import { ExampleRun } from '../test/harness/example-run.ts';

const readme = path.join(import.meta.dirname, '..', 'packages', 'client', 'README.md');

describe('the code in the README of the client', () => {
  test('is quick-start.ts and save-completed.ts, and there is no other', async () => {
    const text = await readFile(readme, 'utf8');
    const blocks = [...text.matchAll(/^```(?:ts|js|mjs|typescript|javascript)\n(.*?)^```$/gms)];
    const code = blocks.map(([, block]) => block);
    const examples = ['quick-start.ts', 'save-completed.ts'];
    assert.deepEqual(
      code,
      await Promise.all(examples.map((name) => readFile(path.join(import.meta.dirname, name), 'utf8'))),
    );
  });

  test('pulls a file, and saves what was pulled', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('report.bin');
    await writeFile(file, 'a report\n');
    await stage.startAgent('restaurant-1', ['--file', file]);
    const env = { BACKHAUL_URL: stage.url, BACKHAUL_TOKEN: stage.operatorToken };
    await using example = new ExampleRun('quick-start.ts', [], { env, cwd: stage.directory.path });
    const { code, stdout, stderr } = await example.exit;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^completed 9$/m);
    assert.match(stdout, /^the store responds 200$/m);
    const uploadId = (await stage.client.listUploads()).uploads[0]?.upload_id;
    await using save = new ExampleRun('save-completed.ts', [], { env, cwd: stage.directory.path });
    const saved = await save.exit;
    assert.equal(saved.code, 0, saved.stderr);
    assert.equal(await readFile(stage.directory.join(`${uploadId}-report.bin`), 'utf8'), 'a report\n');
  });
});
