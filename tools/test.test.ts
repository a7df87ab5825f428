import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const root = join(import.meta.dirname, '..');

function npmTest(...args: string[]): { status: number | null; output: string } {
  // With this variable the runner refuses to start, to prevent recursion.
  const { NODE_TEST_CONTEXT: _inside, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'test.ts'), ...args],
    { cwd: root, env, encoding: 'utf8' },
  );
  return { status, output: stdout + stderr };
}

describe('npm test', () => {
  const one = 'packages/protocol/src/rest/uploads.test.ts';

  test('runs the given file, and ends with the summary', () => {
    const { status, output } = npmTest(one);
    assert.equal(status, 0, output);
    assert.match(output, /pass 1\n/);
    assert.match(output.trimEnd().split('\n').at(-1) ?? '', /duration_ms/);
  });

  test('fails if there is no test at a path', () => {
    const { status, output } = npmTest('packages/no-such-package');
    assert.equal(status, 1);
    assert.match(output, /There is no test at packages\/no-such-package\./);
  });

  test('fails for an unknown suite, and names the existing ones', () => {
    const { status, output } = npmTest('--suite=none');
    assert.equal(status, 1);
    assert.match(output, /--suite is one of everyday, faults, hostile, packages\./);
  });

  test('fails if no test ran', () => {
    const { status, output } = npmTest(one, '--test-name-pattern=no test has this name');
    assert.equal(status, 1);
    assert.match(output, /No test ran\./);
  });

  test('fails if a test fails, or if a file has no test', () => {
    const folder = mkdtempSync(join(tmpdir(), 'backhaul-planted-'));
    try {
      const red = join(folder, 'red.test.ts');
      writeFileSync(
        red,
        "import { test } from 'node:test';\ntest('red', () => { throw new Error('planted'); });\n",
      );
      assert.equal(npmTest(red).status, 1);
      const empty = join(folder, 'empty.test.ts');
      writeFileSync(empty, 'export const nothing = 0;\n');
      const { status, output } = npmTest(one, empty);
      assert.equal(status, 1);
      assert.match(output, /There is no test in .*empty\.test\.ts/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
