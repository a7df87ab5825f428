import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LifecycleRule } from '@aws-sdk/client-s3';
import {
  ABORT_AFTER_DAYS,
  findAbortRule,
  RULE_ID,
  wholePublicAccessBlock,
} from '../../../packages/server/src/s3/setup/bucket-configuration.ts';
import { type Parameters, readTemplate } from './cloudformation-template.ts';

interface TemplateRule {
  readonly Id: string;
  readonly Status: 'Enabled' | 'Disabled';
  readonly Prefix: string;
  readonly AbortIncompleteMultipartUpload?: { readonly DaysAfterInitiation: number };
  readonly ExpirationInDays?: number;
  readonly ExpiredObjectDeleteMarker?: boolean;
}

describe('the bucket of the template', () => {
  test('aborts incomplete uploads by the rule that --setup-bucket would make', async () => {
    for (const KeyPrefix of ['uploads', 'sites/emea']) {
      const rules = (await lifecycleRules({ KeyPrefix })).map(
        ({ Id, Status, Prefix, AbortIncompleteMultipartUpload }): LifecycleRule => ({
          ID: Id,
          Status,
          Prefix,
          AbortIncompleteMultipartUpload,
        }),
      );
      const found = findAbortRule(rules, KeyPrefix);
      assert.equal(found?.ID, RULE_ID);
      assert.equal(found.AbortIncompleteMultipartUpload?.DaysAfterInitiation, ABORT_AFTER_DAYS);
      assert.equal(findAbortRule(rules, 'elsewhere'), undefined, 'other keys are left alone');
    }
  });

  test('blocks public access as the server wants to see it', async () => {
    assert.deepEqual((await bucket({}))['PublicAccessBlockConfiguration'], wholePublicAccessBlock);
  });

  test('encrypts with the KMS key that is given, else with keys of S3', async () => {
    const key = 'arn:aws:kms:eu-central-1:123456789012:key/1234';
    assert.deepEqual(await encryption({}), { SSEAlgorithm: 'AES256' });
    assert.deepEqual(await encryption({ KmsKeyArn: key }), {
      SSEAlgorithm: 'aws:kms',
      KMSMasterKeyID: key,
    });
  });

  test('expires objects only if told to, and only under the prefix', async () => {
    const [kept, expiring] = [await lifecycleRules({}), await lifecycleRules({ ExpireObjectsAfterDays: 90 })];
    assert.ok(kept.every(({ ExpirationInDays }) => ExpirationInDays === undefined));
    assert.deepEqual(
      expiring.flatMap(({ ExpirationInDays: days, Prefix }) => (days === undefined ? [] : [[days, Prefix]])),
      [[90, 'uploads/']],
    );
    assert.ok([...kept, ...expiring].every(({ Prefix }) => Prefix === 'uploads/'));
  });

  test('alarms look at the request metrics that the bucket publishes', async () => {
    const { resources, types } = await readTemplate({ BucketName: 'my-app-uploads', QuietAfterHours: 6 });
    const [published] = (await bucket({}))['MetricsConfigurations'] as { Id: string; Prefix: string }[];
    assert.equal(published?.Prefix, 'uploads/');
    const alarms = [...resources].filter(([name]) => types.get(name) === 'AWS::CloudWatch::Alarm');
    assert.equal(alarms.length, 4);
    const looked = JSON.stringify(alarms.map(([, alarm]) => alarm));
    const filters = [...looked.matchAll(/"Name":"FilterId","Value":"(\w+)"/g)].map(([, id]) => id);
    assert.deepEqual(new Set(filters), new Set([published.Id]));
    assert.equal(filters.length, 5, 'one for each metric that is looked at');
    for (const [name, alarm] of alarms) assert.equal('AlarmActions' in alarm, false, name);
    const topic = 'arn:aws:sns:eu-central-1:123456789012:ops';
    const told = await readTemplate({ BucketName: 'my-app-uploads', AlarmTopicArn: topic });
    assert.deepEqual(told.resources.get('LatencyAlarm')?.['AlarmActions'], [topic]);
    assert.equal(told.resources.has('QuietAlarm'), false);
  });
});

async function bucket(parameters: Parameters) {
  const { resources } = await readTemplate({ BucketName: 'my-app-uploads', ...parameters });
  return resources.get('Bucket') ?? {};
}

async function lifecycleRules(parameters: Parameters): Promise<readonly TemplateRule[]> {
  const { Rules } = (await bucket(parameters))['LifecycleConfiguration'] as { Rules: TemplateRule[] };
  return Rules;
}

async function encryption(parameters: Parameters): Promise<unknown> {
  const { ServerSideEncryptionConfiguration: rules } = (await bucket(parameters))['BucketEncryption'] as {
    ServerSideEncryptionConfiguration: { ServerSideEncryptionByDefault: unknown }[];
  };
  return rules[0]?.ServerSideEncryptionByDefault;
}
