import { z } from 'zod';
import { changePolicySchema } from '../change-policy.ts';
import { filePathSchema } from '../identifiers.ts';
import { uploadLimitsRequestSchema } from '../upload-limits.ts';

/** Default of `expires_in`: 24 h. */
export const DEFAULT_EXPIRES_IN_SECONDS = 86_400;
/** Maximum of `expires_in`: 30 days. */
export const MAX_EXPIRES_IN_SECONDS = 2_592_000;

/** Behaviour if the agent is not connected. */
export const offlinePolicySchema = z.enum(['queue', 'fail']).meta({
  description:
    'If the agent is not connected: `queue` (default) accepts the upload, which then waits for the agent; `fail` returns 409 `client_offline` and records nothing.',
});
export type OfflinePolicy = z.infer<typeof offlinePolicySchema>;

/** Body of `POST /trigger-download/{client_id}`. Unknown fields are refused, so that a typo is an error. */
export const triggerRequestSchema = z
  .strictObject({
    file_path: filePathSchema
      .optional()
      .meta({ description: "Path of the file. Default: the agent's `--file`." }),
    reason: z.string().min(1).max(500).optional().meta({ description: 'Reason, recorded in the audit log.' }),
    expires_in: z
      .int()
      .min(1)
      .max(MAX_EXPIRES_IN_SECONDS)
      .optional()
      .meta({
        description: `Seconds until the upload ends as \`expired\`, including the wait for its agent. Default: ${DEFAULT_EXPIRES_IN_SECONDS} (24 h).`,
        example: 3600,
      }),
    offline: offlinePolicySchema.optional(),
    on_change: changePolicySchema.optional(),
    limits: uploadLimitsRequestSchema.optional().meta({
      description:
        'Limits of this upload; they override those of its client and of the server. If the agent is too old to apply them, the request fails with `not_supported`.',
    }),
    force: z.boolean().optional().meta({
      description:
        'If true, never join an unfinished upload of the same file with the same `on_change` and `limits`. By default such an upload is returned, and its deadline is extended if this request’s is later.',
    }),
  })
  // Without an example, API explorers propose all fields, including `force`.
  .meta({ id: 'TriggerRequest', examples: [{ file_path: '/data/report.bin', reason: 'monthly report' }] });
export type TriggerRequest = z.infer<typeof triggerRequestSchema>;

/** Maximum of `Prefer: wait=N`, in seconds. */
export const MAX_WAIT_SECONDS = 300;
