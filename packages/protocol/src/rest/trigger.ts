import { z } from 'zod';
import { changePolicySchema } from '../change-policy.ts';
import { filePathSchema } from '../identifiers.ts';
import { uploadLimitsRequestSchema } from '../upload-limits.ts';

/** How long a pull may take in all where the request does not say: 24 h. */
export const DEFAULT_EXPIRES_IN_SECONDS = 86_400;
/** 30 days. */
export const MAX_EXPIRES_IN_SECONDS = 2_592_000;

/** What becomes of a request for an agent that is not connected. */
export const offlinePolicySchema = z.enum(['queue', 'fail']).meta({
  description:
    'If the agent is not connected right now: `queue` (default) accepts the pull, and it waits for the agent; `fail` answers 409 `client_offline` and records nothing.',
});
export type OfflinePolicy = z.infer<typeof offlinePolicySchema>;

/** Body of `POST /trigger-download/{client_id}`. Unknown fields are refused: a typo must not change a pull. */
export const triggerRequestSchema = z
  .strictObject({
    file_path: filePathSchema.optional().meta({ description: "Default: the agent's `--file`." }),
    reason: z.string().min(1).max(500).optional().meta({ description: 'Why, for the audit.' }),
    expires_in: z
      .int()
      .min(1)
      .max(MAX_EXPIRES_IN_SECONDS)
      .optional()
      .meta({
        description: `Seconds that the pull may take in all, the wait for its agent included; then it ends as \`expired\`. Default: ${DEFAULT_EXPIRES_IN_SECONDS} (24 h).`,
        example: 3600,
      }),
    offline: offlinePolicySchema.optional(),
    on_change: changePolicySchema.optional(),
    limits: uploadLimitsRequestSchema.optional().meta({
      description:
        'Limits of this upload, over those of its client and of the server. An agent that is too old to keep them is `not_supported`.',
    }),
    force: z.boolean().optional().meta({
      description:
        'Whether to start another pull even if one of the same file, with the same `on_change` and `limits`, has not ended yet. By default such a one is answered instead, its deadline moved on if this request’s is later.',
    }),
  })
  // Without it, pages that try requests propose every field, `force` among them.
  .meta({ id: 'TriggerRequest', examples: [{ file_path: '/data/report.bin', reason: 'monthly report' }] });
export type TriggerRequest = z.infer<typeof triggerRequestSchema>;

/** Longest `Prefer: wait=N`, in seconds. */
export const MAX_WAIT_SECONDS = 300;
