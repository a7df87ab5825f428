import { z } from 'zod';
import { listingRangeShape } from '../server-messages/list-directory.ts';
import { commandIdSchema, filePathSchema, sizeBytesSchema, timestampSchema } from '../identifiers.ts';

/** What `health_check` answers. */
export const healthReportSchema = z
  .object({
    agent_version: z.string(),
    uptime_ms: z.int().min(0),
    rss_bytes: sizeBytesSchema,
    active_uploads: z.int().min(0),
    max_uploads: z.int().min(1),
    allowed: z.array(z.string()).max(1000).meta({ description: 'What the agent’s owner lets it read.' }),
    max_rate_bytes_per_second: z.int().nullable(),
    hanging_file_calls: z.int().min(0).optional().meta({
      description: 'File calls that do not come back, e.g. from a dead mount. Absent: an old agent.',
    }),
    hanging_mounts: z
      .array(z.string().max(4096))
      .max(100)
      .optional()
      .meta({ description: 'Mount points of the file systems that these calls wait for.' }),
  })
  .meta({ id: 'HealthReport' });
export type HealthReport = z.infer<typeof healthReportSchema>;

export const directoryEntrySchema = z.object({
  name: z.string().max(4096),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  size: sizeBytesSchema
    .nullable()
    .meta({ description: 'Bytes, of a file; else null, and for more than 2^53 - 1.' }),
  modified_at: timestampSchema
    .nullable()
    .meta({ description: 'Null for a time before the year 1 or after 9999.' }),
});

/** What `list_directory` answers. Entries are sorted by name; a long directory is cut and says so. */
export const directoryListingSchema = z
  .object({
    path: filePathSchema,
    entries: z.array(directoryEntrySchema).max(5000),
    truncated: z.boolean(),
    next_cursor: z.string().max(4096).optional().meta({
      description:
        '`cursor` of the next page, where there is one. Absent too from agents without the capability `list_pages`.',
    }),
  })
  .meta({ id: 'DirectoryListing' });
export type DirectoryListing = z.infer<typeof directoryListingSchema>;

/**
 * Commands an operator can run on an agent: parameters (the body of
 * `POST /clients/{client_id}/commands/{name}`) and result. Both sides are strict about their own input.
 */
export const commands = {
  health_check: { parameters: z.strictObject({}), result: healthReportSchema },
  list_directory: {
    parameters: z.strictObject({ path: filePathSchema, ...listingRangeShape }),
    result: directoryListingSchema,
  },
} as const;
export type CommandName = keyof typeof commands;
export const commandNames = Object.keys(commands) as CommandName[];

export type CommandParameters<Name extends CommandName> = z.infer<(typeof commands)[Name]['parameters']>;
export type CommandResult<Name extends CommandName> = z.infer<(typeof commands)[Name]['result']>;

/** Answer of `POST /clients/{client_id}/commands/{name}`. */
export const commandAnswerSchema = z
  .object({
    command_id: commandIdSchema,
    duration_ms: z.int().min(0),
    result: z.union([healthReportSchema, directoryListingSchema]),
  })
  .meta({ id: 'CommandAnswer' });
export type CommandAnswer = z.infer<typeof commandAnswerSchema>;
