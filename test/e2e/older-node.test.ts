import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { binPath } from '../harness/program.ts';

/** Makes Node.js report another version, so that it does not need to be installed. */
function startAs(version: string, name: Parameters<typeof binPath>[0]) {
  const rename = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  const preload = `--import=data:text/javascript,${encodeURIComponent(rename)}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, [preload, binPath(name), '--version'], {
    encoding: 'utf8',
    env: {},
  });
  return { status, stdout, stderr };
}

/*
 * 24.5 added `tls.setDefaultCACertificates` and `Agent({ proxyEnv })`, which is ignored before; 24.9 added
 * `shouldUpgradeCallback`, without which requests that offer `h2c` do not reach the API.
 */
const programs = [
  { name: 'backhaul-server', last: '24.8.0', least: '24.9' },
  { name: 'backhaul-agent', last: '24.4.1', least: '24.5' },
  { name: 'backhaul', last: '24.4.1', least: '24.5' },
  { name: 'backhaul-object-store', last: '24.4.1', least: '24.5' },
] as const;
for (const { name, last, least } of programs) {
  test(`${name} refuses a Node.js before ${least} in one sentence, and npm is told the same`, () => {
    for (const version of [last, '22.23.0', '9.99.0']) {
      const { status, stdout, stderr } = startAs(version, name);
      assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, stderr);
      const [sentence] = stderr.split(' From a checkout');
      assert.equal(sentence, `${name} needs Node.js ${least} or later; this is ${version}.`);
    }
    for (const version of [`${least}.0`, '24.10.0', '26.0.0']) {
      const { status, stderr } = startAs(version, name);
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, version);
    }
    const manifest: unknown = JSON.parse(readFileSync(join(binPath(name), '../../package.json'), 'utf8'));
    assert.deepEqual((manifest as { engines: unknown }).engines, { node: `>=${least}` });
  });
}
