import { z } from 'zod';
import { clientIdSchema, filePathSchema, timestampSchema } from '../identifiers.ts';
import { uploadLimitsSchema } from '../upload-limits.ts';
import { uploadRecordSchema } from './upload-record.ts';

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
  reason: z.string().min(1).max(500).optional().meta({ description: 'Recorded with the block.' }),
});

const clientFields = {
  client_id: clientIdSchema,
  connected: z.boolean(),
  connected_since: timestampSchema.nullable(),
  last_seen_at: timestampSchema.nullable(),
  token_expires_at: timestampSchema.nullable().optional().meta({
    description:
      'When the agent’s newest token ends: the one it connected with last, or the one that it has stored since to replace it; null if that was before this was recorded.',
  }),
  remote_address: z.string().nullable().optional().meta({
    description:
      'Where the agent connected from last, as far as TRUSTED_PROXIES say it; null if that was before this was recorded.',
  }),
  agent_version: z.string().nullable(),
  platform: z
    .object({ os: z.string(), arch: z.string(), hostname: z.string().nullable() })
    .nullable()
    .meta({ description: 'As the agent reports it.' }),
  labels: z.record(z.string(), z.string()),
  blocked: clientBlockSchema.nullable().optional().meta({
    description: 'Whether an operator keeps this client away; null if not.',
  }),
  default_file_path: filePathSchema.nullable(),
  limits: uploadLimitsSchema.nullable().optional().meta({
    description: 'Of each upload of this client, set by an operator; null for those of the server.',
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
        'Those that have not ended, 100 at most: first those that run, then the oldest that are queued. `GET /uploads?client_id=…` has all.',
    }),
    active_upload_count: z.int().min(0).optional().meta({
      description: 'How many have not ended; servers of 0.1.0 leave it out and list all.',
    }),
    last_upload: uploadRecordSchema.nullable(),
    duplicate_connections: z.int().min(0).optional().meta({
      description:
        'How often machines that seem to share this client’s token have taken turns, until a day passes without; normally 0.',
    }),
  })
  .meta({ id: 'ClientStatus' });
export type ClientStatus = z.infer<typeof clientStatusSchema>;
