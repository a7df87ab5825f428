import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';

/** What a text is read as: a message of one direction, or a body of the REST API. */
export const vectorSchemaNames = [
  'agent-message',
  'server-message',
  'trigger-request',
  'upload-record',
  'upload-list',
  'client-status',
  'client-list',
  'problem',
  'health-report',
  'directory-listing',
] as const;
export type VectorSchemaName = (typeof vectorSchemaNames)[number];

/** See README.md beside this file for what each means. */
export const problemKinds = [
  'not_json',
  'not_an_object',
  'unknown_message',
  'missing_field',
  'wrong_type',
  'bad_value',
  'unknown_field',
] as const;
export type ProblemKind = (typeof problemKinds)[number];

const about = {
  name: z.string(),
  description: z.string().regex(/\.$/),
  schema: z.enum(vectorSchemaNames),
  frame: z.string(),
};

const vectorSchema = z.discriminatedUnion('valid', [
  z.strictObject({ ...about, valid: z.literal(true), expect: z.record(z.string(), z.unknown()) }),
  z.strictObject({
    ...about,
    valid: z.literal(false),
    problem: z.strictObject({ kind: z.enum(problemKinds), field: z.string().nullable() }),
  }),
]);
export type Vector = z.infer<typeof vectorSchema>;
export type ValidVector = Extract<Vector, { valid: true }>;

/** All golden vectors, sorted by folder and name. Throws on one that is not as README.md describes. */
export async function readVectors(): Promise<Vector[]> {
  const files = (await readdir(import.meta.dirname, { recursive: true }))
    .filter((file) => file.endsWith('.json'))
    .toSorted();
  return Promise.all(
    files.map(async (file) => {
      const vector = vectorSchema.parse(JSON.parse(await readFile(join(import.meta.dirname, file), 'utf8')), {
        error: () => `${file} is not a vector`,
      });
      if (vector.name !== basename(file, '.json')) throw new Error(`${file} is named ${vector.name} inside`);
      return vector;
    }),
  );
}
