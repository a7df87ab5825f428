import {
  agentErrorSchema,
  cancelUploadSchema,
  completedSchema,
  downloadFileSchema,
  failedSchema,
  healthCheckSchema,
  helloSchema,
  listDirectorySchema,
  partUploadedSchema,
  partUrlsSchema,
  partsReadySchema,
  prepareUploadSchema,
  preparedSchema,
  progressSchema,
  renewTokenSchema,
  resultSchema,
  resumedSchema,
  serverErrorSchema,
  stalledSchema,
  tokenStoredSchema,
  welcomeSchema,
} from '@backhaul/protocol';
import type { Vector } from '@backhaul/protocol/vectors';
import type { z } from 'zod';
import { fieldTable } from './field-table.ts';

interface MessageReference {
  /** More than one if a field decides which others follow. */
  readonly schemas: readonly z.ZodType[];
  /** Names of golden vectors. */
  readonly examples: readonly string[];
}

/** Schemas and examples of each message in the document, by the name that the template uses. */
export const messageReferences: Record<string, MessageReference> = {
  hello: { schemas: [helloSchema], examples: ['hello'] },
  prepared: { schemas: [preparedSchema], examples: ['prepared'] },
  resumed: { schemas: [resumedSchema], examples: ['resumed'] },
  parts_ready: { schemas: [partsReadySchema], examples: ['parts-ready'] },
  part_uploaded: { schemas: [partUploadedSchema], examples: ['part-uploaded'] },
  stalled: { schemas: [stalledSchema], examples: ['stalled'] },
  progress: { schemas: [progressSchema], examples: ['progress'] },
  completed: {
    schemas: [completedSchema],
    examples: ['completed-second-attempt', 'completed-resumed-no-parts'],
  },
  failed: { schemas: [failedSchema], examples: ['failed'] },
  result: { schemas: resultSchema.options, examples: ['result', 'result-refused'] },
  token_stored: { schemas: [tokenStoredSchema], examples: ['token-stored'] },
  'agent error': { schemas: [agentErrorSchema], examples: ['error-from-agent'] },
  welcome: { schemas: [welcomeSchema], examples: ['welcome'] },
  prepare_upload: {
    schemas: [prepareUploadSchema],
    examples: ['prepare-upload', 'prepare-upload-resume'],
  },
  download_file: { schemas: [downloadFileSchema], examples: ['download-file'] },
  part_urls: { schemas: [partUrlsSchema], examples: ['part-urls'] },
  cancel_upload: { schemas: [cancelUploadSchema], examples: ['cancel-upload'] },
  health_check: { schemas: [healthCheckSchema], examples: ['health-check'] },
  list_directory: { schemas: [listDirectorySchema], examples: ['list-directory'] },
  renew_token: { schemas: [renewTokenSchema], examples: ['renew-token'] },
  'server error': { schemas: [serverErrorSchema], examples: ['error-from-server'] },
};

/** Fields and examples of one message. */
export function messageReference(name: string, vectors: readonly Vector[]): string {
  const reference = messageReferences[name];
  if (reference === undefined) throw new Error(`there is no message ${name}`);
  return [
    ...reference.schemas.map((schema) => fieldTable(schema)),
    ...reference.examples.map((example) => exampleOf(example, vectors)),
  ].join('\n\n');
}

function exampleOf(name: string, vectors: readonly Vector[]): string {
  const vector = vectors.find((one) => one.name === name);
  if (vector?.valid !== true) throw new Error(`there is no valid golden vector ${name}`);
  return ['```json', JSON.stringify(JSON.parse(vector.frame), null, 2), '```'].join('\n');
}
