import { z } from 'zod';
import { clientIdSchema, filePathSchema, pageFields, timestampSchema } from '../fields.ts';
import { uploadLimitsSchema } from '../upload-limits.ts';
import type { Opened } from './open-response.ts';
import { uploadRecordSchema } from './uploads.ts';

export const clientBlockSchema = z
  .object({
    blocked_at: timestampSchema,
    blocked_by: z.string().meta({ description: 'Subject of the token.' }),
    reason: z.string().nullable(),
  })
  .meta({ id: 'ClientBlock' });
export type ClientBlock = z.infer<typeof clientBlockSchema>;

/** Body of `PUT /clients/{client_id}/block`. */
export const blockRequestSchema = z.strictObject({
  reason: z.string().min(1).max(500).optional().meta({ description: 'Reason, recorded with the block.' }),
});

const clientFields = {
  client_id: clientIdSchema,
  connected: z.boolean(),
  connected_since: timestampSchema.nullable(),
  last_seen_at: timestampSchema.nullable(),
  token_expires_at: timestampSchema.nullable().optional().meta({
    description:
      'Expiry of the agent’s newest token: that of its last connection, or a renewed one that it has stored; null if that connection was before this field was recorded.',
  }),
  remote_address: z.string().nullable().optional().meta({
    description:
      'Address of the agent’s last connection, as reported by trusted proxies (TRUSTED_PROXIES); null if that connection was before this field was recorded.',
  }),
  agent_version: z.string().nullable(),
  platform: z
    .object({ os: z.string(), arch: z.string(), hostname: z.string().nullable() })
    .nullable()
    .meta({ description: 'The machine, as reported by the agent.' }),
  labels: z.record(z.string(), z.string()),
  blocked: clientBlockSchema.nullable().optional().meta({
    description: 'The block set by an operator; null if the client is not blocked.',
  }),
  default_file_path: filePathSchema.nullable(),
  limits: uploadLimitsSchema.nullable().optional().meta({
    description:
      'Limits of each upload of this client, set by an operator; null if the server’s defaults apply.',
  }),
};

/** One row of `GET /clients`. */
export const clientSummarySchema = z.object(clientFields).meta({ id: 'ClientSummary' });
export type ClientSummary = z.infer<typeof clientSummarySchema>;

/** `GET /status/{client_id}`. */
export const clientStatusSchema = z
  .object({
    ...clientFields,
    active_uploads: z.array(uploadRecordSchema).meta({
      description:
        'Unfinished uploads, at most 100: first running ones, then the oldest queued ones. `GET /uploads?client_id=…` returns all.',
    }),
    active_upload_count: z.int().min(0).optional().meta({
      description: 'Number of unfinished uploads; absent from servers of 0.1.0, which list all.',
    }),
    last_upload: uploadRecordSchema.nullable(),
    duplicate_connections: z.int().min(0).optional().meta({
      description:
        'How often the connection was taken over by another machine that seems to use the same token. Reset after a day without; normally 0.',
    }),
  })
  .meta({ id: 'ClientStatus' });
export type ClientStatus = Opened<z.infer<typeof clientStatusSchema>>;

/** Query of `GET /clients`, sorted by `client_id`. */
export const clientListQuerySchema = z.strictObject({
  connected: z.enum(['true', 'false']).optional(),
  label: z
    .preprocess(
      // A single query parameter is a string, repeated ones are a list.
      (given) => (typeof given === 'string' ? [given] : given),
      z.array(z.string().regex(/^[^=]+=.*$/, 'a label filter is written name=value')).max(32),
    )
    .optional()
    .meta({
      description:
        'Only clients with this label, written `name=value`. May be repeated; then all labels must match.',
    }),
  ...pageFields,
});

export const clientListSchema = z
  .object({ clients: z.array(clientSummarySchema), next_cursor: z.string().nullable() })
  .meta({ id: 'ClientList' });
export type ClientList = z.infer<typeof clientListSchema>;
