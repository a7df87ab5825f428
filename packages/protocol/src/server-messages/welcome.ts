import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** Response to `hello`. The session is open from now on. */
export const welcomeSchema = z.object({
  action: z.literal('welcome'),
  server_version: z.string().max(64).meta({ description: 'Version of the server.' }),
  session_id: z.uuidv7().meta({ description: 'Id of this session, for the logs of both sides.' }),
  epoch: z
    .int()
    .min(1)
    .meta({ description: 'Increases with each session of this client; only the newest session is valid.' }),
  heartbeat_interval_ms: z
    .int()
    .min(1000)
    .meta({ description: 'Interval of pings from both sides, in milliseconds.' }),
  dead_after_ms: z.int().min(2000).meta({
    description: 'Close the connection and reconnect after this time without received data, in milliseconds.',
  }),
  progress_interval_ms: z.int().min(100).max(3_600_000).optional().meta({
    description:
      'Minimum interval between `progress` messages of one upload, in milliseconds. Absent from older servers, which do not support `progress`: send none.',
  }),
  uploads: z
    .array(
      z.object({
        upload_id: uploadIdSchema,
        attempt: attemptSchema,
        verdict: z.enum(['continue', 'drop']).meta({
          description:
            '`continue`: continue the upload. `drop`: stop, close the file and send no further messages about it.',
        }),
      }),
    )
    .max(1000)
    .meta({
      description:
        'Decision for each upload in `hello.running`. After `continue` the agent sends `part_uploaded` for all its finished parts again.',
    }),
});
export type Welcome = z.infer<typeof welcomeSchema>;
