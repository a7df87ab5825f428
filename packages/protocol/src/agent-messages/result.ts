import { z } from 'zod';
import { commandIdSchema } from '../identifiers.ts';

const succeeded = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(true).meta({ description: 'The command succeeded.' }),
  data: z
    .record(z.string(), z.unknown())
    .meta({ description: 'Result of the command; its shape depends on the command.' }),
});

const refused = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(false).meta({ description: 'The command was refused or failed.' }),
  error: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code. The server reports unknown codes as `agent_fault`.' }),
  message: z
    .string()
    .max(2000)
    .meta({ description: 'Description for people: what happened and what to change.' }),
});

/** Result of a command that is not an upload. */
export const resultSchema = z.discriminatedUnion('ok', [succeeded, refused]);
export type Result = z.infer<typeof resultSchema>;
