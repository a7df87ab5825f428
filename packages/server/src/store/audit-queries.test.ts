import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { CamelCasePlugin, type CompiledQuery, Kysely, SqliteDialect } from 'kysely';
import type { AuditFilter } from '../domain/ports/store.ts';
import { auditQuery, countAudit, deleteAudit, selectFirstAudit } from './audit-queries.ts';
import { NodeSqliteDatabase } from './sqlite-dialect.ts';
import { openSqliteStore } from './open-sqlite-store.ts';
import type { Schema } from './schema.ts';

const temporaryDirectory = () => mkdtempDisposable(path.join(tmpdir(), 'backhaul-audit-'));

/** Calls `use` with a database that is up to date, and what says how SQLite runs a query there. */
async function withPlans(
  use: (
    db: Kysely<Schema>,
    planOf: (query: CompiledQuery) => string,
    queries: CompiledQuery[],
  ) => Promise<void>,
): Promise<void> {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'backhaul.db');
  await (await openSqliteStore(file)).close();
  const raw = new DatabaseSync(file);
  const queries: CompiledQuery[] = [];
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(raw) }),
    plugins: [new CamelCasePlugin()],
    log: ({ query }) => void queries.push(query),
  });
  const planOf = ({ sql, parameters }: CompiledQuery): string =>
    raw
      .prepare(`explain query plan ${sql}`)
      .all(...(parameters as (string | number)[]))
      .map(({ detail }) => String(detail))
      .join('; ');
  await use(db, planOf, queries);
  await db.destroy();
}

test('an index in the order of the list serves each filter, also from the middle of the list', async () => {
  const filters: Record<string, Omit<AuditFilter, 'limit' | 'after'>> = {
    audit_events_at: {},
    audit_events_client_id: { clientId: 'till-1' },
    audit_events_actor: { actor: 'anna' },
    audit_events_action: { action: 'upload.trigger' },
    audit_events_refused: { outcome: 'refused' },
  };
  await withPlans(async (db, planOf) => {
    const after = { at: 5, id: 5 };
    for (const [index, filter] of Object.entries(filters)) {
      for (const more of [{}, { since: 1 }, { since: 1, until: 9 }, { after }, { since: 1, after }]) {
        const plan = planOf(auditQuery(db, { ...filter, ...more, limit: 50 }).compile());
        assert.match(plan, new RegExp(`^(SEARCH|SCAN) audit_events USING INDEX ${index}\\b`), plan);
        assert.doesNotMatch(plan, /;|TEMP B-TREE/, plan);
        // A whole index is walked only where nothing narrows it down.
        const isNarrowed = Object.keys(more).length > 0 || /client_id|actor|action/.test(index);
        assert.equal(plan.startsWith('SEARCH'), isNarrowed, plan);
        // Both ends of the time are ends of the walk.
        if ('since' in more && 'until' in more) assert.match(plan, /at>\? AND at<\?/, plan);
      }
    }
    const refusedOfClient = { clientId: 'till-1', outcome: 'refused', since: 1, limit: 50 } as const;
    assert.doesNotMatch(planOf(auditQuery(db, refusedOfClient).compile()), /SCAN|TEMP/);
  });
});

test('retention neither sorts nor reads the whole audit', async () => {
  await withPlans(async (db, planOf, queries) => {
    await countAudit(db);
    await selectFirstAudit(db, { since: 1, until: 9 });
    await deleteAudit(db, { before: 5, beforeId: 7 }, 500);
    await deleteAudit(db, 'any', 500);
    await deleteAudit(db, 'without-actor', 500);
    const plans = queries.map(planOf);
    assert.equal(plans.length, 6);
    for (const plan of plans) assert.doesNotMatch(plan, /TEMP B-TREE/, plan);
    const [all = '', withoutActor = '', first = '', old = '', any = '', anonymous = ''] = plans;
    assert.match(all, /SCAN audit_events USING COVERING INDEX/);
    assert.match(withoutActor, /SEARCH audit_events USING COVERING INDEX audit_events_actor \(actor=\?\)/);
    assert.match(first, /^SCAN audit_events$/, 'by id, up to the first that is found');
    assert.match(old, /SEARCH audit_events USING .*INDEX audit_events_at/);
    assert.match(any, /SCAN audit_events/, 'by id, up to the limit');
    assert.match(anonymous, /SEARCH audit_events USING .*INDEX audit_events_actor \(actor=\?\)/);
  });
});
