import type { Migration } from 'kysely/migration';
import * as initial from './0001-initial.ts';
import * as resume from './0002-resume.ts';
import * as uploadKeys from './0003-upload-keys.ts';

/** In order. A migration that has shipped is never edited; a change is a new one. */
export const migrations: Record<string, Migration> = {
  '0001-initial': initial,
  '0002-resume': resume,
  '0003-upload-keys': uploadKeys,
};
