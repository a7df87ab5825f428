import { resolve } from 'node:path';
import type { ReadSettings } from './read-settings.ts';

/** @returns the absolute path of the SQLite database. */
export function databasePath({ values }: ReadSettings, place: { cwd: string; dev: boolean }): string {
  const fallback = place.dev ? '.backhaul/backhaul.sqlite' : 'backhaul.sqlite';
  return resolve(place.cwd, values.DATABASE_URL ?? fallback);
}
