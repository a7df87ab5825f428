import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const docs = join(import.meta.dirname, '..', 'docs');
const page = readFileSync(join(docs, 'invariants.md'), 'utf8');

const kept = [...page.matchAll(/^- kept by \[[^\]]+\]\(([^)]+)\): `(.+)`$/gm)];
const red = [...page.matchAll(/^- red without it: “(.+)” in \[[^\]]+\]\(([^)]+)\)$/gm)];

test('every invariant names a line that keeps it and a test of it', () => {
  const sections = page.split(/^## /m).slice(1);
  assert.equal(sections.length, 10);
  for (const section of sections) {
    const title = section.split('\n', 1)[0] ?? '';
    assert.match(section, /^- kept by /m, title);
    assert.match(section, /^- red without it: /m, title);
  }
  // A row of another form would be looked at by no test.
  assert.equal(kept.length + red.length, page.match(/^- /gm)?.length);
});

for (const [, file = '', line = ''] of kept) {
  test(`${file} still has the line ${line}`, () => {
    assert.ok(readFileSync(join(docs, file), 'utf8').includes(line));
  });
}

for (const [, name = '', file = ''] of red) {
  test(`${file} still has the test “${name}”`, () => {
    assert.ok(readFileSync(join(docs, file), 'utf8').includes(`'${name}'`));
  });
}
