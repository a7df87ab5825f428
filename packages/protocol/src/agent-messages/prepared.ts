import { z } from 'zod';
import { attemptSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { partAnnouncementSchema } from './part-announcement.ts';

const decimal = z.string().regex(/^-?\d{1,20}$/);

/** Which version of which file this is. Decimal strings, because inodes and nanoseconds exceed 2^53. */
export const fingerprintSchema = z.object({
  device: decimal,
  inode: decimal,
  size: decimal,
  mtime_ns: decimal,
  ctime_ns: decimal,
});
export type Fingerprint = z.infer<typeof fingerprintSchema>;

/** The file is open and measured. `chunk_size` and `part_count` must be what the plan rule gives. */
export const preparedSchema = z.object({
  status: z.literal('prepared'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  file_name: z.string().min(1).max(1024),
  size: sizeBytesSchema,
  chunk_size: z.int().min(1),
  part_count: z.int().min(1).max(10_000),
  fingerprint: fingerprintSchema,
  source_modified_at: z.iso.datetime(),
  parts: z.array(partAnnouncementSchema).min(1).max(64),
});
export type Prepared = z.infer<typeof preparedSchema>;
