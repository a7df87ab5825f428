import { agentMessageSchema, serverMessageSchema } from '@backhaul/protocol';
import type { Vector } from '@backhaul/protocol/vectors';
import { z } from 'zod';
import { fieldTable } from './field-table.ts';

/** Golden vectors that are shown as examples of each message, by the name that the template uses. */
export const messageExamples: Record<string, readonly string[]> = {
  hello: ['hello'],
  prepared: ['prepared'],
  resumed: ['resumed'],
  parts_ready: ['parts-ready'],
  part_uploaded: ['part-uploaded'],
  stalled: ['stalled'],
  progress: ['progress'],
  completed: ['completed-second-attempt', 'completed-resumed-no-parts'],
  failed: ['failed'],
  command_progress: ['command-progress'],
  result: ['result', 'result-refused'],
  token_stored: ['token-stored'],
  'agent error': ['error-from-agent'],
  welcome: ['welcome'],
  prepare_upload: ['prepare-upload', 'prepare-upload-resume'],
  download_file: ['download-file'],
  part_urls: ['part-urls'],
  cancel_upload: ['cancel-upload'],
  health_check: ['health-check'],
  list_directory: ['list-directory'],
  disk_usage: ['disk-usage'],
  cancel_command: ['cancel-command'],
  renew_token: ['renew-token'],
  'server error': ['error-from-server'],
};

/** Schemas of all messages by the name that the template uses; more than one if a field decides which others follow. */
export const messageSchemas: ReadonlyMap<string, readonly z.ZodType[]> = new Map([
  ...agentMessageSchema.options.flatMap((schema) => namesOf(schema, 'status', 'agent error')),
  ...serverMessageSchema.options.flatMap((schema) => namesOf(schema, 'action', 'server error')),
]);

function namesOf(
  schema: (typeof agentMessageSchema | typeof serverMessageSchema)['options'][number],
  discriminator: 'status' | 'action',
  nameOfError: string,
): [string, readonly z.ZodType[]][] {
  const alternatives = schema instanceof z.ZodDiscriminatedUnion ? schema.options : [schema];
  return [...(schema._zod.propValues[discriminator] ?? [])].map((name) => [
    name === 'error' ? nameOfError : String(name),
    alternatives,
  ]);
}

/** Fields and examples of one message. */
export function messageReference(name: string, vectors: readonly Vector[]): string {
  const schemas = messageSchemas.get(name);
  const examples = messageExamples[name];
  if (schemas === undefined || examples === undefined) throw new Error(`there is no message ${name}`);
  return [
    ...schemas.map((schema) => fieldTable(schema)),
    ...examples.map((example) => exampleOf(example, vectors)),
  ].join('\n\n');
}

function exampleOf(name: string, vectors: readonly Vector[]): string {
  const vector = vectors.find((one) => one.name === name);
  if (vector?.valid !== true) throw new Error(`there is no valid golden vector ${name}`);
  return ['```json', JSON.stringify(JSON.parse(vector.frame), null, 2), '```'].join('\n');
}
