import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { assertManualPage, exampleCalls, temporaryDirectory } from '@backhaul/testing';
import { loadConfig } from './config.ts';
import { loadBackupConfig } from './config/backup-config.ts';
import { informationFor } from './help.ts';

const server = informationFor(['--port', '1', '--help']) ?? '';
const backup = informationFor(['backup', '--help']) ?? '';

describe('--help', () => {
  test('is a manual page, and one of its own for backup', () => {
    const common = ['--config', '--dev', '--help', '--version'];
    assertManualPage(server, 'backhaul-server', [...common, '--host', '--port', '--setup-bucket']);
    assertManualPage(backup, 'backhaul-server backup', common);
  });

  test('shows examples that are understood', async () => {
    await using place = await temporaryDirectory();
    await mkdir(place.join('etc'));
    await writeFile(
      place.join('etc', 'server.json'),
      JSON.stringify({
        S3_BUCKET_NAME: 'b-1',
        AWS_REGION: 'eu-central-1',
        JWT_SECRET: 'a secret of tests, long enough for HS256',
      }),
    );
    const calls = [server, backup].flatMap((text) => exampleCalls(text, 'backhaul-server'));
    for (const { args, env } of calls) {
      const argv = args.map((word) => word.replace('/etc/backhaul/', place.join('etc', '/')));
      // What the shell would have put there.
      if (env['JWT_SECRET'] !== undefined)
        Object.assign(env, { JWT_SECRET: 'a secret of tests, long enough for HS256' });
      const read = argv[0] === 'backup' ? loadBackupConfig : loadConfig;
      assert.ok(read({ argv: argv[0] === 'backup' ? argv.slice(1) : argv, env, cwd: place.path }));
    }
    assert.equal(calls.length, 4);
  });
});

describe('information', () => {
  test('is the version for --version, and nothing for other flags', () => {
    assert.match(informationFor(['--version']) ?? '', /^\d+\.\d+\.\d+\n$/);
    assert.equal(informationFor(['--dev']), undefined);
  });
});
