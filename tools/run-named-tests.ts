import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { RanTest } from './ran-tests-reporter.ts';
import { readRanTests } from './read-ran-tests.ts';

/** Without a limit a hanging test would keep its process alive. */
const TEST_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 90_000;

/**
 * Runs the tests of these names in `file` of the checkout at `root`. If that is not a test file but defines tests for
 * others, the test files in the same folder that import it are run.
 *
 * @returns The tests that ran and have exactly one of these names.
 */
export async function runNamedTests(
  root: string,
  file: string,
  names: readonly string[],
): Promise<readonly RanTest[]> {
  const folder = await mkdtemp(join(tmpdir(), 'backhaul-named-tests-'));
  const report = join(folder, 'ran-tests.json');
  // Failed or killed tests may leave files.
  const temporary = join(folder, 'tmp');
  await mkdir(temporary);
  // With this variable the runner refuses to start, to prevent recursion.
  const { NODE_TEST_CONTEXT: _inside, ...env } = process.env;
  const flags = [
    '--test',
    // A failed test may leave handles that keep its process alive.
    '--test-force-exit',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    `--test-reporter=${join(import.meta.dirname, 'ran-tests-reporter.ts')}`,
    `--test-reporter-destination=${report}`,
    ...names.map((name) => `--test-name-pattern=${RegExp.escape(name)}$`),
  ];
  try {
    const child = spawn(process.execPath, [...flags, ...(await testFilesWith(root, file))], {
      cwd: root,
      env: { ...env, TMPDIR: temporary },
      stdio: 'ignore',
      timeout: RUN_TIMEOUT_MS,
    });
    await once(child, 'close');
    return readRanTests(report).tests.filter(({ name }) => names.includes(name));
  } finally {
    await rm(folder, { recursive: true, maxRetries: 5 });
  }
}

async function testFilesWith(root: string, file: string): Promise<readonly string[]> {
  if (file.endsWith('.test.ts')) return [file];
  const folder = dirname(file);
  const candidates = (await readdir(join(root, folder))).filter((name) => name.endsWith('.test.ts'));
  const found: string[] = [];
  for (const name of candidates) {
    const text = await readFile(join(root, folder, name), 'utf8');
    if (text.includes(`'./${basename(file)}'`)) found.push(join(folder, name));
  }
  if (found.length === 0) throw new Error(`No test file in the folder of ${file} imports it.`);
  return found;
}
