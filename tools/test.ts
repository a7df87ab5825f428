/**
 * Runs all tests, or those of the given folders, files and patterns. Flags are passed to `node --test`
 * and are written `--flag=value`.
 *
 *     npm test
 *     npm test -- packages/agent
 *     npm test -- packages/server/src/http --test-name-pattern='idempotency'
 *     npm run test:faults
 *     npm run test:hostile
 *     npm run test:packages
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, rmSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readRanTests } from './read-ran-tests.ts';

/**
 * `everyday` is the default. Fault tests and hostile peers take minutes, and tests of installed
 * packages need a registry, so these are separate suites.
 */
const suites = new Map([
  ['everyday', ['packages/*/src/**/*.test.ts', '{test,bench,demo,tools,examples}/**/*.test.ts']],
  ['faults', ['test/faults/**/*.fault.ts']],
  ['hostile', ['test/hostile/**/*.hostile.ts']],
  ['packages', ['test/packages/**/*.package.ts']],
]);

const root = join(import.meta.dirname, '..');

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 9)) {
  fail(
    `The tests need Node.js 24.9 or later; this is ${process.versions.node}. npm test uses the pinned one.`,
  );
} else {
  await runTests(process.argv.slice(2));
}

async function runTests(given: readonly string[]): Promise<void> {
  const suite = given.find((argument) => argument.startsWith('--suite='));
  const patterns = suites.get(suite?.slice('--suite='.length) ?? 'everyday');
  if (patterns === undefined) return fail(`--suite is one of ${[...suites.keys()].join(', ')}.`);
  const flags = given.filter((argument) => argument.startsWith('-') && argument !== suite);
  const locations = given.filter((argument) => !argument.startsWith('-'));
  const files = new Set(patterns.flatMap((pattern) => globSync(pattern, { cwd: root })));
  if (locations.length > 0) {
    files.clear();
    for (const location of locations) {
      const found = testFilesAt(location);
      if (found.length === 0) return fail(`There is no test at ${location}.`);
      for (const file of found) files.add(file);
    }
  }

  const folder = await mkdtemp(join(tmpdir(), 'backhaul-tests-'));
  const report = join(folder, 'ran-tests.json');
  // The default leaves one core idle, although tests wait half of the time for sockets, disks and timers.
  const runner = [
    '--test',
    `--test-concurrency=${Math.ceil(availableParallelism() * 1.5)}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(import.meta.dirname, 'ran-tests-reporter.ts')}`,
    `--test-reporter-destination=${report}`,
  ];
  const child = spawn(process.execPath, [...runner, ...flags, ...[...files].toSorted()], {
    cwd: root,
    // Each file is a process, and most load the same modules: compiling them is a quarter of the tests' cost.
    env: { NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'backhaul-tests'), ...process.env },
    stdio: 'inherit',
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  const { tests, filesWithoutTests } = readRanTests(report);
  rmSync(folder, { recursive: true });
  if (code !== 0) {
    process.exitCode = code ?? 1;
    if (signal !== null) fail(`The test runner ended by ${signal}.`);
    return;
  }
  if (tests.length === 0) return fail('No test ran.');
  const filtered = flags.some((flag) => flag.startsWith('--test-'));
  if (!filtered && filesWithoutTests.length > 0) fail(`There is no test in ${filesWithoutTests.join(', ')}.`);
}

/** @param location A folder, a file, or a pattern, relative to the repository's root. */
function testFilesAt(location: string): string[] {
  const found = statSync(resolve(root, location), { throwIfNoEntry: false });
  if (found?.isFile()) return [location];
  const pattern = found?.isDirectory() ? join(location, '**', '*.test.{ts,mjs}') : location;
  return globSync(pattern, { cwd: root, exclude: ['**/node_modules/**', '**/dist/**'] });
}

function fail(message: string): void {
  console.error(message);
  process.exitCode ||= 1;
}
