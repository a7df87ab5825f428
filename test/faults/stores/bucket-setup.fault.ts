import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import {
  breaksOnceEncrypted,
  failsPublicAccessBlock,
  hasNoVersioning,
} from '../injection/stores/bucket-settings.ts';
import type { StoreBehaviour } from '../injection/stores/store-behaviour.ts';
import { s3Client } from '../../harness/object-store.ts';
import { logged } from '../../harness/program.ts';
import { Stage } from '../../harness/stage.ts';

const doubles: readonly (readonly [() => StoreBehaviour, string])[] = [
  [breaksOnceEncrypted, 'encryption'],
  [hasNoVersioning, 'versioning'],
  [failsPublicAccessBlock, 'public_access_block'],
];

describe('--setup-bucket on a store that', () => {
  for (const [double, step] of doubles) {
    test(`${double().name}: the server starts, names that step, and leaves a bucket that can be written to`, async () => {
      await using stage = await Stage.start({ store: double, serverArgs: ['--setup-bucket'] });
      assert.ok(stage.behaviour.shownCount > 0);
      const steps = setupSteps(stage.server.output.stdout);
      const changed = steps.find((entry) => entry['step'] === step);
      assert.equal(changed?.['outcome'], 'not_supported', JSON.stringify(steps));
      assert.deepEqual(
        steps.filter((entry) => entry['outcome'] === 'failed'),
        [],
      );
      // This client uses the simulated store as any other program does.
      const { accessKeyId, secretAccessKey, bucket } = stage.s3;
      const client = s3Client(stage.faults.endpoint, accessKeyId, secretAccessKey);
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'another', Body: 'hello' }));
      client.destroy();
      const { findings } = await stage.client.diagnosis();
      assert.deepEqual(
        findings.filter(
          ({ level, fix }) => level === 'error' || (level === 'warning' && fix?.includes('setup-bucket')),
        ),
        [],
      );
    });
  }
});

function setupSteps(output: string): Record<string, unknown>[] {
  return output.split('\n').flatMap((line) => {
    const entry = logged('bucket set up')(line);
    return entry === undefined ? [] : [entry];
  });
}
