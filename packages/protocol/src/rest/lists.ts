import { z } from 'zod';
import { clientIdSchema } from '../identifiers.ts';
import { uploadStatusSchema } from '../upload-status.ts';
import { clientSummarySchema } from './client-status.ts';
import { uploadRecordSchema } from './upload-record.ts';

const paging = {
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(512).optional().meta({ description: 'The `next_cursor` of the previous page.' }),
};

/** Query of `GET /uploads`, newest first. */
export const uploadListQuerySchema = z.strictObject({
  client_id: clientIdSchema.optional(),
  status: uploadStatusSchema.optional(),
  ...paging,
});
export type UploadListQuery = z.infer<typeof uploadListQuerySchema>;

export const uploadListSchema = z
  .object({ uploads: z.array(uploadRecordSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'UploadList' });
export type UploadList = z.infer<typeof uploadListSchema>;

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
  ...paging,
});
export type ClientListQuery = z.infer<typeof clientListQuerySchema>;

export const clientListSchema = z
  .object({ clients: z.array(clientSummarySchema), next_cursor: z.string().nullable() })
  .meta({ id: 'ClientList' });
export type ClientList = z.infer<typeof clientListSchema>;
