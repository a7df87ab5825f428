import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { startS3Target } from '../../harness/object-store.ts';
import { temporaryDirectory } from '../../harness/temporary-directory.ts';

/** Requests that the embedded store explicitly refuses. All others must pass. */
const refused: Readonly<Record<string, string>> = {
  'CreateMPU+SSE-AES256': 'does not encrypt',
  'Head-SSE': 'does not encrypt',
  'CopyObject+Tagging': 'no tags',
  Versioning: 'no versions',
  Encryption: 'does not encrypt',
  'Lifecycle-AbortIncompleteMPU': 'no lifecycle rules; it sweeps stale uploads by itself',
  PublicAccessBlock: 'nothing is public',
  'CORS+preflight': 'no CORS',
  BucketPolicy: 'no policies',
};

const reportSchema = z.object({
  results: z.array(z.object({ group: z.string(), id: z.string(), status: z.string(), detail: z.string() })),
});

/** Runs the S3 conformance suite against the embedded store. Exits with 1 on any unexpected result. */
async function main(): Promise<void> {
  await using directory = await temporaryDirectory();
  await using store = await startS3Target(directory.join('objects'));
  const report = directory.join('report.json');
  const script = fileURLToPath(new URL('./conformance.mjs', import.meta.url));
  const child = spawn(
    process.execPath,
    [
      script,
      store.endpoint,
      store.accessKeyId,
      store.secretAccessKey,
      '--name',
      'object-store',
      '--out',
      report,
    ],
    { stdio: 'inherit' },
  );
  await once(child, 'close');
  const { results } = reportSchema.parse(JSON.parse(await readFile(report, 'utf8')));
  const surprises = results.filter(({ id, status }) => (status === 'PASS') === id in refused);
  const passed = results.filter(({ status }) => status === 'PASS').length;
  for (const { group, id, status, detail } of surprises) {
    console.log(`unexpected: ${group} ${id} ${status} ${detail}`);
  }
  console.log(
    `${passed} of ${results.length} checks passed; refused as documented: ${Object.keys(refused).join(', ')}`,
  );
  if (surprises.length > 0 || passed === 0) process.exitCode = 1;
}

await main();
