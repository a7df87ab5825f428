import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setupAdvice } from './bucket-check.ts';

test('on AWS a missing setting is a warning, because the setup can add it', () => {
  for (const endpoint of [
    undefined,
    'https://s3.eu-central-1.amazonaws.com',
    'https://s3.cn-north-1.amazonaws.com.cn',
  ]) {
    assert.deepEqual(setupAdvice({ endpoint }, 'lifecycle'), {
      level: 'warning',
      fix: 'Run `backhaul-server --setup-bucket`.',
    });
  }
});

test('on other stores the advice says when the setup cannot help, and is not a warning', () => {
  for (const endpoint of ['http://minio:9000', 'https://s3.amazonaws.com.example.com']) {
    const { level, fix } = setupAdvice({ endpoint }, 'lifecycle');
    assert.equal(level, 'info');
    assert.match(fix ?? '', /not_supported for the step lifecycle, ignore this finding/);
  }
});
