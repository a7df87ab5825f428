import { after, before, describe, test } from 'node:test';
import { presignedUrlChecks } from './presigned-url-checks.ts';
import { type SuiteTarget, ownTarget } from './suite-target.ts';

// A server picks one mode for its store; the embedded store supports all. The suite itself covers `S3_CHECKSUM=auto`.
const isGiven = ['S3_TEST_ENDPOINT', 'BACKHAUL_SUITE_URL'].some((name) => (process.env[name] ?? '') !== '');

for (const mode of ['sha256', 'md5']) {
  describe(`with S3_CHECKSUM=${mode}`, () => {
    if (isGiven) {
      test('a presigned URL is bound', { skip: 'the store under test has its own mode' }, () => undefined);
      return;
    }
    let started: SuiteTarget | undefined;
    const target = (): SuiteTarget => {
      if (started === undefined) throw new Error('there is no server to test');
      return started;
    };
    before(async () => {
      started = await ownTarget({ S3_CHECKSUM: mode });
    });
    after(() => started?.[Symbol.asyncDispose]());

    presignedUrlChecks(target);
  });
}
