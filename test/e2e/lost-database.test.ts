import assert from 'node:assert/strict';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { assertProblem } from '../harness/assert-problem.ts';
import { Program, logged } from '../harness/program.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';

const skip = process.platform === 'win32' && 'open files cannot be removed there';

describe('when files of the database are lost while the server runs', { skip }, () => {
  test('it is not ready, accepts nothing and says so; it goes on once they are back', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--allow', stage.directory.path]);
    const { upload_id: kept } = await stage.pull('till', { file_path: file });
    const database = stage.directory.join('backhaul.sqlite');
    await rename(database, `${database}.away`);
    const body = JSON.stringify({ file_path: file });
    const headers = { 'content-type': 'application/json' };
    const refusal = await stage.fetch('/trigger-download/till', { method: 'POST', body, headers });
    await assertProblem(refusal, 503, 'database_unavailable');
    const { checks } = await readinessWhen(stage, false);
    assert.match(checks['store']?.detail ?? '', /backhaul\.sqlite no longer exists/);
    const { problem } = await stage.server.line(logged('database files changed; not ready'));
    assert.match(String(problem), /backhaul\.sqlite no longer exists/);
    const doctor = await stage.cli('doctor');
    assert.notEqual(doctor.code, 0);
    assert.match(doctor.stdout + doctor.stderr, /backhaul\.sqlite no longer exists/);
    assert.equal((await stage.client.getUpload(kept)).status, 'completed', 'what there was can be read');

    await rename(`${database}.away`, database);
    await readinessWhen(stage, true);
    assert.equal((await stage.pull('till', { file_path: file, force: true })).status, 'completed');
  });

  test('a backup copied over a running server’s database is found as it was copied, after a stop', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--allow', stage.directory.path]);
    const { upload_id: early } = await stage.pull('till', { file_path: file });
    const database = stage.directory.join('backhaul.sqlite');
    await using copying = new Program('backhaul-server', {
      args: ['backup', stage.directory.join('copy.sqlite')],
      env: { DATABASE_URL: `sqlite:${database}` },
    });
    assert.equal((await copying.exit).code, 0);
    const { upload_id: late } = await stage.pull('till', { file_path: file, force: true });
    await copyFile(stage.directory.join('copy.sqlite'), database);
    const { checks } = await readinessWhen(stage, false);
    assert.match(checks['store']?.detail ?? '', /backhaul\.sqlite was overwritten/);
    await stage.restartServer();
    await readinessWhen(stage, true);
    assert.equal((await stage.client.getUpload(early)).status, 'completed');
    await assert.rejects(stage.client.getUpload(late), { code: 'upload_not_found' });
    await rm(file);
  });
});
