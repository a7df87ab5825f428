import { DatabaseSync } from 'node:sqlite';
import type { TemporaryDirectory } from '../../test/harness/temporary-directory.ts';

/** Counts how many of these uploads are in a stage's database. */
export function countRows(directory: TemporaryDirectory, uploadIds: readonly string[]): number {
  const database = new DatabaseSync(directory.join('backhaul.sqlite'), { timeout: 5000 });
  try {
    const query = database.prepare(
      'select count(*) as n from uploads where upload_id in (select value from json_each(?))',
    );
    return Number(query.get(JSON.stringify(uploadIds))?.['n']);
  } finally {
    database.close();
  }
}
