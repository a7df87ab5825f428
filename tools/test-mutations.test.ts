import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const kept = '- kept by [sum.ts](../packages/sum/sum.ts):';
const to = 'in [sum.test.ts](../packages/user/sum.test.ts)';

/** One invariant each: its line, the mutation, the test that should fail, and the expected output. */
const cases = [
  { line: 'return a + b;', broken: '`return a - b;`', name: 'sums', output: /✔ 1 +green +red / },
  { line: 'return a + b;', broken: '`return b + a;`', name: 'sums', output: /✖ 2 +green +SURVIVED / },
  {
    line: 'return a + b;',
    broken: '`return a - b;`',
    name: 'sums no',
    output: /✖ 3 +did not run +did not run /,
  },
  {
    line: 'return a + b;',
    broken: '`return a +;`',
    name: 'sums',
    output: /✖ 4 +green +the mutation is not valid code /,
  },
  { line: 'number', broken: '`string`', name: 'sums', output: /✖ 5 +green +the line occurs 3 times / },
  {
    line: 'return a + b;',
    broken: '`return a - b;`',
    name: 'is red',
    output: /✖ 6 +fails unbroken: planted +red /,
  },
  { line: 'return a + b;', broken: '`return a + c;`', name: 'sums', output: /✖ 7 +green +other failure / },
  { line: 'return a + b;', broken: 'nothing', name: 'waits', output: /✖ 8 +green +other failure / },
] as const;

const files = {
  'package.json': '{ "private": true, "type": "module" }',
  '.gitignore': 'node_modules/',
  'packages/sum/package.json': '{ "name": "@planted/sum", "type": "module", "exports": "./sum.ts" }',
  'packages/sum/sum.ts': 'export function sum(a: number, b: number): number {\n  return a + b;\n}\n',
  'packages/user/sum.test.ts': `
    import assert from 'node:assert/strict';
    import { test } from 'node:test';
    import { sum } from '@planted/sum';
    test('sums', () => assert.equal(sum(1, 2), 3));
    test('sums no more', () => assert.equal(sum(1, 2), 3));
    test('is red', () => { throw new Error('planted'); });
    test('waits', { timeout: 1000 }, async () => {
      if (sum(1, 2) !== 3) await new Promise(() => setInterval(() => undefined, 1000));
    });
  `,
  'docs/invariants.md': cases
    .map(({ line, broken, name }, index) =>
      [
        `## ${index + 1}. Sums are right`,
        `${kept} \`${line}\``,
        `  - ${broken} instead turns red “${name}” ${to}`,
        '',
      ].join('\n'),
    )
    .join('\n'),
};

describe('npm run test:mutations', () => {
  let checkout = '';

  before(async () => {
    checkout = await mkdtemp(join(tmpdir(), 'backhaul-planted-'));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(checkout, name)), { recursive: true });
      await writeFile(join(checkout, name), text);
    }
    await cp(import.meta.dirname, join(checkout, 'tools'), { recursive: true });
    await mkdir(join(checkout, 'node_modules', '@planted'), { recursive: true });
    await symlink(join('..', '..', 'packages', 'sum'), join(checkout, 'node_modules', '@planted', 'sum'));
    execFileSync('git', ['init', '--quiet'], { cwd: checkout });
  });

  after(() => rm(checkout, { recursive: true }));

  function testMutations(...args: string[]): { status: number | null; output: string } {
    const script = join(checkout, 'tools', 'test-mutations.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
    return { status, output: stdout + stderr };
  }

  test('succeeds if each test fails, with the sources of the copy', async () => {
    const { status, output } = testMutations('1');
    assert.match(output, cases[0].output);
    assert.match(output, /\n1 mutations, 1 made their test fail, 0 did not/);
    assert.equal(status, 0);
    assert.equal(await readFile(join(checkout, 'packages/sum/sum.ts'), 'utf8'), files['packages/sum/sum.ts']);
  });

  test('fails if the test still passes', () => {
    const { status, output } = testMutations('2');
    assert.match(output, cases[1].output);
    assert.equal(status, 1);
  });

  test('fails if no test has exactly this name', () => {
    const { status, output } = testMutations('3');
    assert.match(output, cases[2].output);
    assert.equal(status, 1);
  });

  test('reports for each mutation that proves nothing why', () => {
    const { status, output } = testMutations('4', '5', '6', '7', '8');
    for (const { output: expected } of cases.slice(3)) assert.match(output, expected);
    assert.match(output, /\n5 mutations, 0 made their test fail, 5 did not/);
    assert.equal(status, 1);
  });

  test('fails if one of several is not proven', () => {
    const { status, output } = testMutations('1', '2');
    assert.match(output, /\n2 mutations, 1 made their test fail, 1 did not/);
    assert.equal(status, 1);
  });

  test('refuses an invariant that has no mutation', () => {
    const { status, output } = testMutations('1', '11');
    assert.equal(status, 2);
    assert.match(output, /No mutation of invariant 11/);
  });
});
