import { z } from 'zod';
import { clientIdSchema, filePathSchema, timestampSchema } from '../identifiers.ts';
import { uploadRecordSchema } from './upload-record.ts';

const clientFields = {
  client_id: clientIdSchema,
  connected: z.boolean(),
  connected_since: timestampSchema.nullable(),
  last_seen_at: timestampSchema.nullable(),
  agent_version: z.string().nullable(),
  platform: z
    .object({ os: z.string(), arch: z.string(), hostname: z.string().nullable() })
    .nullable()
    .meta({ description: 'As the agent reports it.' }),
  labels: z.record(z.string(), z.string()),
  default_file_path: filePathSchema.nullable(),
};

/** One row of `GET /clients`. */
export const clientSummarySchema = z.object(clientFields).meta({ id: 'ClientSummary' });
export type ClientSummary = z.infer<typeof clientSummarySchema>;

/** `GET /status/{client_id}`. */
export const clientStatusSchema = z
  .object({
    ...clientFields,
    active_uploads: z.array(uploadRecordSchema),
    last_upload: uploadRecordSchema.nullable(),
  })
  .meta({ id: 'ClientStatus' });
export type ClientStatus = z.infer<typeof clientStatusSchema>;
