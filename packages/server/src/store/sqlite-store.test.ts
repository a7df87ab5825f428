import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  mkdir,
  mkdtempDisposable,
  readFile,
  rename,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { sampleAudit, sampleUpload } from '../../../../test/harness/server/sample-upload.ts';
import { StoreError } from '../domain/ports/store.ts';
import { testInsertConformance } from '../../../../test/conformance/insert-conformance.ts';
import { openSqliteStore } from './open-sqlite-store.ts';
import { testStoreConformance } from '../../../../test/conformance/store-conformance.ts';

const temporaryDirectory = () => mkdtempDisposable(path.join(tmpdir(), 'backhaul-store-'));

testStoreConformance('SQLite in memory', () => openSqliteStore(':memory:'));
testInsertConformance('SQLite in memory', () => openSqliteStore(':memory:'));

testStoreConformance('SQLite in a file', async () => {
  const directory = await temporaryDirectory();
  const store = await openSqliteStore(path.join(directory.path, 'backhaul.db'));
  const close = store.close.bind(store);
  store.close = async () => {
    await close();
    await directory[Symbol.asyncDispose]();
  };
  return store;
});

const source = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
const PROLOGUE = `
  import { openSqliteStore } from ${source('./open-sqlite-store.ts')};
  import { sampleAudit, sampleUpload } from ${source('../../../../test/harness/server/sample-upload.ts')};
  const store = await openSqliteStore(process.argv[1]);
`;

/** A separate process that works on a database file and reports each step on a line. */
function startChild(script: string, file: string, options: { fileSizeLimitKiB?: number } = {}) {
  return startProcess(`${PROLOGUE}${script}`, file, options);
}

function startProcess(script: string, file: string, options: { fileSizeLimitKiB?: number } = {}) {
  const node = [process.execPath, '--input-type=module', '--eval', script, file];
  const { fileSizeLimitKiB } = options;
  // A write past the limit fails with EFBIG once SIGXFSZ is ignored: the closest to a full disk without root.
  const limited = ['-c', `trap '' XFSZ; ulimit -f ${(fileSizeLimitKiB ?? 0) * 2}; exec "$@"`, 'sh', ...node];
  const [command = '', ...args] = fileSizeLimitKiB === undefined ? node : ['/bin/sh', ...limited];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = once(child, 'exit');
  /** `kill -9`, unless it has exited. */
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    line: async (): Promise<string> => {
      const next = await lines.next();
      assert.ok(next.done !== true, 'the process ended too early');
      return next.value;
    },
    exited,
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

test('reported writes survive kill -9, and the lock is released', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  await using child = startChild(
    `for (;;) {
       const upload = sampleUpload();
       await store.insertUpload(upload, sampleAudit({ uploadId: upload.uploadId }));
       console.log(upload.uploadId);
     }`,
    file,
  );
  const reported: string[] = [];
  while (reported.length < 25) reported.push(await child.line());
  await child.kill();

  const store = await openSqliteStore(file);
  for (const uploadId of reported) assert.equal((await store.getUpload(uploadId))?.uploadId, uploadId);
  const uploads = await store.listUploads({ limit: 10_000 });
  const events = await store.listAudit({ limit: 10_000 });
  assert.deepEqual(
    new Set(events.map(({ uploadId }) => uploadId)),
    new Set(uploads.map(({ uploadId }) => uploadId)),
    'each upload has its audit event, and each event its upload',
  );
  assert.equal(events.length, uploads.length);
  await store.close();
});

