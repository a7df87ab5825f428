import { z } from 'zod';
import { clientIdSchema, timestampSchema, uploadIdSchema } from '../identifiers.ts';

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
  since: timestampSchema.optional().meta({ description: 'Start time, inclusive.' }),
  until: timestampSchema.optional().meta({ description: 'End time, exclusive.' }),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(512).optional().meta({
    description: 'The `next_cursor` of the previous page.',
  }),
});

/** An action of an operator, recorded in the same transaction. */
export const auditEventSchema = z
  .object({
    at: timestampSchema,
    actor: z.string().meta({ description: 'Subject of the token.' }),
    action: z.string(),
    client_id: z.string().nullable(),
    upload_id: uploadIdSchema.nullable(),
    detail: z.record(z.string(), z.unknown()).meta({ description: 'Parameters of the action.' }),
  })
  .meta({ id: 'AuditEvent' });
export type AuditRecord = z.infer<typeof auditEventSchema>;

export const auditListSchema = z
  .object({ events: z.array(auditEventSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'AuditList' });
export type AuditList = z.infer<typeof auditListSchema>;
