import { z } from 'zod';
import { clientIdSchema, pageFields, timestampSchema, uploadIdSchema } from '../fields.ts';

/** Refused with a 4xx status; failed with a 5xx status. */
export const auditOutcomes = ['accepted', 'refused', 'failed'] as const;
export type AuditOutcome = (typeof auditOutcomes)[number];

/** Query of `GET /audit`, newest first. */
export const auditQuerySchema = z.strictObject({
  client_id: clientIdSchema.optional(),
  actor: z.string().min(1).max(200).optional().meta({ description: 'Subject of the token.' }),
  action: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .meta({ description: 'Name of the action, such as `upload.trigger`.' }),
  outcome: z.enum(auditOutcomes).optional().meta({
    description: '`refused` with a 4xx status, `failed` with a 5xx status.',
  }),
  since: timestampSchema.optional().meta({ description: 'Start time, inclusive.' }),
  until: timestampSchema.optional().meta({ description: 'End time, exclusive.' }),
  ...pageFields,
});

/**
 * A request of an operator and its outcome. Fields that earlier servers do not send are optional; their events are all of
 * accepted requests.
 */
const auditEventSchema = z
  .object({
    at: timestampSchema,
    id: z
      .int()
      .optional()
      .meta({ description: 'Increases in the order of recording, independent of the clock.' }),
    actor: z.string().meta({ description: 'Subject of the token; empty if no valid token was sent.' }),
    address: z.string().nullable().optional().meta({
      description:
        'Address of the caller, as reported by trusted proxies (`TRUSTED_PROXIES`); null in events of earlier versions.',
    }),
    action: z.string(),
    client_id: z.string().nullable(),
    upload_id: uploadIdSchema.nullable(),
    outcome: z.string().optional().meta({
      description:
        '`accepted`, `refused` or `failed`. The outcome of an accepted upload is in the record of `upload_id`.',
    }),
    status: z.int().nullable().optional().meta({ description: 'HTTP status; null if accepted.' }),
    error: z.string().nullable().optional().meta({ description: 'Error code; null if accepted.' }),
    count: z.int().min(1).optional().meta({
      description: 'Number of equal requests that were refused within a minute.',
    }),
    detail: z.record(z.string(), z.unknown()).meta({
      description: 'Parameters of the action; of a refused request also `error`.',
    }),
  })
  .meta({ id: 'AuditEvent' });
export type AuditRecord = z.infer<typeof auditEventSchema>;

export const auditListSchema = z
  .object({ events: z.array(auditEventSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'AuditList' });
export type AuditList = z.infer<typeof auditListSchema>;