test('an action and its audit event are both written, or neither', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const store = await openSqliteStore(file);
  const [upload, other] = [sampleUpload(), sampleUpload({ filePath: '/other' })];
  for (const known of [upload, other]) await store.insertUpload(known, sampleAudit());
  const session = {
    sessionId: 'session-1',
    nodeId: 'node-1',
    at: 1,
    token: { id: 'token-1', issuedAt: 1, expiresAt: 2 },
    remoteAddress: null,
  };
  const platform = { os: 'linux', arch: 'x64', hostname: null } as const;
  const description = { agentVersion: '1', platform, capabilities: [], labels: {}, defaultFilePath: null };
  await store.openSession({ clientId: 'client-1', ...session, description });
  await store.blockClient('client-2', { blockedAt: 1, blockedBy: 'anna', reason: null }, sampleAudit());

  const audit = sampleAudit({ action: 'tried' });
  const block = { blockedAt: 1, blockedBy: 'ben', reason: null };
  const actions: Record<string, () => Promise<unknown>> = {
    trigger: () => store.insertUpload(sampleUpload(), audit),
    join: () =>
      store.insertUpload(sampleUpload({ idempotencyKey: 'key-1', expiresAt: 4e12 }), audit, { join: audit }),
    change: () => store.saveUpload({ ...upload, version: 2 }, { expectedVersion: 1, audit }),
    delete: () => store.deleteUpload(other.uploadId, audit),
    limit: () => store.setClientLimits('client-1', { limits: { max_rate: 5000 }, audit }),
    forget: () => store.deleteClient('client-1', audit),
    block: () => store.blockClient('client-1', block, audit),
    unblock: () => store.unblockClient('client-2', audit),
  };
  const raw = new DatabaseSync(file, { timeout: 5000 });
  const state = () =>
    ['uploads', 'upload_keys', 'clients', 'blocked_clients', 'audit_events'].map((table) =>
      raw.prepare(`select * from ${table}`).all(),
    );
  const before = state();
  const cannot = (what: string, table: string): string =>
    `create trigger no_${table} before ${what} on ${table} begin select raise(abort, 'no room'); end`;

  // The audit cannot be written: no action.
  raw.exec(cannot('insert', 'audit_events'));
  for (const [name, act] of Object.entries(actions)) await assert.rejects(act(), StoreError, name);
  assert.deepEqual(state(), before);
  raw.exec('drop trigger no_audit_events');

  // The action cannot be written: no event.
  for (const what of ['insert', 'update', 'delete']) {
    for (const table of ['uploads', 'clients', 'blocked_clients']) {
      raw.exec(cannot(what, table).replace('no_', `no_${what}_`));
    }
  }
  for (const [name, act] of Object.entries(actions)) await assert.rejects(act(), StoreError, name);
  assert.deepEqual(state(), before);
  for (const what of ['insert', 'update', 'delete']) {
    for (const table of ['uploads', 'clients', 'blocked_clients']) {
      raw.exec(`drop trigger no_${what}_${table}`);
    }
  }

  // Both.
  for (const act of Object.values(actions)) await act();
  raw.close();
  const events = await store.listAudit({ action: 'tried', limit: 100 });
  assert.equal(events.length, Object.keys(actions).length);
  await store.close();
});

test('the writing connection syncs every commit', async (t) => {
  await using directory = await temporaryDirectory();
  const exec = t.mock.method(DatabaseSync.prototype, 'exec');
  const store = await openSqliteStore(path.join(directory.path, 'backhaul.db'));
  // The lock file has a connection of its own.
  const connection = exec.mock.calls.find(({ arguments: [text] }) => /journal_mode/.test(text))?.this;
  assert.ok(connection instanceof DatabaseSync);
  // The file does not store the setting, so only its connection can tell; 2 is FULL.
  assert.deepEqual({ ...connection.prepare('pragma synchronous').get() }, { synchronous: 2 });
  await store.close();
});

test('a database that another process has open is refused, with advice', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  await using child = startChild(`console.log('open'); process.stdin.resume();`, file);
  assert.equal(await child.line(), 'open');
  await assert.rejects(openSqliteStore(file), (error: unknown) => {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /another process has it open/);
    assert.match(error.message, /DATABASE_URL/);
    return true;
  });
  await child.kill();
  await (await openSqliteStore(file)).close();
});

test('a database that this process already has open is refused too', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const store = await openSqliteStore(file);
  await assert.rejects(openSqliteStore(file), StoreError);
  await store.ping();
  await store.close();
  await (await openSqliteStore(file)).close();
});

test('a symbolic link to a database that is open elsewhere is refused too', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const link = path.join(directory.path, 'link.db');
  await symlink(file, link);
  const store = await openSqliteStore(link);
  await assert.rejects(openSqliteStore(file), /another process has it open/);
  await store.close();
  await (await openSqliteStore(file)).close();
});

test('another program can read the file while the store has it open', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const store = await openSqliteStore(file);
  const upload = sampleUpload();
  await store.insertUpload(upload, sampleAudit());
  await using reader = startProcess(
    `import { DatabaseSync } from 'node:sqlite';
     const database = new DatabaseSync(process.argv[1], { readOnly: true });
     console.log(database.prepare('select upload_id from uploads').get().upload_id);`,
    file,
  );
  assert.equal(await reader.line(), upload.uploadId);
  await store.close();
});

