import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { closesAfterEveryAnswer, listsPartsWithoutChecksums } from '../injection/stores/poor-answers.ts';
import { logged } from '../../harness/program.ts';
import { Stage } from '../../harness/stage.ts';
import { assertPulled } from '../assert-pulled.ts';
import { PartPuts } from '../../harness/part-puts.ts';
import { IN_FLIGHT_BYTES, PART_BYTES, pullUnderWay } from '../../harness/pull-under-way.ts';

describe('a store that', () => {
  test('lists parts without their checksums: a killed agent goes on with the parts that it reported', async (t) => {
    await using stage = await Stage.start({ store: listsPartsWithoutChecksums });
    const pull = await pullUnderWay(stage);
    pull.agent.kill('SIGKILL');
    await pull.agent.exit;
    const agent = await stage.startAgent('till', pull.agentArgs);
    const { kept } = await agent.line(logged('resumed'));
    const record = await assertPulled(stage, pull, { attempt: 2 });
    const twice = (await PartPuts.of(stage, record)).twice(pull);
    t.diagnostic(`${String(kept)} parts kept, ${twice} bytes received twice`);
    assert.ok(Number(kept) >= 3, `${String(kept)} parts were kept`);
    assert.ok(twice <= IN_FLIGHT_BYTES + PART_BYTES, `${twice} bytes were received twice`);
    assert.ok(stage.behaviour.shownCount > 0);
  });

  test('closes the connection after every answer: a file is pulled, fetched and verified', async () => {
    await using stage = await Stage.start({ store: closesAfterEveryAnswer });
    const pull = await pullUnderWay(stage, { rate: 100_000_000 });
    const record = await assertPulled(stage, pull);
    const file = stage.directory.join('fetched.bin');
    const fetched = await stage.cli('content', record.upload_id, '--output', file);
    assert.equal(fetched.code, 0, fetched.stderr);
    const verified = await stage.cli('verify', record.upload_id, '--content');
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    assert.match(verified.stdout, /verified by sha256/);
    assert.ok(stage.behaviour.shownCount > 0);
  });
});
