import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** Answers `hello`. From here on the session is open. */
export const welcomeSchema = z.object({
  action: z.literal('welcome'),
  server_version: z.string().max(64).meta({ description: "The server program's version." }),
  session_id: z.uuidv7().meta({ description: 'This session; for logs on both sides.' }),
  epoch: z.int().min(1).meta({ description: "Grows with each of this client's sessions; the newest owns." }),
  heartbeat_interval_ms: z
    .int()
    .min(1000)
    .meta({ description: 'How often both sides ping, in milliseconds.' }),
  dead_after_ms: z
    .int()
    .min(2000)
    .meta({ description: 'After this long without a byte received, close the socket and connect anew.' }),
  progress_interval_ms: z.int().min(100).max(3_600_000).optional().meta({
    description:
      'At least this long between two `progress` messages of one upload, in milliseconds. Absent: an older server, which does not know `progress`; send none.',
  }),
  uploads: z
    .array(
      z.object({
        upload_id: uploadIdSchema,
        attempt: attemptSchema,
        verdict: z.enum(['continue', 'drop']).meta({
          description: '`continue`: go on. `drop`: stop, close the file, say nothing more about it.',
        }),
      }),
    )
    .max(1000)
    .meta({
      description:
        'What to do with each upload that `hello` named. After `continue` the agent sends `part_uploaded` for all its finished parts again.',
    }),
});
export type Welcome = z.infer<typeof welcomeSchema>;
