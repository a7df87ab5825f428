import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';
import { partAnnouncementSchema } from './part-announcement.ts';

/** Requests URLs for the next window, or for parts whose URLs expired. */
export const partsReadySchema = z.object({
  status: z.literal('parts_ready'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  parts: z.array(partAnnouncementSchema).min(1).max(64).meta({ description: 'Parts that need a URL.' }),
});
export type PartsReady = z.infer<typeof partsReadySchema>;
