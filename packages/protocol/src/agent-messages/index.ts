import { z } from 'zod';
import { agentErrorSchema } from './agent-error.ts';
import { completedSchema } from './completed.ts';
import { failedSchema } from './failed.ts';
import { helloSchema } from './hello.ts';
import { partUploadedSchema } from './part-uploaded.ts';
import { partsReadySchema } from './parts-ready.ts';
import { preparedSchema } from './prepared.ts';
import { progressSchema } from './progress.ts';
import { resultSchema } from './result.ts';
import { resumedSchema } from './resumed.ts';
import { stalledSchema } from './stalled.ts';
import { tokenStoredSchema } from './token-stored.ts';

/** All messages from an agent to the server, distinguished by `status`. */
export const agentMessageSchema = z.discriminatedUnion('status', [
  helloSchema,
  preparedSchema,
  resumedSchema,
  partsReadySchema,
  partUploadedSchema,
  stalledSchema,
  progressSchema,
  completedSchema,
  failedSchema,
  resultSchema,
  tokenStoredSchema,
  agentErrorSchema,
]);
export type AgentMessage = z.infer<typeof agentMessageSchema>;
/** A message before parsing: fields with defaults are optional. */
export type AgentMessageInput = z.input<typeof agentMessageSchema>;

export * from './agent-error.ts';
export * from './completed.ts';
export * from './failed.ts';
export * from './hello.ts';
export * from './part-announcement.ts';
export * from './part-uploaded.ts';
export * from './parts-ready.ts';
export * from './prepared.ts';
export * from './progress.ts';
export * from './result.ts';
export * from './resumed.ts';
export * from './stalled.ts';
export * from './token-stored.ts';
export * from './uploaded-part.ts';
