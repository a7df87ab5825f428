import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { assertManualPage, exampleCalls } from '../../../test/harness/manual-page.ts';
import { temporaryDirectory } from '../../../test/harness/temporary-directory.ts';
import { loadConfig } from './config/load-config.ts';
import { loadBackupConfig } from './config/backup-config.ts';
import { informationFor } from './help.ts';

const server = informationFor(['--port', '1', '--help']) ?? '';
const backup = informationFor(['backup', '--help']) ?? '';

describe('--help', () => {
  test('prints a manual page, and a separate one for backup', () => {
    const common = ['--config', '--dev', '--help', '--version'];
    assertManualPage(server, 'backhaul-server', [...common, '--host', '--port', '--setup-bucket']);
    assertManualPage(backup, 'backhaul-server backup', common);
  });

  test('shows examples that the program accepts', async () => {
    await using directory = await temporaryDirectory();
    await mkdir(directory.join('etc'));
    await writeFile(
      directory.join('etc', 'server.json'),
      JSON.stringify({
        S3_BUCKET_NAME: 'b-1',
        AWS_REGION: 'eu-central-1',
        JWT_SECRET: 'a secret of tests, long enough for HS256',
      }),
    );
    const calls = [server, backup].flatMap((text) => exampleCalls(text, 'backhaul-server'));
    for (const { args, env } of calls) {
      const argv = args.map((word) => word.replace('/etc/backhaul/', directory.join('etc', '/')));
      // The shell would have substituted this.
      if (env['JWT_SECRET'] !== undefined)
        Object.assign(env, { JWT_SECRET: 'a secret of tests, long enough for HS256' });
      const read = argv[0] === 'backup' ? loadBackupConfig : loadConfig;
      assert.ok(read({ argv: argv[0] === 'backup' ? argv.slice(1) : argv, env, cwd: directory.path }));
    }
    assert.equal(calls.length, 4);
  });
});

describe('information', () => {
  test('prints the version for --version, and nothing for other flags', () => {
    assert.match(informationFor(['--version']) ?? '', /^\d+\.\d+\.\d+\n$/);
    assert.equal(informationFor(['--dev']), undefined);
  });
});
