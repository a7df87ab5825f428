/**
 * Runs the suites for any S3 store on the store at `S3_TEST_ENDPOINT`. It is required,
 * because `npm test` runs them on the embedded store already.
 *
 *     S3_TEST_ENDPOINT=http://127.0.0.1:7480 S3_TEST_ACCESS_KEY=… S3_TEST_SECRET_KEY=… npm run test:s3
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const missing = ['S3_TEST_ENDPOINT', 'S3_TEST_ACCESS_KEY', 'S3_TEST_SECRET_KEY'].filter(
  (name) => (process.env[name] ?? '') === '',
);
if (missing.length > 0) {
  console.error(`Set ${missing.join(', ')} to a real S3 store and its keys.`);
  process.exitCode = 2;
} else {
  const suites = ['test/e2e', 'test/protocol'];
  const runner = join(import.meta.dirname, 'test.ts');
  const { status } = spawnSync(process.execPath, [runner, ...suites], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
