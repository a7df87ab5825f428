import { z } from 'zod';
import { commandIdSchema, filePathSchema } from '../identifiers.ts';

/** Asks for the entries of a directory inside the agent's allow-list; answered by `result`. */
export const listDirectorySchema = z.object({
  action: z.literal('list_directory'),
  command_id: commandIdSchema,
  path: filePathSchema,
});
export type ListDirectory = z.infer<typeof listDirectorySchema>;
