import { z } from 'zod';
import {
  attemptSchema,
  fileNameSchema,
  sizeBytesSchema,
  timestampSchema,
  uploadIdSchema,
} from '../identifiers.ts';
import { partAnnouncementSchema } from './part-announcement.ts';

/** 64 bits of seconds as nanoseconds have 28 digits, a file id of 128 bits (ReFS) has 39; file systems hold any of them. */
const decimal = z.string().regex(/^-?\d{1,40}$/, 'not a whole number of at most 40 digits');

/** Which version of which file this is. Decimal strings, because inodes and nanoseconds exceed 2^53. */
export const fingerprintSchema = z.object({
  device: decimal.meta({ description: 'Device the file is on.' }),
  inode: decimal.meta({ description: 'Inode, or file index on Windows.' }),
  size: decimal.meta({ description: 'Bytes.' }),
  mtime_ns: decimal.meta({ description: 'Modification time, nanoseconds since 1970.' }),
  ctime_ns: decimal.meta({ description: 'Status change time, nanoseconds since 1970.' }),
});
export type Fingerprint = z.infer<typeof fingerprintSchema>;

/** The file is open and measured. `chunk_size` and `part_count` must be what the plan rule gives. */
export const preparedSchema = z.object({
  status: z.literal('prepared'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  file_name: fileNameSchema,
  size: sizeBytesSchema,
  chunk_size: z.int().min(1).meta({ description: 'Bytes in each part but the last, by the plan rule.' }),
  part_count: z.int().min(1).max(10_000).meta({ description: 'By the plan rule.' }),
  fingerprint: fingerprintSchema.meta({
    description: 'Which version of which file was opened. The agent compares it until the end.',
  }),
  source_modified_at: timestampSchema.meta({
    description:
      "The file's modification time, by the agent's clock; UTC, ISO 8601. A time before the year 1 or after 9999, which cannot be written so, is given as the first or last moment of these years; `fingerprint` has it exactly.",
  }),
  parts: z
    .array(partAnnouncementSchema)
    .min(1)
    .max(64)
    .meta({ description: 'The first window, read and hashed.' }),
});
export type Prepared = z.infer<typeof preparedSchema>;
