import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { logged } from '../../harness/program.ts';
import { randomFile } from '../../harness/random-file.ts';
import { Stage } from '../../harness/stage.ts';
import { hold } from './s3/hold.ts';
import { dropAnswer } from './s3/lost-call.ts';

const MiB = 1024 * 1024;

describe('a stage with faults', { concurrency: true }, () => {
  test('has its server’s calls and its agents’ parts go through the proxy', async () => {
    await using stage = await Stage.start({ faults: true });
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    const part = stage.faults.next({ operation: 'UploadPart', fault: dropAnswer() });
    const complete = stage.faults.next({ operation: 'CompleteMultipartUpload', fault: dropAnswer() });
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(await (await fetch(await contentUrl(stage, record.upload_id))).text(), 'small');
    stage.faults.assertAllFired();
    for (const rule of [part, complete]) assert.equal(rule.calls[0]?.key, record.key);
    const get = await stage.faults.ended({ operation: 'GetObject' });
    assert.equal(get.status, 200);
  });

  test('can have its server killed at the very moment in which the store has completed an upload', async () => {
    await using stage = await Stage.start({ faults: true });
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    const killed = stage.faults.next({
      operation: 'CompleteMultipartUpload',
      fault: hold({
        after: async () => {
          const exit = await stage.restartServer({ signal: 'SIGKILL' });
          assert.equal(exit.signal, 'SIGKILL');
        },
      }),
    });
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await killed.fired();
    await killed.settled();
    const [call] = killed.calls;
    assert.deepEqual([call?.storeStatus, call?.status], [200, null]);
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
  });

  test('has a network between agents and server, and one between agents and store', async () => {
    await using stage = await Stage.start({ networkFaults: true, storeNetworkFaults: true });
    const { network, storeNetwork } = stage;
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, 12 * MiB);
    const agent = await stage.startAgent('till', ['--file', file]);
    network.cut();
    const sessions = () => agent.output.stderr.split('\n').filter((line) => logged('connected')(line)).length;
    await agent.line(() => sessions() === 2 || undefined);
    storeNetwork.limitBytes(2 * MiB, { connections: 1 });
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.sha256, sha256);
    assert.equal(network.fired.cut, 1);
    assert.equal(storeNetwork.fired.limitBytes, 1);
    assert.ok(storeNetwork.bytesToTarget >= 12 * MiB);
    assert.ok(network.bytes < MiB);
    assert.equal(new URL(await contentUrl(stage, record.upload_id)).origin, storeNetwork.endpoint);
    await stage.restartServer();
    assert.equal((await stage.pull('till', {})).status, 'completed');
  });

  test('has a network between server and store that no other program uses', async () => {
    await using stage = await Stage.start({ serverStoreNetworkFaults: true });
    const file = stage.directory.join('large.bin');
    await randomFile(file, 12 * MiB);
    await stage.startAgent('till', ['--file', file]);
    const link = stage.serverStoreNetwork;
    assert.ok(link.bytesToTarget > 0, 'it tried the store out');
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.ok(link.bytesToTarget < 6 * MiB, 'more than a trial with one part of 5 MiB');
    assert.equal(new URL(await contentUrl(stage, record.upload_id)).origin, stage.s3.endpoint);
  });

  test('says which option is missing', async () => {
    await using stage = await Stage.start();
    assert.throws(() => stage.faults, /start the stage with \{ faults: true \}/);
    assert.throws(() => stage.network, /start the stage with \{ networkFaults: true \}/);
    assert.throws(
      () => stage.serverStoreNetwork,
      /start the stage with \{ serverStoreNetworkFaults: true \}/,
    );
    assert.throws(() => stage.storeNetwork, /start the stage with \{ storeNetworkFaults: true \}/);
  });
});

async function contentUrl(stage: Stage, uploadId: string): Promise<string> {
  const answer = await stage.fetch(`/uploads/${uploadId}/content`);
  assert.equal(answer.status, 302);
  return answer.headers.get('location') ?? '';
}