test('while another program holds the write lock, writes fail with StoreError, and work again afterwards', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const store = await openSqliteStore(file);
  const [refused, accepted] = [sampleUpload(), sampleUpload()];
  await using locker = startProcess(
    `import { DatabaseSync } from 'node:sqlite';
     new DatabaseSync(process.argv[1]).exec('begin immediate');
     console.log('locked');
     process.stdin.resume();`,
    file,
  );
  assert.equal(await locker.line(), 'locked');
  let turns = 0;
  const ticking = setInterval(() => (turns += 1), 10);
  await assert.rejects(store.insertUpload(refused, sampleAudit()), (error: unknown) => {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /locked/);
    return true;
  });
  clearInterval(ticking);
  assert.ok(turns >= 10, `the event loop ran ${turns} times while the write waited`);
  await assert.rejects(store.ping(), StoreError);
  assert.equal(await store.getUpload(refused.uploadId), undefined, 'it can still be read');
  const patient = store.insertUpload(accepted, sampleAudit());
  await locker.kill();
  assert.equal(await patient, undefined);
  assert.equal(await store.getUpload(refused.uploadId), undefined);
  await store.close();
});

test('a backup that replaces the database of a killed server is not mixed with its log', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const backup = path.join(directory.path, 'copy.db');
  const store = await openSqliteStore(file);
  const original = sampleUpload();
  await store.insertUpload(original, sampleAudit());
  const raw = new DatabaseSync(file);
  raw.prepare('vacuum into ?').run(backup);
  raw.close();
  await store.close();

  await using child = startChild(
    `for (let count = 0; count < 50; count += 1) await store.insertUpload(sampleUpload(), sampleAudit());
     console.log('written');
     process.stdin.resume();`,
    file,
  );
  assert.equal(await child.line(), 'written');
  await child.kill();
  assert.ok((await stat(`${file}-wal`)).size > 0, 'it was killed with a log');
  await rename(backup, file);

  const restored = await openSqliteStore(file);
  const rows = await restored.listUploads({ limit: 100 });
  assert.deepEqual(
    rows.map(({ uploadId }) => uploadId),
    [original.uploadId],
  );
  const added = sampleUpload();
  await restored.insertUpload(added, sampleAudit());
  await restored.close();
  const again = await openSqliteStore(file);
  assert.equal((await again.listUploads({ limit: 100 })).length, 2);
  await again.close();
});

test(
  'on a full disk writes fail with StoreError without partial writes, and ping fails',
  { skip: process.platform === 'win32' && 'no ulimit' },
  async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, 'backhaul.db');
    await using child = startChild(
      `const parts = Array.from({ length: 50 }, (_, index) => (
         { partNumber: index + 1, sizeBytes: 1, crc32: 'c'.repeat(200), sha256: null, md5: null }));
       const written = [];
       const report = (outcome) => console.log(JSON.stringify(outcome));
       for (;;) {
         const upload = sampleUpload();
         try {
           await store.insertUpload(upload, sampleAudit());
           written.push([upload.uploadId, 1]);
           await store.saveUpload({ ...upload, version: 2 }, { expectedVersion: 1, announced: parts });
           written.at(-1)[1] = 2;
         } catch (error) {
           report({ written, name: error.name, message: error.message });
           break;
         }
       }
       // The remaining room is soon used up by the smallest of writes. Reads continue.
       let ping = 'fine';
       for (let times = 0; times < 100 && ping === 'fine'; times += 1) {
         await store.ping().catch((error) => (ping = error.name));
       }
       const read = (await store.getUpload(written[0][0])).uploadId === written[0][0];
       report({ ping, read });
       process.exit();`,
      file,
      { fileSizeLimitKiB: 1024 },
    );
    const full = JSON.parse(await child.line()) as {
      written: [string, number][];
      name: string;
      message: string;
    };
    const after = JSON.parse(await child.line()) as { ping: string; read: boolean };
    await child.exited;
    assert.equal(full.name, 'StoreError');
    assert.match(full.message, /disk/);
    assert.deepEqual(after, { ping: 'StoreError', read: true });

    const store = await openSqliteStore(file);
    const rows = await store.listUploads({ limit: 10_000 });
    assert.ok(full.written.length > 1);
    assert.deepEqual(
      new Map(rows.map(({ uploadId, version }) => [uploadId, version])),
      new Map(full.written),
      'exactly what was reported',
    );
    for (const { uploadId, version } of rows) {
      assert.equal((await store.listParts(uploadId)).length, version === 2 ? 50 : 0);
    }
    await store.close();
  },
);

