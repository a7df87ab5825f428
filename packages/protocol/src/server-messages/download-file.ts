import { z } from 'zod';
import { attemptOrFirstSchema, filePathSchema, uploadIdSchema } from '../identifiers.ts';
import { presignedPartSchema, urlWindowFields } from './presigned-part.ts';

/** Starts the transfer of a prepared upload, with the URLs of its first window. */
export const downloadFileSchema = z.object({
  action: z.literal('download_file'),
  file_path: filePathSchema,
  upload_config: z.object({
    kind: z.literal('multipart').default('multipart'),
    upload_id: uploadIdSchema,
    attempt: attemptOrFirstSchema,
    bucket: z.string().min(1).max(255),
    key: z.string().min(1).max(1024),
    chunk_size: z.int().min(1),
    part_count: z.int().min(1).max(10_000).optional(),
    ...urlWindowFields,
    presigned_urls: z.array(presignedPartSchema).min(1).max(64),
  }),
});
export type DownloadFile = z.infer<typeof downloadFileSchema>;
