import { z } from 'zod';
import { filePathSchema } from '../identifiers.ts';

/** Body of `POST /trigger-download/{client_id}`. Unknown fields are refused: a typo must not change a pull. */
export const triggerRequestSchema = z
  .strictObject({
    file_path: filePathSchema.optional().meta({ description: "Default: the agent's `--file`." }),
    reason: z.string().min(1).max(500).optional().meta({ description: 'Why, for the audit.' }),
  })
  .meta({ id: 'TriggerRequest' });
export type TriggerRequest = z.infer<typeof triggerRequestSchema>;

/** Longest `Prefer: wait=N`, in seconds. */
export const MAX_WAIT_SECONDS = 300;
