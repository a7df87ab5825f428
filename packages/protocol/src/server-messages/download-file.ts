import { z } from 'zod';
import { attemptOrFirstSchema, filePathSchema, uploadIdSchema } from '../identifiers.ts';
import { presignedPartSchema, urlWindowFields } from './presigned-part.ts';

/** Capability of agents that support the kind `empty`. */
export const EMPTY_OBJECT_CAPABILITY = 'empty_object';

/** Starts the transfer of a prepared upload, with the URLs of its first window. */
export const downloadFileSchema = z.object({
  action: z.literal('download_file'),
  file_path: filePathSchema,
  upload_config: z
    .object({
      kind: z.enum(['multipart', 'empty']).default('multipart').meta({
        description:
          'How the file is stored. `empty` (only for a file of 0 bytes and an agent with the capability `empty_object`): the server writes the object itself, and no part is sent. Refuse unknown kinds.',
      }),
      upload_id: uploadIdSchema,
      attempt: attemptOrFirstSchema,
      bucket: z.string().min(1).max(255).meta({ description: 'Informative only: the URLs are complete.' }),
      key: z.string().min(1).max(1024).meta({ description: 'Informative only.' }),
      chunk_size: z
        .int()
        .min(1)
        .meta({ description: "Same as in the agent's `prepared`; a difference is a `plan_mismatch`." }),
      part_count: z
        .int()
        .min(1)
        .max(10_000)
        .optional()
        .meta({ description: "Same as in the agent's `prepared`, if present." }),
      ...urlWindowFields,
      presigned_urls: z
        .array(presignedPartSchema)
        .max(64)
        .meta({ description: 'One for each part of the window; empty if `kind` is `empty`.' }),
    })
    .refine(({ kind, presigned_urls: urls }) => (kind === 'empty' ? urls.length === 0 : urls.length > 0), {
      path: ['presigned_urls'],
      message: 'must have at least one URL, or none if kind is empty',
    })
    .meta({ description: 'Destination of the parts.' }),
});
export type DownloadFile = z.infer<typeof downloadFileSchema>;
