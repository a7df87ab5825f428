import { z } from 'zod';
import {
  attemptSchema,
  fileNameSchema,
  sizeBytesSchema,
  timestampSchema,
  uploadIdSchema,
} from '../identifiers.ts';
import { partAnnouncementSchema } from './part-announcement.ts';

/** 64 bits of seconds as nanoseconds have 28 digits, a file id of 128 bits (ReFS) has 39. */
const decimal = z.string().regex(/^-?\d{1,40}$/, 'not a whole number of at most 40 digits');

/** Identifies a file and its version. Decimal strings, because inodes and nanoseconds can exceed 2^53. */
export const fingerprintSchema = z.object({
  device: decimal.meta({ description: 'Device of the file.' }),
  inode: decimal.meta({ description: 'Inode, or file index on Windows.' }),
  size: decimal.meta({ description: 'Size in bytes.' }),
  mtime_ns: decimal.meta({ description: 'Modification time, nanoseconds since 1970.' }),
  ctime_ns: decimal.meta({ description: 'Status change time, nanoseconds since 1970.' }),
});
export type Fingerprint = z.infer<typeof fingerprintSchema>;

/** The file is open and its size is known. `chunk_size` and `part_count` must follow the plan rule. */
export const preparedSchema = z.object({
  status: z.literal('prepared'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  file_name: fileNameSchema,
  size: sizeBytesSchema,
  chunk_size: z.int().min(1).meta({ description: 'Bytes of each part except the last, by the plan rule.' }),
  part_count: z.int().min(1).max(10_000).meta({ description: 'Number of parts by the plan rule.' }),
  fingerprint: fingerprintSchema.meta({
    description: 'File and version that were opened. The agent checks them until the end.',
  }),
  source_modified_at: timestampSchema.meta({
    description:
      "The file's modification time by the agent's clock; UTC, ISO 8601. A time before the year 1 or after 9999 cannot be represented and is replaced by the first or last moment of this range; `fingerprint` has the exact time.",
  }),
  parts: z
    .array(partAnnouncementSchema)
    .min(1)
    .max(64)
    .meta({ description: 'Parts of the first window, read and hashed.' }),
});
export type Prepared = z.infer<typeof preparedSchema>;
