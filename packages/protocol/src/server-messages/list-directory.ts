import { z } from 'zod';
import { commandIdSchema, filePathSchema } from '../identifiers.ts';

/** Of agents that list a directory page by page, and by prefix. */
export const LIST_PAGES_CAPABILITY = 'list_pages';

/** Which of a directory's entries; only to agents with the capability `list_pages`. */
export const listingRangeShape = {
  prefix: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .meta({ description: 'Only entries whose names begin so. Needs the capability `list_pages`.' }),
  cursor: z.string().min(1).max(4096).optional().meta({
    description: 'Only entries after that page: its `next_cursor`. Needs the capability `list_pages`.',
  }),
  limit: z.int().min(1).max(5000).optional().meta({
    description: 'Most entries of the answer, by default 5,000. Needs the capability `list_pages`.',
  }),
};

/** Asks for the entries of a directory inside the agent's allow-list; answered by `result`. */
export const listDirectorySchema = z.object({
  action: z.literal('list_directory'),
  command_id: commandIdSchema,
  path: filePathSchema,
  ...listingRangeShape,
});
export type ListDirectory = z.infer<typeof listDirectorySchema>;
