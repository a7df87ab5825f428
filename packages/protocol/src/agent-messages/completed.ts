import { z } from 'zod';
import { sha256HexSchema } from '../checksums.ts';
import { attemptOrFirstSchema, fileNameSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { uploadedPartSchema } from './uploaded-part.ts';

/** All parts were sent and the file is still the same. Whether the pull succeeded is the server's finding. */
export const completedSchema = z
  .object({
    status: z.literal('completed'),
    upload_id: uploadIdSchema,
    attempt: attemptOrFirstSchema,
    file_name: fileNameSchema,
    size: sizeBytesSchema,
    parts: z.array(uploadedPartSchema).max(10_000).meta({
      description:
        'Every part that this attempt sent, by number: 1 to `part_count` unless `resumed`. None where `download_file` said `empty`.',
    }),
    resumed: z.boolean().optional().meta({
      description: 'Whether this attempt was `resumed`: `parts` are then without those that were kept.',
    }),
    upload_duration_ms: z
      .int()
      .min(0)
      .meta({ description: 'From the first PUT to the last answer, in milliseconds.' }),
    sha256: sha256HexSchema
      .nullable()
      .default(null)
      .meta({ description: 'Of the whole file; null if the agent’s owner left it out.' }),
  })
  .refine(({ parts, resumed, size }) => parts.length > 0 || resumed === true || size === 0, {
    path: ['parts'],
    message: 'only a resumed attempt, or one of an empty file, may have sent no part',
  });
export type Completed = z.infer<typeof completedSchema>;
