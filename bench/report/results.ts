import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { findingsSchema } from '../experiment.ts';
import { machineSchema } from './machine.ts';

/** The last run of one experiment; others may be from another day and another machine. */
const resultSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string(),
  about: z.string(),
  machine: machineSchema,
  findings: findingsSchema,
});
export type Result = z.infer<typeof resultSchema>;

const resultsSchema = z.strictObject({ experiments: z.array(resultSchema) });

/** Reads saved results; none if the file is missing. @throws Error that names the file if it is invalid. */
export async function readResults(file: string): Promise<readonly Result[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  try {
    return resultsSchema.parse(JSON.parse(text)).experiments;
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new Error(`${file} holds no results of npm run bench: ${reason}`, { cause: error });
  }
}

export function renderResults(results: readonly Result[]): string {
  return `${JSON.stringify({ experiments: results }, null, 2)}\n`;
}

/**
 * Replaces the earlier result of the same experiment and keeps the others.
 *
 * @param order Names of all existing experiments; results of others are dropped.
 */
export async function saveResult(file: string, fresh: Result, order: readonly string[]): Promise<void> {
  const byName = new Map((await readResults(file)).map((result) => [result.name, result]));
  byName.set(fresh.name, fresh);
  const merged = order.flatMap((name) => byName.get(name) ?? []);
  await mkdir(path.dirname(file), { recursive: true });
  // The rename is atomic, so an interruption loses no results of a long run.
  await writeFile(`${file}.new`, renderResults(merged));
  await rename(`${file}.new`, file);
}
