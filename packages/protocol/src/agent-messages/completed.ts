import { z } from 'zod';
import { sha256HexSchema } from '../checksums.ts';
import { attemptOrFirstSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { uploadedPartSchema } from './uploaded-part.ts';

/** All parts were sent and the file is still the same. Whether the pull succeeded is the server's finding. */
export const completedSchema = z.object({
  status: z.literal('completed'),
  upload_id: uploadIdSchema,
  attempt: attemptOrFirstSchema,
  file_name: z.string().min(1).max(1024),
  size: sizeBytesSchema,
  parts: z.array(uploadedPartSchema).min(1).max(10_000),
  upload_duration_ms: z.int().min(0),
  sha256: sha256HexSchema
    .nullable()
    .default(null)
    .meta({ description: 'Of the whole file; null if the agent’s owner left it out.' }),
});
export type Completed = z.infer<typeof completedSchema>;
