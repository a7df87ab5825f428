/**
 * Writes the generated documents, and removes plots that no document uses. With `--check` it writes nothing and exits
 * with 1 if one is stale.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { obsoletePlots } from './docs/benchmarks/obsolete-plots.ts';
import { generatedDocuments } from './docs/generated-documents.ts';

const root = join(import.meta.dirname, '..');

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });

let stale = 0;
for (const document of generatedDocuments) {
  const file = join(root, document.path);
  const text = await document.generate();
  const present = await readFile(file, 'utf8').catch(() => '');
  if (text === present) continue;
  if (values.check) {
    stale += 1;
    console.error(`${document.path} is stale from line ${firstDifference(present, text)}: run npm run docs`);
  } else {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    console.log(`wrote ${document.path}`);
  }
}
for (const path of await obsoletePlots(root, generatedDocuments)) {
  if (values.check) {
    stale += 1;
    console.error(`${path} is stale, no document uses it: run npm run docs`);
  } else {
    await rm(join(root, path));
    console.log(`removed ${path}`);
  }
}
if (stale > 0) process.exitCode = 1;

function firstDifference(present: string, text: string): number {
  const expected = text.split('\n');
  const lines = present.split('\n');
  const at = expected.findIndex((line, index) => line !== lines[index]);
  return (at === -1 ? expected.length : at) + 1;
}
