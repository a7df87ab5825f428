import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingImports } from './missing-imports.ts';

test('names the files that compiled code imports and that were not compiled', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'backhaul-compiled-'));
  try {
    await mkdir(join(folder, 'inner'));
    const index = "export * from './here.js';\nimport { z } from 'zod';\nawait import('./inner/lazy.js');\n";
    await writeFile(join(folder, 'index.js'), index);
    await writeFile(join(folder, 'here.js'), 'export {};\n');
    await writeFile(join(folder, 'inner', 'other.js'), "import '../gone.js';\nimport '../here.js';\n");
    assert.deepEqual((await missingImports(folder)).toSorted(), ['gone.js', join('inner', 'lazy.js')]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
