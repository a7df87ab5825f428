import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { GeneratedDocument } from '../generated-document.ts';
import { PLOTS_FOLDER } from './benchmark-documents.ts';

/** Plots that no result uses, by their path from `root`. */
export async function obsoletePlots(
  root: string,
  documents: readonly Pick<GeneratedDocument, 'path'>[],
): Promise<readonly string[]> {
  const names = await readdir(join(root, PLOTS_FOLDER)).catch(() => []);
  const made = new Set(documents.map(({ path }) => path));
  return names
    .map((name) => `${PLOTS_FOLDER}/${name}`)
    .filter((path) => path.endsWith('.svg') && !made.has(path))
    .toSorted();
}
