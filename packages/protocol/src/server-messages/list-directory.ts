import { z } from 'zod';
import { commandIdSchema, filePathSchema } from '../identifiers.ts';

/** Capability of agents that support pages and prefixes in `list_directory`. */
export const LIST_PAGES_CAPABILITY = 'list_pages';

/** Selects entries of a directory; only for agents with the capability `list_pages`. */
export const listingRangeShape = {
  prefix: z.string().min(1).max(1024).optional().meta({
    description: 'Only entries whose names start with this text. Requires the capability `list_pages`.',
  }),
  cursor: z.string().min(1).max(4096).optional().meta({
    description:
      'Only entries after the previous page: its `next_cursor`. Requires the capability `list_pages`.',
  }),
  limit: z.int().min(1).max(5000).optional().meta({
    description: 'Maximum number of entries; default 5,000. Requires the capability `list_pages`.',
  }),
};

/** Lists a directory inside the agent's allow-list; the agent responds with `result`. */
export const listDirectorySchema = z.object({
  action: z.literal('list_directory'),
  command_id: commandIdSchema,
  path: filePathSchema,
  ...listingRangeShape,
});
export type ListDirectory = z.infer<typeof listDirectorySchema>;
