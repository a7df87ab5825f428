import { z } from 'zod';
import { listingRangeShape } from '../server-messages/list-directory.ts';
import { commandIdSchema, filePathSchema, sizeBytesSchema, timestampSchema } from '../identifiers.ts';

/** Result of `health_check`. */
export const healthReportSchema = z
  .object({
    agent_version: z.string(),
    uptime_ms: z.int().min(0),
    rss_bytes: sizeBytesSchema,
    active_uploads: z.int().min(0),
    max_uploads: z.int().min(1),
    allowed: z.array(z.string()).max(1000).meta({ description: 'Paths that the agent is allowed to read.' }),
    max_rate_bytes_per_second: z.int().nullable(),
    hanging_file_calls: z.int().min(0).optional().meta({
      description: 'Number of hanging file system calls, e.g. on a dead mount. Absent from old agents.',
    }),
    hanging_mounts: z
      .array(z.string().max(4096))
      .max(100)
      .optional()
      .meta({ description: 'Mount points of the file systems of these calls.' }),
  })
  .meta({ id: 'HealthReport' });
export type HealthReport = z.infer<typeof healthReportSchema>;

export const directoryEntrySchema = z.object({
  name: z.string().max(4096),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  size: sizeBytesSchema
    .nullable()
    .meta({ description: 'Size of a file in bytes; null for other types, and for more than 2^53 - 1.' }),
  modified_at: timestampSchema
    .nullable()
    .meta({ description: 'Modification time; null for a time before the year 1 or after 9999.' }),
});

/** Result of `list_directory`. Entries are sorted by name; `truncated` is set if there are more. */
export const directoryListingSchema = z
  .object({
    path: filePathSchema,
    entries: z.array(directoryEntrySchema).max(5000),
    truncated: z.boolean(),
    next_cursor: z.string().max(4096).optional().meta({
      description:
        '`cursor` of the next page, if any. Also absent from agents without the capability `list_pages`.',
    }),
  })
  .meta({ id: 'DirectoryListing' });
export type DirectoryListing = z.infer<typeof directoryListingSchema>;

/**
 * Commands that operators can run on an agent: parameters (the body of
 * `POST /clients/{client_id}/commands/{name}`) and result. Unknown parameters are refused.
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

/** Response of `POST /clients/{client_id}/commands/{name}`. */
export const commandAnswerSchema = z
  .object({
    command_id: commandIdSchema,
    duration_ms: z.int().min(0),
    result: z.union([healthReportSchema, directoryListingSchema]),
  })
  .meta({ id: 'CommandAnswer' });
export type CommandAnswer = z.infer<typeof commandAnswerSchema>;
