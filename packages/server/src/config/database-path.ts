import { resolve } from 'node:path';
import type { ReadSettings } from './read-settings.ts';

/** @returns The absolute path of the SQLite database. */
export function databasePath({ values }: ReadSettings, { cwd, dev }: { cwd: string; dev: boolean }): string {
  const fallback = dev ? '.backhaul/backhaul.sqlite' : 'backhaul.sqlite';
  return resolve(cwd, values.DATABASE_URL ?? fallback);
}
