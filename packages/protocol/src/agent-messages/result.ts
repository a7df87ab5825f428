import { z } from 'zod';
import { commandIdSchema } from '../identifiers.ts';

const succeeded = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(true).meta({ description: 'The command was carried out.' }),
  data: z.record(z.string(), z.unknown()).meta({ description: 'Shaped by the command.' }),
});

const refused = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(false).meta({ description: 'The command was refused or failed.' }),
  error: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code. A server that does not know it reports `agent_fault`.' }),
  message: z.string().max(2000).meta({ description: 'For a person: what happened and what to change.' }),
});

/** Answers a command that is not an upload. */
export const resultSchema = z.discriminatedUnion('ok', [succeeded, refused]);
export type Result = z.infer<typeof resultSchema>;
