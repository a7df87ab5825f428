import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DigestedContent } from '../body/digested-content.ts';
import { patternBytes } from '../../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { stagePart } from './part-file.ts';

test('a stalled upload has nearly all received bytes on disk', async () => {
  await using directory = await temporaryDirectory();
  const chunk = patternBytes(64 * 1024, 'chunk');
  const heldBytes: number[] = [];
  async function* slowly() {
    for (let sent = 0; sent < 40; sent++) {
      yield chunk;
      const [name = ''] = await readdir(directory.path);
      const { size } = await stat(join(directory.path, name));
      heldBytes.push((sent + 1) * chunk.length - size);
    }
  }
  const content = new DigestedContent(slowly(), undefined);
  await using _part = await stagePart(content, {
    temporary: directory.path,
    number: 1,
    nowMs: Date.now,
  });
  assert.equal(heldBytes.length, 40);
  // One batch is being filled, one is being written.
  assert.ok(Math.max(...heldBytes) <= 2 * 128 * 1024, `${Math.max(...heldBytes)} bytes were held`);
});
