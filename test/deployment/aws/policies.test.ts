import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { awsFolder, readTemplate } from './cloudformation-template.ts';
import { iamActions, type Level } from './iam-actions.ts';
import { allowed, type PolicyDocument, readPolicy } from './policy-document.ts';
import { callsOfServer } from './s3-calls.ts';

const example = {
  BucketName: 'my-app-uploads',
  KmsKeyArn: 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab',
};
const arns: Readonly<Record<Level, string>> = {
  bucket: 'arn:aws:s3:::my-app-uploads',
  object: 'arn:aws:s3:::my-app-uploads/uploads/*',
};
/** Maps each file to its resource. */
const policies = {
  'server-policy.json': 'ServerPolicy',
  'setup-policy.json': 'SetupPolicy',
  'kms-policy.json': 'ServerKmsPolicy',
  'bucket-policy.json': 'BucketPolicy',
} as const;

describe('rights on AWS', () => {
  test('the server may do what its sources call or sign, and nothing else', async () => {
    const { server } = callsOfServer();
    assert.deepEqual(await rightsIn('server-policy.json'), rightsFor(server));
  });

  test('--setup-bucket may do in addition what it alone calls, and nothing else', async () => {
    const { server, setup } = callsOfServer();
    const additional = new Set(rightsFor(setup)).difference(new Set(rightsFor(server)));
    assert.deepEqual(await rightsIn('setup-policy.json'), [...additional]);
  });

  test('the table of rights has no unused call', () => {
    const { server, setup } = callsOfServer();
    assert.deepEqual(Object.keys(iamActions).sort(), [...server.union(setup)].sort());
  });

  for (const [file, resource] of Object.entries(policies)) {
    test(`${file} is what the template makes of its example`, async () => {
      const { resources } = await readTemplate(example);
      const document = readPolicy(resources.get(resource)?.['PolicyDocument']);
      assert.deepEqual(await policyFile(file), document);
    });
  }

  test('without a KMS key there are no rights on one', async () => {
    const { resources } = await readTemplate({ BucketName: 'my-app-uploads' });
    assert.equal(resources.has('ServerKmsPolicy'), false);
    assert.equal(resources.has('ServerPolicy'), true);
  });
});

function rightsFor(calls: ReadonlySet<string>): string[] {
  const rights = [...calls].flatMap((call) => {
    const actions = iamActions[call];
    assert.ok(actions !== undefined, `iam-actions.ts does not say which rights ${call} takes`);
    return actions.map(({ action, on }) => `${action} on ${arns[on]}`);
  });
  return [...new Set(rights)].sort();
}

async function rightsIn(file: string): Promise<string[]> {
  return allowed(await policyFile(file))
    .map(({ action, resource }) => `${action} on ${resource}`)
    .sort();
}

async function policyFile(file: string): Promise<PolicyDocument> {
  return readPolicy(JSON.parse(await readFile(join(awsFolder, file), 'utf8')));
}
