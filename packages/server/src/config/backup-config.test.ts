import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadBackupConfig } from './backup-config.ts';
import { ConfigError } from './config-error.ts';

const cwd = mkdtempSync(join(tmpdir(), 'backhaul-backup-config-'));
after(() => rmSync(cwd, { recursive: true }));
writeFileSync(join(cwd, 'server.json'), '{"DATABASE_URL": "sqlite:data/of-file.sqlite", "PORT": 8443}');

function load(argv: string[], env: Record<string, string> = {}) {
  return loadBackupConfig({ argv, env, cwd });
}

function refused(argv: string[], env: Record<string, string> = {}): string[] {
  try {
    load(argv, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(({ setting }) => setting);
  }
  return assert.fail('it was accepted');
}

test('the database is found as the server finds it', () => {
  const file = join(cwd, 'copy.sqlite');
  assert.deepEqual(load(['copy.sqlite']), { dev: false, databasePath: join(cwd, 'backhaul.sqlite'), file });
  assert.deepEqual(load(['--dev', 'copy.sqlite']), {
    dev: true,
    databasePath: join(cwd, '.backhaul/backhaul.sqlite'),
    file,
  });
  const fromFile = load(['copy.sqlite', '--config', 'server.json']);
  assert.equal(fromFile.databasePath, join(cwd, 'data/of-file.sqlite'));
  const env = { DATABASE_URL: 'sqlite:/of/env.sqlite' };
  assert.equal(load(['copy.sqlite', '--config=server.json'], env).databasePath, '/of/env.sqlite');
  assert.equal(load(['copy.sqlite', '--dev'], env).databasePath, '/of/env.sqlite');
});

test('no other setting is needed or read', () => {
  assert.equal(load(['/copy.sqlite'], { PORT: 'none', JWT_SECRET: 'short' }).file, '/copy.sqlite');
});

test('every mistake is reported by name', () => {
  assert.deepEqual(refused([]), ['FILE']);
  assert.deepEqual(refused(['']), ['FILE']);
  assert.deepEqual(refused(['a', 'b']), ['FILE']);
  assert.deepEqual(refused(['--port', '8080', 'a']), ['--port', 'FILE'], 'a flag of the server');
  assert.deepEqual(refused(['a', '--config']), ['--config']);
  assert.deepEqual(refused(['a', '--config', 'none.json']), ['--config']);
  assert.deepEqual(refused(['a'], { DATABASE_URL: 'postgres://u:p@h/d' }), ['DATABASE_URL']);
});