test('migrations run once: a file opened again keeps its rows', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const upload = sampleUpload();
  for (let run = 0; run < 3; run += 1) {
    const store = await openSqliteStore(file);
    if (run === 0) await store.insertUpload(upload, sampleAudit());
    assert.deepEqual(await store.getUpload(upload.uploadId), upload);
    await store.close();
  }
});

test('a database of a newer server is refused and not changed', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  await (await openSqliteStore(file)).close();
  const raw = new DatabaseSync(file);
  raw.exec(`insert into kysely_migration (name, timestamp) values ('9999-later', '2030-01-01T00:00:00Z')`);
  raw.close();
  const before = await readFile(file);
  await assert.rejects(openSqliteStore(file), (error: unknown) => {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /9999-later/);
    return true;
  });
  assert.deepEqual(await readFile(file), before);
});

test('a directory, or a file that is not a database, is refused by name', async () => {
  await using directory = await temporaryDirectory();
  const text = path.join(directory.path, 'notes.txt');
  await writeFile(text, 'Not a database. '.repeat(200));
  const folder = path.join(directory.path, 'folder');
  await mkdir(folder);
  for (const file of [text, folder]) {
    await assert.rejects(openSqliteStore(file), (error: unknown) => {
      assert.ok(error instanceof StoreError);
      assert.ok(error.message.includes(file));
      assert.match(error.message, /DATABASE_URL/);
      return true;
    });
  }
});

test(
  'a read-only database is refused',
  { skip: process.platform === 'win32' && 'no users to change to' },
  async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, 'backhaul.db');
    await (await openSqliteStore(file)).close();
    await chmod(file, 0o444);
    await chmod(directory.path, 0o555);
    // Root may write whatever the mode is.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      await assert.rejects(openSqliteStore(file), (error: unknown) => {
        assert.ok(error instanceof StoreError);
        assert.match(error.message, /permissions/);
        return true;
      });
    } finally {
      if (isRoot) process.seteuid?.(0);
      await chmod(directory.path, 0o755);
    }
  },
);

test('commits reach the disk before they are reported, together with their audit events', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const store = await openSqliteStore(file);
  const upload = sampleUpload({ idempotencyKey: 'key-1' });
  const audit = sampleAudit({ uploadId: upload.uploadId, detail: { filePath: '/ä' } });
  await store.insertUpload(upload, audit);
  await store.insertUpload(sampleUpload({ idempotencyKey: 'key-1' }), audit);
  await store.saveUpload(
    { ...upload, version: 2 },
    { expectedVersion: 1, audit: { ...audit, action: 'won' } },
  );
  await store.saveUpload(
    { ...upload, version: 3 },
    { expectedVersion: 1, audit: { ...audit, action: 'lost' } },
  );
  await store.deleteUpload(upload.uploadId, { ...audit, action: 'upload.delete' });
  await store.deleteClient('client-1', { ...audit, action: 'client.forget' });
  await store.close();

  const raw = new DatabaseSync(file);
  const rows = raw.prepare('select * from audit_events order by id').all();
  raw.close();
  assert.deepEqual(
    rows.map((row) => row['action']),
    ['upload.trigger', 'won', 'upload.delete', 'client.forget'],
  );
  const { id: _id, ...first } = rows[0] ?? {};
  assert.deepEqual(first, {
    ...{ address: null, status: null, error: null, count: 1 },
    at: audit.at,
    actor: audit.actor,
    action: audit.action,
    client_id: audit.clientId,
    upload_id: upload.uploadId,
    detail: '{"filePath":"/ä"}',
  });
});

test('a row with damaged JSON is an error, not an upload', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  const upload = sampleUpload();
  const first = await openSqliteStore(file);
  await first.insertUpload(upload, sampleAudit());
  await first.close();
  const raw = new DatabaseSync(file);
  raw.exec(`update uploads set fingerprint = '{"device":1}'`);
  raw.close();
  const store = await openSqliteStore(file);
  await assert.rejects(store.getUpload(upload.uploadId), { name: 'ZodError' });
  await store.close();
});
