import { z } from 'zod';
import { commandIdSchema } from '../identifiers.ts';

const succeeded = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(true),
  data: z.record(z.string(), z.unknown()).meta({ description: 'Shaped by the command.' }),
});

const refused = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(false),
  error: z.string().min(1).max(64),
  message: z.string().max(2000),
});

/** Answers a command that is not an upload. */
export const resultSchema = z.discriminatedUnion('ok', [succeeded, refused]);
export type Result = z.infer<typeof resultSchema>;
