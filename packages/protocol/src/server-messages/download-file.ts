import { z } from 'zod';
import { attemptOrFirstSchema, filePathSchema, uploadIdSchema } from '../identifiers.ts';
import { presignedPartSchema, urlWindowFields } from './presigned-part.ts';

/** What an agent that understands the kind `empty` has in `capabilities`. */
export const EMPTY_OBJECT_CAPABILITY = 'empty_object';

/** Starts the transfer of a prepared upload, with the URLs of its first window. */
export const downloadFileSchema = z.object({
  action: z.literal('download_file'),
  file_path: filePathSchema,
  upload_config: z
    .object({
      kind: z.enum(['multipart', 'empty']).default('multipart').meta({
        description:
          'How the file is stored. `empty`, only for a file of 0 bytes and an agent with the capability `empty_object`: the server writes the object itself, and no part is sent. Refuse a kind you do not know.',
      }),
      upload_id: uploadIdSchema,
      attempt: attemptOrFirstSchema,
      bucket: z.string().min(1).max(255).meta({ description: 'For people: the URLs are already complete.' }),
      key: z.string().min(1).max(1024).meta({ description: 'For people, as `bucket`.' }),
      chunk_size: z
        .int()
        .min(1)
        .meta({ description: "As in the agent's `prepared`; a difference is `plan_mismatch`." }),
      part_count: z
        .int()
        .min(1)
        .max(10_000)
        .optional()
        .meta({ description: "As in the agent's `prepared`, where given." }),
      ...urlWindowFields,
      presigned_urls: z
        .array(presignedPartSchema)
        .max(64)
        .meta({ description: 'One for each part of the window; none where `kind` is `empty`.' }),
    })
    .refine(({ kind, presigned_urls: urls }) => (kind === 'empty' ? urls.length === 0 : urls.length > 0), {
      path: ['presigned_urls'],
      message: 'one URL or more, and none where kind is empty',
    })
    .meta({ description: 'Where the parts go.' }),
});
export type DownloadFile = z.infer<typeof downloadFileSchema>;
