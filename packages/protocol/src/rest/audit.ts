import { z } from 'zod';
import { clientIdSchema, timestampSchema, uploadIdSchema } from '../identifiers.ts';

/** Query of `GET /audit`, newest first. */
export const auditQuerySchema = z.strictObject({
  client_id: clientIdSchema.optional(),
  actor: z.string().min(1).max(200).optional().meta({ description: 'Subject of a token.' }),
  action: z.string().min(1).max(64).optional().meta({ description: 'Such as `upload.trigger`.' }),
  since: timestampSchema.optional().meta({ description: 'Not before this time.' }),
  until: timestampSchema.optional().meta({ description: 'Before this time.' }),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(512).optional().meta({
    description: 'The `next_cursor` of the page before, as it stands.',
  }),
});

/** Something that an operator did, as it was recorded with it. */
export const auditEventSchema = z
  .object({
    at: timestampSchema,
    actor: z.string().meta({ description: 'Subject of the token.' }),
    action: z.string(),
    client_id: z.string().nullable(),
    upload_id: uploadIdSchema.nullable(),
    detail: z.record(z.string(), z.unknown()).meta({ description: 'What the action was given.' }),
  })
  .meta({ id: 'AuditEvent' });
export type AuditRecord = z.infer<typeof auditEventSchema>;

export const auditListSchema = z
  .object({ events: z.array(auditEventSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'AuditList' });
export type AuditList = z.infer<typeof auditListSchema>;
