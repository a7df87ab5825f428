import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { NodeSqliteDatabase } from '../node-sqlite-database.ts';
import type { Schema, UploadsTable } from '../schema.ts';
import { migrations } from './index.ts';

/** For tests: creates a database as it was before the migration with that number, with these uploads. */
export async function writeOldDatabase(
  file: string,
  before: string,
  rows: readonly UploadsTable[],
): Promise<void> {
  const database = new DatabaseSync(file);
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    plugins: [new CamelCasePlugin()],
  });
  const older = Object.entries(migrations).filter(([name]) => name < before);
  const provider = { getMigrations: async () => Object.fromEntries(older) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  assert.equal(error, undefined);
  const columns = database.prepare("SELECT name FROM pragma_table_info('uploads')").all();
  const names = new Set(columns.map(({ name }) => camelCase(String(name))));
  // Columns that were added later are left out.
  const asOfThen = rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => names.has(name))),
  );
  await db
    .insertInto('uploads')
    .values(asOfThen as unknown as UploadsTable[])
    .execute();
  await db.destroy();
}

function camelCase(name: string): string {
  return name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
