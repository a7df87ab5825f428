import { z } from 'zod';
import { sha256HexSchema } from '../checksums.ts';
import { attemptOrFirstSchema, fileNameSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { uploadedPartSchema } from './uploaded-part.ts';

/** All parts were sent and the file is still the same. Whether the pull succeeded is the server's finding. */
export const completedSchema = z.object({
  status: z.literal('completed'),
  upload_id: uploadIdSchema,
  attempt: attemptOrFirstSchema,
  file_name: fileNameSchema,
  size: sizeBytesSchema,
  parts: z.array(uploadedPartSchema).min(1).max(10_000).meta({ description: 'Every part, by number.' }),
  upload_duration_ms: z
    .int()
    .min(0)
    .meta({ description: 'From the first PUT to the last answer, in milliseconds.' }),
  sha256: sha256HexSchema
    .nullable()
    .default(null)
    .meta({ description: 'Of the whole file; null if the agent’s owner left it out.' }),
});
export type Completed = z.infer<typeof completedSchema>;
