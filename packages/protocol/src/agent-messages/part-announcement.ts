import { z } from 'zod';
import { partChecksumsSchema } from '../checksums.ts';
import { partNumberSchema, sizeBytesSchema } from '../identifiers.ts';

/** A part that has been read and hashed, and needs a presigned URL. */
export const partAnnouncementSchema = z.object({
  part_number: partNumberSchema,
  size: sizeBytesSchema,
  ...partChecksumsSchema.shape,
});
export type PartAnnouncement = z.infer<typeof partAnnouncementSchema>;
