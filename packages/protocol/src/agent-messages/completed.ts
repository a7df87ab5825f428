import { z } from 'zod';
import { sha256HexSchema } from '../checksums.ts';
import { attemptOrFirstSchema, fileNameSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { uploadedPartSchema } from './uploaded-part.ts';

/** All parts were sent and the file is unchanged. The server decides whether the upload has succeeded. */
export const completedSchema = z
  .object({
    status: z.literal('completed'),
    upload_id: uploadIdSchema,
    attempt: attemptOrFirstSchema,
    file_name: fileNameSchema,
    size: sizeBytesSchema,
    parts: z.array(uploadedPartSchema).max(10_000).meta({
      description:
        'All parts that this attempt sent, sorted by part number: 1 to `part_count` unless `resumed`. Empty if `download_file` had the kind `empty`.',
    }),
    resumed: z.boolean().optional().meta({
      description: 'Whether this attempt was `resumed`; `parts` then excludes the kept parts.',
    }),
    upload_duration_ms: z
      .int()
      .min(0)
      .meta({ description: 'Time from the first PUT to the last response, in milliseconds.' }),
    sha256: sha256HexSchema.nullable().default(null).meta({
      description: 'SHA-256 of the whole file; null if it is disabled in the agent’s configuration.',
    }),
  })
  .refine(({ parts, resumed, size }) => parts.length > 0 || resumed === true || size === 0, {
    path: ['parts'],
    message: 'only a resumed attempt, or one of an empty file, may have sent no part',
  });
export type Completed = z.infer<typeof completedSchema>;
